"""
### Export to S3, one partition per day

Each day's answers are one Parquet file in a partition of its own, as DuckDB, Athena and Spark read them. The
asset event informs downstream DAGs of new ones, with their number.

Needs the connection `cytechbot_default`, and `aws_default` for S3.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Asset, Param

from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

with DAG(
    "cytechbot_export_to_s3",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "flow_campaign_id": Param(
            "1", type="string", title="Flow campaign", description="The campaign to export."
        ),
        "folder": Param(
            "s3://aws_default@bucket/cytechbot",
            type="string",
            title="Folder",
            description="Where the files go; the bucket must exist.",
        ),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START export_to_s3]
    CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="export",
        flow_campaign_id="{{ params.flow_campaign_id }}",
        path="{{ params.folder }}/flow_campaign={{ params.flow_campaign_id }}"
        "/day={{ (dag_run.logical_date or dag_run.run_after) | ds }}/answers.parquet",
        outlets=[Asset("exported_flow_answers")],
    )
    # [END export_to_s3]
