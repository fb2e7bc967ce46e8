"""
### Export for a spreadsheet

One row a subscriber, one column a question. What strangers typed must not run as a formula, and a spreadsheet
knows UTF-8 by its mark.

Needs the connection `cytechbot_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

with DAG(
    "cytechbot_export_for_a_spreadsheet",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "flow_campaign_id": Param("1", type="string", description="The campaign to export."),
        "folder": Param(
            "file:///tmp/cytechbot",
            type="string",
            description="Where the files go, for example s3://aws_default@bucket/cytechbot.",
        ),
    },
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
    )
    # [END export_for_a_spreadsheet]
