"""DAGs for `benchmarks/distributed.py`: exports, deferred waits, and writes under a rate limit."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.sensors.flow_answers import CyTechBotSubscriberFlowSensor
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

SLOTS = range(6)

with DAG("memory_of_exports", schedule=None, params={"folder": ""}):
    CyTechBotFlowAnswersToObjectStorageOperator.partial(
        task_id="export", path="{{ params.folder }}/{{ ti.map_index }}.jsonl.gz"
    ).expand(flow_campaign_id=["100"] * len(SLOTS))

with DAG("memory_of_waits", schedule=None):
    CyTechBotSubscriberFlowSensor.partial(
        task_id="wait", flow_campaign_id="1", deferrable=True, poke_interval=timedelta(seconds=5)
    ).expand(subscriber_id=[f"never-{number}" for number in range(60)])

with DAG("rate_of_writes", schedule=None, params={"label_id": ""}):
    CyTechBotAssignLabelsOperator.partial(
        task_id="assign",
        page_id="104857600000001",
        label_ids="{{ params.label_id }}",
        cytechbot_conn_id="cytechbot_limited",
    ).expand(rows=[[f"2499454673500{slot}{row:03}" for row in range(300)] for slot in SLOTS])
