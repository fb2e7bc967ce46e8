"""Label assignments that a test kills, or that take longer than they may."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator

COMMON = {
    "page_id": "9",
    "label_ids": "5",
    "rows": [str(each) for each in range(1, 301)],
    "max_concurrency": 4,
    "retries": 20,
    "retry_delay": timedelta(0),
}

with DAG("bulk_killed", schedule=None):
    CyTechBotAssignLabelsOperator(
        task_id="labels",
        report_path="{{ var.value.folder }}/{{ run_id }}/report.csv",
        state_path="{{ var.value.folder }}/{{ run_id }}/state",
        **COMMON,
    )

with DAG("bulk_too_long", schedule=None):
    CyTechBotAssignLabelsOperator(
        task_id="labels",
        report_path="{{ var.value.folder }}/{{ run_id }}-{{ ti.try_number }}/report.csv",
        state_path="{{ var.value.folder }}/{{ run_id }}/state",
        execution_timeout=timedelta(seconds=8),
        **COMMON,
    )
