"""
### Tag many subscribers with a label of the run

Create a label for the occasion and tag everybody in a list with it, several subscribers at a time. If the API
refuses some, the others are still tagged, then the task fails with their number and the reasons.

Needs the connection `cytechbot_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_cytechbot.operators.labels import (
    CyTechBotAssignLabelsOperator,
    CyTechBotCreateLabelOperator,
)

with DAG(
    "cytechbot_label_many",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "page_id": Param(
            "104857600000001", type="string", title="Page", description="The page of the subscribers."
        ),
        "label_name": Param(
            "Spring ride", type="string", title="Label", description="The label; it must be new."
        ),
        "subscriber_ids": Param(
            ["24994546734902201", "24994546734902202", "24994546734902203"],
            type="array",
            title="Subscribers",
            description="The subscribers to tag.",
        ),
    },
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START create_label]
    create_label = CyTechBotCreateLabelOperator(
        task_id="create_label", page_id="{{ params.page_id }}", label_name="{{ params.label_name }}"
    )
    # [END create_label]

    # [START label_many]
    @task
    def read_subscribers(params: dict[str, Any]) -> list[str]:
        """Return the subscribers to tag; a real DAG would read them from a warehouse."""
        return list(params["subscriber_ids"])

    label_many = CyTechBotAssignLabelsOperator(
        task_id="label_many",
        page_id="{{ params.page_id }}",
        label_ids=create_label.output,
        rows=read_subscribers(),
    )
    # [END label_many]
