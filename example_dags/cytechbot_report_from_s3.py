"""
### Write a report to S3, and mail it from there

Like `cytechbot_weekly_report`, for workers that share no folder: the page is in a bucket, and the task that
sends the mail fetches it.

Needs the connections `cytechbot_default`, `smtp_default` and `aws_default`, and the extra `s3`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_cytechbot.transfers.flow_report import CyTechBotFlowReportOperator

with DAG(
    "cytechbot_report_from_s3",
    schedule="0 6 * * 1",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # the history is of one run after the other
    params={
        "flow_campaign_id": Param("1", type="string", title="Flow campaign"),
        "folder": Param("s3://aws_default@bucket/reports", type="string", title="Folder"),
        "to": Param("marketing@example.com", type="string", title="Recipient"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START report_from_s3]
    report = CyTechBotFlowReportOperator(
        task_id="report",
        flow_campaign_id="{{ params.flow_campaign_id }}",
        path="{{ params.folder }}/campaign-{{ params.flow_campaign_id }}.html",
        history_path="{{ params.folder }}/history.jsonl",
    )

    @task
    def mail(figures: dict[str, Any], to: str) -> None:
        """Attach the page to a mail: the hook of the mail server takes files of the worker only."""
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        page = ObjectStoragePath(figures["uri"])
        with TemporaryDirectory() as folder, SmtpHook() as smtp:
            file = Path(folder, page.name)
            file.write_bytes(page.read_bytes())
            smtp.send_email_smtp(
                to=to,
                subject=f"Flow campaign {figures['flow_campaign_id']}: {figures['answered']} answered",
                html_content="<p>The report is attached. Open it in a browser.</p>",
                files=[str(file)],
            )

    mail(report.output, "{{ params.to }}")
    # [END report_from_s3]
