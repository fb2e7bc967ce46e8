"""
### Export the answers of a flow campaign

Each day, all answers of one campaign go to a file of their own on object storage, and the next task reads it.

Needs the connection `cytechbot_default`. To try it without an account, run `make demo` in the repository.
"""

from __future__ import annotations

import gzip
import json
import logging
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

with DAG(
    "cytechbot_export_flow_answers",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "flow_campaign_id": Param(
            "1", type="string", title="Flow campaign", description="The campaign to export."
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
    # [START export]
    export = CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="export",
        flow_campaign_id="{{ params.flow_campaign_id }}",
        path="{{ params.folder }}/campaign={{ params.flow_campaign_id }}"
        "/date={{ (dag_run.logical_date or dag_run.run_after) | ds }}/answers.jsonl.gz",
    )
    # [END export]

    # [START read_export]
    @task(multiple_outputs=False)  # one XCom, whatever the questions are
    def count_answers(manifest: dict[str, Any]) -> dict[str, int]:
        """Count the answers to each question: the manifest lists where the rows are, not what they are."""
        counts: dict[str, int] = {}
        for uri in manifest["uris"]:
            with ObjectStoragePath(uri).open("rb") as file, gzip.open(file) as lines:
                for row in map(json.loads, lines):
                    counts[row["question"]] = counts.get(row["question"], 0) + bool(row["answer"])
        logging.getLogger(__name__).info("First questions: %s", list(islice(counts.items(), 3)))
        return counts

    count_answers(export.output)
    # [END read_export]
