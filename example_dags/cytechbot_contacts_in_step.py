"""
### Contacts in step with a table

Each night, a contact group gets the people of a table: new ones are created, changed ones updated, people
who are gone deleted, and nothing is sent for the others. Contacts that somebody made in the dashboard stay.

The table is one of SQLite, and `change_table` plays two weeks of a shop, of which the param `night` chooses
one. Run it for night 1, then for the others. With a table of your own, leave that task out.

Needs the connections `cytechbot_default` and `warehouse` (of the type `sqlite`).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, Param, task

from airflow_provider_cytechbot.operators.contacts import CyTechBotSyncContactsOperator

#: What happens in the shop before each night.
NIGHTS = {
    1: [
        "CREATE TABLE customers (customer_id TEXT, mail TEXT, phone TEXT, first_name TEXT, last_name TEXT)",
        "INSERT INTO customers VALUES ('C-1', 'ada@shop.example', '+49 30 1', 'Ada', 'Byron')",
        "INSERT INTO customers VALUES ('C-2', 'lea@shop.example', '+49 30 2', 'Lea', 'Maier')",
        "INSERT INTO customers VALUES ('C-3', '', '+49 30 3', 'Kim', 'Novak')",
        "INSERT INTO customers VALUES ('C-4', 'max@shop.example', '', 'Max', 'Frey')",
        "INSERT INTO customers VALUES ('C-5', 'ida@shop.example', '', 'Ida', 'Rhode')",
        "INSERT INTO customers VALUES ('C-6', 'tom@shop.example', '', 'Tom', 'Berg')",
    ],
    2: ["UPDATE customers SET last_name = 'Lovelace' WHERE customer_id = 'C-1'"],
    3: ["INSERT INTO customers VALUES ('C-7', 'noor@shop.example', '', 'Noor', 'Haddad')"],
    4: ["UPDATE customers SET mail = 'kim@shop.example' WHERE customer_id = 'C-3'"],
    5: ["UPDATE customers SET mail = 'lea.maier@shop.example' WHERE customer_id = 'C-2'"],
    8: ["DELETE FROM customers WHERE customer_id = 'C-4'"],
    # The address belongs to a contact that somebody made in the dashboard.
    9: ["INSERT INTO customers VALUES ('C-8', 'maya@example.com', '', 'Leo', 'Sand')"],
    11: ["UPDATE customers SET mail = 'leo@shop.example' WHERE customer_id = 'C-8'"],
    12: ["INSERT INTO customers VALUES ('C-5', 'ida.rhode@shop.example', '', 'Ida', 'Rhode')"],  # doubled
    13: ["DELETE FROM customers WHERE mail = 'ida.rhode@shop.example'"],
}

with DAG(
    "cytechbot_contacts_in_step",
    schedule=None,  # "@daily" for a table of your own
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "night": Param(
            1, type="integer", title="Night", minimum=1, maximum=14, description="Which of the nights."
        ),
        "folder": Param(
            "file:///tmp/cytechbot/contacts",
            type="string",
            title="Folder",
            description="Where state and reports go, for example s3://aws_default@bucket/contacts.",
        ),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):

    @task
    def change_table(params: dict[str, Any]) -> None:
        """Make the table what it is on that night."""
        statements = [each for night in range(1, params["night"] + 1) for each in NIGHTS.get(night, ())]
        with closing(sqlite3.connect(BaseHook.get_connection("warehouse").host)) as connection, connection:
            for statement in ("DROP TABLE IF EXISTS customers", *statements):
                connection.execute(statement)

    # [START sync_contacts]
    sync_contacts = CyTechBotSyncContactsOperator(
        task_id="sync_contacts",
        sql="SELECT customer_id, mail, phone, first_name, last_name FROM customers",
        sql_conn_id="warehouse",
        key="customer_id",
        columns={"email": "mail", "phone_number": "phone"},
        contact_group_name="Customers of the shop",
        create_group=True,
        sync_mode="mirror",
        on_readdress="recreate",
        max_delete_percent=20,
        state_path="{{ params.folder }}/state",
        report_path="{{ params.folder }}/report-{{ params.night }}.csv",
    )
    # [END sync_contacts]

    change_table() >> sync_contacts
