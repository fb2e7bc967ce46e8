"""
### Export answers, then tag the subscribers with certain ones

Each day, export the answers of a flow campaign to a file, and tag the subscribers who gave one of the wanted
answers to a question, straight from that file: no task has to read it in between. The report has a line for
each row with what became of it.

Needs the connection `cytechbot_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

with DAG(
    "cytechbot_label_from_export",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "flow_campaign_id": Param(
            "1", type="string", title="Flow campaign", description="The campaign whose answers count."
        ),
        "page_id": Param(
            "104857600000001", type="string", title="Page", description="The page of the subscribers."
        ),
        "folder": Param(
            "file:///tmp/cytechbot",
            type="string",
            title="Folder",
            description="Where the files go, for example s3://aws_default@bucket/cytechbot.",
        ),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START label_from_export]
    day = "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"
    export = CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="export",
        flow_campaign_id="{{ params.flow_campaign_id }}",
        path=f"{{{{ params.folder }}}}/answers/{day}.jsonl.gz",
    )
    CyTechBotAssignLabelsOperator(
        task_id="label",
        page_id="{{ params.page_id }}",
        label_names="Goes touring",
        create_missing=True,
        path=export.output,
        where={"question_id": "46", "answer": ["Touring bike", 'Touring/28"']},
        report_path=f"{{{{ params.folder }}}}/reports/{day}.csv",
    )
    # [END label_from_export]
