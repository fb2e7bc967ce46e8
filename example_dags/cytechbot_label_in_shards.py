"""
### Tag many subscribers on several workers

One query, divided into eight shards by a hash of the subscriber's id: each mapped task sends its own share
on any worker, and a subscriber keeps the shard from run to run. The connection's `requests_per_second` is
divided by the number of shards. The last task sums what became of all rows.

Needs the connections `cytechbot_default` and `warehouse`, of any database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator

SHARDS = 8

with DAG(
    "cytechbot_label_in_shards",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "page_id": Param(
            "104857600000001", type="string", title="Page", description="The page of the subscribers."
        ),
        "label_name": Param(
            "Important", type="string", title="Label", description="The label; the page must have it."
        ),
        "folder": Param(
            "file:///tmp/cytechbot",
            type="string",
            title="Folder",
            description="Where reports and state go, for example s3://aws_default@bucket/cytechbot.",
        ),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START label_in_shards]
    label = CyTechBotAssignLabelsOperator.partial(
        task_id="label",
        page_id="{{ params.page_id }}",
        label_names="{{ params.label_name }}",
        sql="SELECT psid AS subscriber_id FROM customers",
        sql_conn_id="warehouse",
        state_path="{{ params.folder }}/customers/state",
        report_path="{{ params.folder }}/customers/"
        "{{ run_id | replace(':', '-') }}/part-{{ ti.map_index }}.jsonl",
        map_index_template="Shard {{ task.shard }}",
        shards=SHARDS,
    ).expand(shard=list(range(SHARDS)))

    @task(multiple_outputs=False)  # one XCom, not one for each outcome
    def sum_up(manifests: Iterable[dict[str, Any]]) -> dict[str, int]:
        """Add the counts of all shards."""
        counts: Counter[str] = Counter()
        for manifest in manifests:
            counts.update(manifest["counts"])
        return dict(counts)

    sum_up(label.output)
    # [END label_in_shards]
