"""
### A contact group that lives as long as a DAG run

A setup task creates the group, and its teardown deletes it, whatever happens between them.

Needs the connection `cytechbot_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_cytechbot.operators.contact_groups import (
    CyTechBotCreateContactGroupOperator,
    CyTechBotDeleteContactGroupOperator,
    CyTechBotUpdateContactGroupOperator,
)
from airflow_provider_cytechbot.operators.contacts import (
    CyTechBotCreateContactOperator,
    CyTechBotDeleteContactOperator,
    CyTechBotUpdateContactOperator,
)

with DAG(
    "cytechbot_contact_group_for_a_run",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START setup_teardown]
    create_group = CyTechBotCreateContactGroupOperator(
        task_id="create_group", name="Test of {{ dag_run.run_id }}"
    )
    delete_group = CyTechBotDeleteContactGroupOperator(
        task_id="delete_group", contact_type_id=create_group.output, missing_ok=True
    )

    with delete_group.as_teardown(setups=create_group.as_setup()):
        rename_group = CyTechBotUpdateContactGroupOperator(
            task_id="rename_group",
            contact_type_id=create_group.output,
            name="Renamed in {{ dag_run.run_id }}",
        )
        create_contact = CyTechBotCreateContactOperator(
            task_id="create_contact",
            contact_type_id=create_group.output,
            phone_number="+4915100000001",
            first_name="Kim",
        )
        update_contact = CyTechBotUpdateContactOperator(
            task_id="update_contact", contact_id=create_contact.output, last_name="Novak"
        )
        delete_contact = CyTechBotDeleteContactOperator(
            task_id="delete_contact", contact_id=create_contact.output
        )
        rename_group >> create_contact >> update_contact >> delete_contact
    # [END setup_teardown]
