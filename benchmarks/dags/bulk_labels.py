"""What `benchmarks/bulk_labels.py` compares: one task for all subscribers, and a mapped task for each."""

from __future__ import annotations

import os

from airflow.sdk import DAG

ROWS = int(os.environ.get("BULK_LABELS_ROWS", "0"))
MAPPED = int(os.environ.get("BULK_LABELS_MAPPED", "0"))
IDS = [str(24994546734900000 + each) for each in range(max(ROWS, MAPPED))]

if ROWS:
    from airflow.providers.http.operators.http import HttpOperator

    from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator

    with DAG("bulk_labels_one_task", schedule=None):
        CyTechBotAssignLabelsOperator(task_id="label", page_id="9", label_ids="5", rows=IDS[:ROWS])
    with DAG("bulk_labels_mapped", schedule=None):
        CyTechBotAssignLabelsOperator.partial(task_id="label", page_id="9", label_ids="5").expand(
            subscriber_id=IDS[:MAPPED]
        )
    with DAG("bulk_labels_http", schedule=None):
        HttpOperator.partial(
            task_id="label", method="POST", endpoint=os.environ["BULK_LABELS_ENDPOINT"]
        ).expand(
            data=[
                {"api_key": "1-key", "page_id": "9", "subscriber_id": each, "label_ids": "5"}
                for each in IDS[:MAPPED]
            ]
        )
