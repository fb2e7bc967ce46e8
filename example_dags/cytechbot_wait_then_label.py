"""
### Wait for one subscriber, then tag it

Wait until a subscriber has answered every question of a flow campaign, and give it a label. The wait is
deferred: it holds no worker, and many such runs share one poll of the server.

Needs the connection `cytechbot_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.sensors.flow_answers import CyTechBotSubscriberFlowSensor

with DAG(
    "cytechbot_wait_then_label",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "flow_campaign_id": Param(
            "1", type="string", title="Flow campaign", description="The campaign to be answered."
        ),
        "subscriber_id": Param(
            "24994546734902201", type="string", title="Subscriber", description="Who is to answer it."
        ),
        "page_id": Param(
            "104857600000001", type="string", title="Page", description="The page of the subscriber."
        ),
        "label_name": Param(
            "Has answered", type="string", title="Label", description="The label to tag it with."
        ),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START wait_for_subscriber]
    wait = CyTechBotSubscriberFlowSensor(
        task_id="wait",
        flow_campaign_id="{{ params.flow_campaign_id }}",
        subscriber_id="{{ params.subscriber_id }}",
        deferrable=True,
        poke_interval=timedelta(minutes=5),
        timeout=timedelta(days=3),
        soft_fail=True,  # no answer within three days: skip this run, do not fail it
    )
    # [END wait_for_subscriber]

    wait >> CyTechBotAssignLabelsOperator(
        task_id="assign_label",
        page_id="{{ params.page_id }}",
        label_names="{{ params.label_name }}",
        create_missing=True,
        subscriber_id="{{ params.subscriber_id }}",
    )
