"""A DAG that runs on events of the trigger that `benchmarks/watching.py` names in the environment."""

from __future__ import annotations

import os

from airflow.sdk import DAG, Asset, AssetWatcher

trigger = None
if os.environ.get("WATCHING") == "cytechbot":
    from airflow_provider_cytechbot.triggers.new_flow_answers import CyTechBotNewFlowAnswersTrigger

    trigger = CyTechBotNewFlowAnswersTrigger(
        flow_campaign_id="1", complete=False, poll_interval=float(os.environ["WATCHING_INTERVAL"])
    )
elif "WATCHING" in os.environ:
    from airflow.providers.http.triggers.http import HttpEventTrigger

    trigger = HttpEventTrigger(
        endpoint=os.environ["WATCHING_ENDPOINT"],
        response_check_path=f"http_checks.{os.environ['WATCHING']}",
        poll_interval=float(os.environ["WATCHING_INTERVAL"]),
    )

if trigger:
    news = Asset(
        "cytechbot://127.0.0.1/flow_campaigns/1", watchers=[AssetWatcher(name="news", trigger=trigger)]
    )
    with DAG("watching", schedule=[news]):
        pass
