"""
### Wait for enough answers, then export them

Wait until a given number of subscribers have answered a flow campaign completely, then write all answers to
a file.

Needs the connection `cytechbot_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_cytechbot.sensors.flow_answers import CyTechBotFlowCampaignSensor
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

with DAG(
    "cytechbot_wait_then_export",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "flow_campaign_id": Param(
            "1", type="string", title="Flow campaign", description="The campaign to wait for."
        ),
        "min_subscribers": Param(
            "5", type="string", title="Subscribers at least", description="How many must have answered it."
        ),
        "folder": Param(
            "file:///tmp/cytechbot", type="string", title="Folder", description="Where the file goes."
        ),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START wait_for_campaign]
    wait = CyTechBotFlowCampaignSensor(
        task_id="wait",
        flow_campaign_id="{{ params.flow_campaign_id }}",
        min_subscribers="{{ params.min_subscribers }}",
        deferrable=True,
        poke_interval=timedelta(minutes=15),
        timeout=timedelta(days=7),
    )
    # [END wait_for_campaign]

    wait >> CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="export",
        flow_campaign_id="{{ params.flow_campaign_id }}",
        path="{{ params.folder }}/complete/campaign={{ params.flow_campaign_id }}/answers.jsonl.gz",
    )
