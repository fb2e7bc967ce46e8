"""
### Mail a weekly report of a flow campaign

Each Monday, a page shows how many people answered, where they stopped, what they answered, and what has
changed since the week before. Airflow sends it by mail.

Needs the connections `cytechbot_default` and `smtp_default`. The mail attaches the page as a file, so
`folder` must be one that all workers see.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param
from airflow.providers.smtp.operators.smtp import EmailOperator

from airflow_provider_cytechbot.transfers.flow_report import CyTechBotFlowReportOperator

with DAG(
    "cytechbot_weekly_report",
    schedule="0 6 * * 1",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # the history is of one run after the other
    params={
        "flow_campaign_id": Param("1", type="string", title="Flow campaign"),
        "folder": Param(
            "/tmp/cytechbot/reports",  # noqa: S108 - to try it out
            type="string",
            title="Folder",
            description="A folder that all workers see.",
        ),
        "to": Param("marketing@example.com", type="string", title="Recipient"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START weekly_report]
    report = CyTechBotFlowReportOperator(
        task_id="report",
        flow_campaign_id="{{ params.flow_campaign_id }}",
        path="{{ params.folder }}/{{ (dag_run.logical_date or dag_run.run_after) | ds }}"
        "/campaign-{{ params.flow_campaign_id }}.html",
        history_path="{{ params.folder }}/history.jsonl",
    )
    mail = EmailOperator(
        task_id="mail",
        to="{{ params.to }}",
        subject="Flow campaign {{ params.flow_campaign_id }}: "
        "{{ ti.xcom_pull('report')['answered'] }} answered",
        html_content="<p>The report is attached. Open it in a browser.</p>",
        files=["{{ ti.xcom_pull('report')['uri'] }}"],
    )
    report >> mail
    # [END weekly_report]
