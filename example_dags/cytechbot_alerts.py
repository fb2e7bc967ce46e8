"""
### Alerts with numbers

When a task fails, a mail has the error, the number of rows for each outcome and the address of the report.
The same texts serve for Slack or any other notifier.

Both tasks fail, so that their alerts can be seen: a subscriber and a campaign do not exist.

Needs the connections `cytechbot_default` and `smtp_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

with DAG(
    "cytechbot_alerts",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "page_id": Param(
            "104857600000001", type="string", title="Page", description="The page of the subscribers."
        ),
        "subscriber_ids": Param(
            ["24994546734902201", "1"],
            type="array",
            title="Subscribers",
            description="The subscribers to tag; the last one does not exist.",
        ),
        "campaigns": Param(["1", "999"], type="array", title="Flow campaigns", description="To export."),
        "folder": Param(
            "file:///tmp/cytechbot/alerts",
            type="string",
            title="Folder",
            description="Where reports and files go, for example s3://aws_default@bucket/cytechbot.",
        ),
        "to": Param("on-call@example.com", type="string", title="Recipient"),
    },
    render_template_as_native_obj=True,  # the lists of the form stay lists
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START alert_of_rows]
    CyTechBotAssignLabelsOperator(
        task_id="label",
        page_id="{{ params.page_id }}",
        label_names="Important",
        create_missing=True,
        rows="{{ params.subscriber_ids }}",
        report_path="{{ params.folder }}/labels.csv",
        on_failure_callback=SmtpNotifier(
            to="{{ params.to }}",
            subject="{{ ti.dag_id }}.{{ ti.task_id }} failed",
            html_content="<p>{{ exception | e }}</p>"
            "{% set manifest = ti.xcom_pull(task_ids=ti.task_id) or {} %}"
            "<ul>{% for outcome, number in manifest.get('counts', {}).items() if number %}"
            "<li>{{ number }} {{ outcome }}</li>{% endfor %}</ul>"
            "<p>Report: {{ manifest.get('report_uri', 'none') }}</p>",
        ),
    )
    # [END alert_of_rows]

    # [START alert_of_campaigns]
    CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="export",
        flow_campaign_id="{{ params.campaigns }}",
        path="{{ params.folder }}/campaign={flow_campaign_id}/answers.jsonl.gz",
        on_failure_callback=SmtpNotifier(
            to="{{ params.to }}",
            subject="{{ ti.dag_id }}.{{ ti.task_id }} failed",
            html_content="<ul>"
            "{% for each in ti.xcom_pull(task_ids=ti.task_id, key='outcomes') or [] if each.error %}"
            "<li>Campaign {{ each.flow_campaign_id }}: {{ each.error | e }}</li>{% endfor %}</ul>",
        ),
    )
    # [END alert_of_campaigns]
