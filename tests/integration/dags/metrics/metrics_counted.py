"""One of each thing that is counted: a refused call, rows that are written, a deferred wait, an export."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, task

from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.sensors.flow_answers import CyTechBotFlowCampaignSensor
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

with DAG("metrics_counted", schedule=None):

    @task
    def read() -> None:
        """Read packages, and a contact that does not exist."""
        hook = CyTechBotHook()
        hook.get_packages()
        try:
            hook.get_contact("999")
        except AirflowFailException:
            return
        raise AssertionError("the contact exists")

    label = CyTechBotAssignLabelsOperator(
        task_id="label",
        page_id="104857600000001",
        label_ids=["2472856209402188"],
        rows=[{"subscriber_id": "24994546734902201"}, {"subscriber_id": "24994546734902202"}],
    )
    wait = CyTechBotFlowCampaignSensor(
        task_id="wait",
        flow_campaign_id="2",
        complete=False,
        deferrable=True,
        poke_interval=1,
        timeout=300,
    )
    export = CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="export", flow_campaign_id="1", path="{{ dag_run.conf['folder'] }}/answers.jsonl"
    )
    read() >> label >> wait >> export
