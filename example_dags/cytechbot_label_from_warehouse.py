"""
### Tag the segments of a warehouse table each night

Each night, read subscribers and their segments from a table and tag each subscriber with the label of the
segment's name. The state keeps which labels each subscriber has got, so only rows that are new or changed are
sent; those that failed or were refused are tried again.

Needs the connections `cytechbot_default` and `warehouse`, of any database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator

with DAG(
    "cytechbot_label_from_warehouse",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "page_id": Param(
            "104857600000001", type="string", title="Page", description="The page of the subscribers."
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
    # [START label_from_warehouse]
    CyTechBotAssignLabelsOperator(
        task_id="label",
        page_id="{{ params.page_id }}",
        sql="SELECT psid, segment FROM customers WHERE segment IS NOT NULL",
        sql_conn_id="warehouse",
        columns={"subscriber_id": "psid", "label_names": "segment"},
        create_missing=True,
        state_path="{{ params.folder }}/segments/state",
        report_path="{{ params.folder }}/segments/{{ run_id | replace(':', '-') }}.jsonl",
    )
    # [END label_from_warehouse]
