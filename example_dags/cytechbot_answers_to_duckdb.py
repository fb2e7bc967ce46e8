"""
### Keep a table of answers in DuckDB

Each day, an export of what has changed since the day before, and a task that loads it: new and changed
answers are written over the old ones, those that are gone are deleted. So the table has the present answers.

Needs the connection `cytechbot_default`, and `pip install duckdb pyarrow` where the tasks run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

with DAG(
    "cytechbot_answers_to_duckdb",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # each run compares with what the one before has left
    params={
        "flow_campaign_id": Param("1", type="string", title="Flow campaign"),
        "folder": Param(
            "file:///tmp/cytechbot/to_duckdb",
            type="string",
            title="Folder",
            description="Where the files go, for example s3://aws_default@bucket/cytechbot.",
        ),
        "database": Param("/tmp/cytechbot/answers.duckdb", type="string", title="Database"),  # noqa: S108
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START export_changes]
    export = CyTechBotFlowAnswersToObjectStorageOperator(
        task_id="export",
        flow_campaign_id="{{ params.flow_campaign_id }}",
        path="{{ params.folder }}/changes/"
        "{{ (dag_run.logical_date or dag_run.run_after) | ts_nodash }}.parquet",
        export_mode="changes",
        state_path="{{ params.folder }}/state",
    )
    # [END export_changes]

    # [START load_into_duckdb]
    @task(depends_on_past=True)  # changes are loaded in the order in which they happened
    def load(manifest: dict[str, Any], database: str) -> int:
        """Load the changes in one transaction, and return the number of answers in the table."""
        import duckdb

        types = {"string": "VARCHAR", "timestamp": "TIMESTAMPTZ", "integer": "BIGINT"}
        with duckdb.connect(database) as warehouse:
            warehouse.begin()
            warehouse.execute(
                "CREATE TABLE IF NOT EXISTS answers (flow_campaign_id VARCHAR, subscriber_id VARCHAR, "
                "question_id VARCHAR, PRIMARY KEY (flow_campaign_id, subscriber_id, question_id))"
            )
            for column in manifest["columns"]:
                if column["name"] != "change":
                    name, kind = column["name"], types[column["type"]]
                    warehouse.execute(f'ALTER TABLE answers ADD COLUMN IF NOT EXISTS "{name}" {kind}')
            warehouse.execute(
                "DELETE FROM answers USING read_parquet($files) AS gone WHERE gone.change = 'gone'"
                " AND answers.flow_campaign_id = gone.flow_campaign_id"
                " AND answers.subscriber_id = gone.subscriber_id"
                " AND answers.question_id = gone.question_id",
                {"files": manifest["urls"]},
            )
            warehouse.execute(
                "INSERT OR REPLACE INTO answers BY NAME"
                " SELECT * EXCLUDE (change) FROM read_parquet($files) WHERE change <> 'gone'",
                {"files": manifest["urls"]},
            )
            warehouse.commit()
            return len(warehouse.sql("SELECT subscriber_id FROM answers"))

    load(export.output, "{{ params.database }}")  # type: ignore[arg-type]
    # [END load_into_duckdb]
