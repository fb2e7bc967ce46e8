"""Tasks that never run: `benchmarks/waiting.py` defers them itself."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_cytechbot.sensors.flow_answers import CyTechBotFlowCampaignSensor

with DAG("waiting", schedule=None):
    CyTechBotFlowCampaignSensor.partial(task_id="wait", flow_campaign_id="100", pool="none").expand(
        min_subscribers=list(range(1, 1001))
    )
