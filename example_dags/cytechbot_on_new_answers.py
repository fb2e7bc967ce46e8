"""
### Run when subscribers have answered

No schedule and no waiting task: the triggerer watches a flow campaign, and this DAG runs when subscribers
have newly answered it completely. From Airflow 3.3 on, nobody is missed who answers while the triggerer is
down.

Needs Airflow 3.0 or newer, and the connection `cytechbot_default`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.triggers.new_flow_answers import CyTechBotNewFlowAnswersTrigger

# [START watch_campaign]
answers = Asset(
    "cytechbot://cytechbot.com/flow_campaigns/1",
    watchers=[
        AssetWatcher(
            name="new_answers",
            trigger=CyTechBotNewFlowAnswersTrigger(flow_campaign_id="1", poll_interval=900),
        )
    ],
)
# [END watch_campaign]

with DAG(
    "cytechbot_on_new_answers",
    schedule=[answers],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START read_events]
    @task(multiple_outputs=False)  # one XCom, whatever the questions are
    def read_answers(triggering_asset_events: dict[Any, Any]) -> dict[str, int]:
        """Count the answers of each new subscriber: an event names up to 100, and has the number of all."""
        events = [event.extra["payload"] for each in triggering_asset_events.values() for event in each]
        hook = CyTechBotHook()
        counts = {}
        for event in events:
            logging.getLogger(__name__).info("%d have newly answered %s", event["count"], event["flow_name"])
            for subscriber_id in event["subscriber_ids"]:
                found = hook.get_subscriber_flow_answers(event["flow_campaign_id"], subscriber_id)
                counts[subscriber_id] = len(found["data"])
        return counts

    read_answers()
    # [END read_events]
