"""DAGs for accidents of a distributed Airflow: an export, creates, bulk writes, deferred waits, an event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task
from airflow.sdk import AssetWatcher

from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators.contact_groups import CyTechBotCreateContactGroupOperator
from airflow_provider_cytechbot.operators.contacts import (
    CyTechBotCreateContactOperator,
    CyTechBotSyncContactsOperator,
)
from airflow_provider_cytechbot.operators.labels import (
    CyTechBotAssignLabelsOperator,
    CyTechBotCreateLabelOperator,
)
from airflow_provider_cytechbot.operators.users import CyTechBotCreateUserOperator
from airflow_provider_cytechbot.sensors.flow_answers import CyTechBotSubscriberFlowSensor
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)
from airflow_provider_cytechbot.triggers.new_flow_answers import CyTechBotNewFlowAnswersTrigger

RETRIES: dict[str, Any] = {"retries": 3, "retry_delay": timedelta(seconds=1)}
PAGE_ID = "104857600000001"

with DAG("distributed_export", schedule=None, default_args=RETRIES, params={"path": ""}):
    CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="export", flow_campaign_id="100", path="{{ params.path }}"
    )

with DAG("distributed_creates", schedule=None, default_args=RETRIES, params={"count": 5}):

    @task
    def contacts(params: dict[str, Any]) -> list[str]:
        """Return an address for each contact."""
        return [f"{number}@distributed.example" for number in range(int(params["count"]))]

    CyTechBotCreateContactOperator.partial(task_id="contact", contact_type_id=1).expand(
        contact_email=contacts()
    )
    CyTechBotCreateContactGroupOperator(task_id="contact_group", name="Group of {{ dag_run.run_id }}")
    CyTechBotCreateLabelOperator(task_id="label", label_name="Label of {{ dag_run.run_id }}", page_id=PAGE_ID)
    CyTechBotCreateUserOperator(
        task_id="user",
        name="Kim",
        user_email="kim@distributed.example",
        password="{{ var.value.new_password }}",
        package_id=1,
        expired_date="+30 days",
    )

with DAG(
    "distributed_bulk",
    schedule=None,
    default_args=RETRIES,
    params={"label_id": "", "folder": "", "subscriber_ids": []},
):

    @task
    def labelled(params: dict[str, Any]) -> list[str]:
        """Return the subscribers to label."""
        return list(params["subscriber_ids"])

    CyTechBotAssignLabelsOperator.partial(
        task_id="assign",
        page_id=PAGE_ID,
        label_ids=["{{ params.label_id }}"],
        rows=labelled(),
        state_path="{{ params.folder }}/state",
        report_path="{{ params.folder }}/reports/{{ ti.map_index }}.jsonl",
        max_concurrency=2,
        shards=8,
    ).expand(shard=list(range(8)))

with DAG(
    "distributed_sync",
    schedule=None,
    default_args=RETRIES,
    params={"folder": "", "count": 200},
):

    @task
    def people(params: dict[str, Any]) -> list[dict[str, str]]:
        """Return a row for each contact."""
        count = int(params["count"])
        return [{"key": str(number), "email": f"{number}@sync.example"} for number in range(count)]

    CyTechBotSyncContactsOperator(
        task_id="sync",
        key="key",
        contact_type_id=1,
        rows=people(),
        state_path="{{ params.folder }}/state",
        report_path="{{ params.folder }}/report.jsonl",
        max_concurrency=4,
    )

with DAG("distributed_waits", schedule=None, default_args=RETRIES, params={"subscriber_ids": []}):

    @task
    def subscribers(params: dict[str, Any]) -> list[str]:
        """Return the subscribers to wait for."""
        return list(params["subscriber_ids"])

    CyTechBotSubscriberFlowSensor.partial(
        task_id="wait",
        flow_campaign_id="9",
        deferrable=True,
        poke_interval=timedelta(seconds=5),
        timeout=timedelta(minutes=15),
    ).expand(subscriber_id=subscribers())

answers = Asset(
    "distributed_answers",
    watchers=[
        AssetWatcher(
            name="new_answers", trigger=CyTechBotNewFlowAnswersTrigger(flow_campaign_id="8", poll_interval=5)
        )
    ],
)

with DAG("distributed_event", schedule=[answers], default_args=RETRIES):

    @task(multiple_outputs=False)
    def read(triggering_asset_events: dict[Any, Any]) -> list[str]:
        """Return the subscribers of the events, each of whose answers can be read."""
        events = [event.extra["payload"] for each in triggering_asset_events.values() for event in each]
        ids = [each for event in events for each in event["subscriber_ids"]]
        hook = CyTechBotHook()
        return [each for each in ids if hook.get_subscriber_flow_answers("8", each)["data"]]

    read()
