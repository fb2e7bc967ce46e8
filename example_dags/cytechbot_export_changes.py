"""
### Export what changed

The API does not return when an answer was given, so each run compares with a digest that the run before
left at `state_path`. Each row has a column `change`, which shows whether the answer is new, changed or gone.

Needs the connection `cytechbot_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

with DAG(
    "cytechbot_export_changes",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # each run compares with what the one before has left
    params={
        "flow_campaign_id": Param(
            "1", type="string", title="Flow campaign", description="The campaign to export."
        ),
        "folder": Param(
            "file:///tmp/cytechbot",
            type="string",
            title="Folder",
            description="Where the files go, for example s3://aws_default@bucket/cytechbot.",
        ),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START export_changes]
    CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="export",
        flow_campaign_id="{{ params.flow_campaign_id }}",
        path="{{ params.folder }}/changes/"
        "{{ (dag_run.logical_date or dag_run.run_after) | ts_nodash }}.jsonl.gz",
        export_mode="changes",
        state_path="{{ params.folder }}/state",
    )
    # [END export_changes]
