"""Deferred waits for answers that are not there yet, and their export."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_cytechbot.sensors.flow_answers import (
    CyTechBotFlowCampaignSensor,
    CyTechBotSubscriberFlowSensor,
)
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

CONF = {
    "flow_campaign_id": "{{ dag_run.conf['campaign'] }}",
    "deferrable": True,
    "poke_interval": 1,
    "timeout": 60,
}

with DAG("sensors_deferred", schedule=None):
    campaign = CyTechBotFlowCampaignSensor(task_id="campaign", min_subscribers=1, **CONF)
    subscriber = CyTechBotSubscriberFlowSensor(
        task_id="subscriber", subscriber_id="{{ dag_run.conf['subscriber'] }}", **CONF
    )
    export = CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="export",
        flow_campaign_id="{{ dag_run.conf['campaign'] }}",
        path="{{ dag_run.conf['folder'] }}/answers.jsonl",
    )
    campaign >> subscriber >> export
