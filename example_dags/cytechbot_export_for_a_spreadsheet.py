"""
### Export for a spreadsheet

One row per subscriber, one column per question. Formulas in the answers must not run, a spreadsheet
recognises UTF-8 by the byte order mark, and it rounds ids of more than 15 digits unless they are text.

Needs the connection `cytechbot_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

with DAG(
    "cytechbot_export_for_a_spreadsheet",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # each run replaces the same file
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
    # [START export_for_a_spreadsheet]
    CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="export",
        flow_campaign_id="{{ params.flow_campaign_id }}",
        path="{{ params.folder }}/answers.csv",
        layout="wide",
        subscriber_fields=["full_name", "email"],
        escape_formulas=True,
        byte_order_mark=True,
        csv_text_ids=True,  # a spreadsheet rounds numbers of more than 15 digits
    )
    # [END export_for_a_spreadsheet]
