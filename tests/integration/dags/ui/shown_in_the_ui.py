"""Links to a written file or none, and the names of operators that the other DAGs of the UI do not use."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_cytechbot.sensors.flow_answers import (
    CyTechBotFlowCampaignSensor,
    CyTechBotSubscriberFlowSensor,
)
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)
from airflow_provider_cytechbot.transfers.flow_report import CyTechBotFlowReportOperator


class ReportOnAmazon(CyTechBotFlowReportOperator):
    """Returns what a report on AWS returns: no test can write there."""

    custom_operator_name = CyTechBotFlowReportOperator.custom_operator_name

    def execute(self, context: Any) -> Any:
        """Return the path."""
        return {"uri": str(self.path)}


with DAG("shown_in_the_ui", schedule=None):
    answered = CyTechBotFlowCampaignSensor(task_id="answered", flow_campaign_id="1", complete=False)
    completed = CyTechBotSubscriberFlowSensor(
        task_id="completed", flow_campaign_id="1", subscriber_id="24994546734902201"
    )
    local = CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="local", flow_campaign_id="1", path="{{ dag_run.conf['local'] }}/answers.jsonl"
    )
    elsewhere = CyTechBotFlowReportOperator(
        task_id="elsewhere", flow_campaign_id="1", path="{{ dag_run.conf['folder'] }}/report.html"
    )
    amazon = ReportOnAmazon(
        task_id="amazon", flow_campaign_id="1", path="s3://aws_amazon@reports/weekly/campaign 1.html"
    )
    [answered, completed] >> local >> [elsewhere, amazon]
