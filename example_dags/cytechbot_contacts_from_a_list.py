"""
### Contacts from a list, one task each

Each row becomes a mapped task. A row that the API refuses fails only its own task, at once and with the
server's reason; the summary runs whatever happened, and the run fails if no contact could be made at all.
An empty list is not a failure. E-mail addresses are unique: a second run with the same ones is refused.

Needs the connection `cytechbot_default`.
"""

from __future__ import annotations

import csv
import logging
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, TriggerRule, task

from airflow_provider_cytechbot.operators.contacts import CyTechBotCreateContactOperator

with DAG(
    "cytechbot_contacts_from_a_list",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "contact_type_id": Param(
            "1", type="string", title="Contact group", description="The group that the contacts join."
        ),
        "contacts": Param(
            "contact_email,phone_number,first_name,last_name\n"
            "lea@example.com,,Lea,\n"
            ",+4915112345679,Noor,Haddad\n"
            ",,Nobody,Reachable\n",
            type="string",
            title="Contacts as CSV",
            format="multiline",
            description="CSV with a header. A contact needs an e-mail address or a phone number; "
            "the last one has neither.",
        ),
    },
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):

    @task(show_return_value_in_logs=False)  # no addresses and phone numbers in the log
    def read_contacts(params: dict[str, Any]) -> list[dict[str, str]]:
        """Return the rows; a real DAG would read them from a warehouse."""
        rows = csv.DictReader(params["contacts"].splitlines())
        return [{name: value for name, value in row.items() if value} for row in rows]

    # [START mapped_contacts]
    contacts = read_contacts()
    create_contacts = CyTechBotCreateContactOperator.partial(
        task_id="create_contact",
        contact_type_id="{{ params.contact_type_id }}",
        map_index_template="{{ task.first_name or ti.map_index }}",  # the task's name in the UI
        max_active_tis_per_dagrun=2,  # the server is a small one
    ).expand_kwargs(contacts)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def summarise(contacts: list[dict[str, str]], contact_ids: list[str]) -> int:
        """Count the contacts that were made: a failed task leaves no id."""
        made = [contact_id for contact_id in contact_ids if contact_id]
        logging.getLogger(__name__).info("Made %d of %d contacts: %s", len(made), len(contacts), made)
        if contacts and not made:
            raise ValueError("No contact could be made; see the logs of create_contact.")
        return len(made)

    summarise(contacts, create_contacts.output)
    # [END mapped_contacts]
