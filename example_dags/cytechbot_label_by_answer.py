"""
### Tag subscribers by what they answered

Each day, read the answers to a flow campaign, choose the subscribers whose answer matches, and tag them with
a label by its name. Tagging somebody twice does no harm, so nothing needs to be remembered.

Needs the connection `cytechbot_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator

with DAG(
    "cytechbot_label_by_answer",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "flow_campaign_id": Param(
            "1", type="string", title="Flow campaign", description="The campaign whose answers count."
        ),
        "question_id": Param(
            "46", type="string", title="Question", description="The question whose answer counts."
        ),
        "word": Param("touring", type="string", title="Word", description="What the answer must contain."),
        "page_id": Param(
            "104857600000001", type="string", title="Page", description="The page of the subscribers."
        ),
        "label_name": Param(
            "Touring", type="string", title="Label", description="The label to tag them with."
        ),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START read_with_hook]
    @task
    def choose_subscribers(params: dict[str, str]) -> list[str]:
        """Return the ids of the subscribers whose answer contains the word."""
        rows = CyTechBotHook().iter_flow_answers(params["flow_campaign_id"])
        return [
            row["subscriber_id"]
            for row in rows
            if row["question_id"] == params["question_id"]
            and params["word"].casefold() in (row["answer"] or "").casefold()
        ]

    # [END read_with_hook]

    # [START assign_labels]
    CyTechBotAssignLabelsOperator(
        task_id="assign_label",
        page_id="{{ params.page_id }}",
        label_names="{{ params.label_name }}",
        create_missing=True,
        rows=choose_subscribers(),
    )
    # [END assign_labels]
