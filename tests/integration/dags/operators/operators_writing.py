"""Each write that the operators have, one after the other."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_cytechbot.operators.contact_groups import (
    CyTechBotCreateContactGroupOperator,
    CyTechBotDeleteContactGroupOperator,
    CyTechBotUpdateContactGroupOperator,
)
from airflow_provider_cytechbot.operators.contacts import (
    CyTechBotCreateContactOperator,
    CyTechBotDeleteContactOperator,
    CyTechBotSyncContactsOperator,
    CyTechBotUpdateContactOperator,
)
from airflow_provider_cytechbot.operators.labels import (
    CyTechBotAssignLabelsOperator,
    CyTechBotCreateLabelOperator,
)
from airflow_provider_cytechbot.operators.users import (
    CyTechBotCreateUserOperator,
    CyTechBotUpdateUserOperator,
    CyTechBotUpdateUsersOperator,
)

PAGE = "104857600000001"
SUBSCRIBERS = ["24994546734902201", "24994546734902202"]

with DAG("operators_writing", schedule=None, render_template_as_native_obj=False):
    group = CyTechBotCreateContactGroupOperator(task_id="group", name="Riders")
    renamed = CyTechBotUpdateContactGroupOperator(
        task_id="renamed", contact_type_id=group.output, name="Old riders"
    )
    contact = CyTechBotCreateContactOperator(
        task_id="contact", contact_type_id=group.output, contact_email="single@example.com", first_name="Ann"
    )
    changed = CyTechBotUpdateContactOperator(
        task_id="changed", contact_id=contact.output, first_name="Bea", last_name="Berg"
    )
    deleted = CyTechBotDeleteContactOperator(task_id="deleted", contact_id=contact.output)
    deleted_again = CyTechBotDeleteContactOperator(
        task_id="deleted_again", contact_id=contact.output, missing_ok=True
    )
    label = CyTechBotCreateLabelOperator(task_id="label", page_id=PAGE, label_name="Rider")
    tagged = CyTechBotAssignLabelsOperator(
        task_id="tagged", page_id=PAGE, label_ids=label.output, subscriber_id=SUBSCRIBERS[0]
    )
    tagged_all = CyTechBotAssignLabelsOperator(
        task_id="tagged_all", page_id=PAGE, label_ids=label.output, rows=SUBSCRIBERS
    )
    user = CyTechBotCreateUserOperator(
        task_id="user",
        name="Kim",
        user_email="kim.r@example.com",
        password="pass w/ord+1",
        package_id="1",
        expired_date="+30 days",
    )
    renewed = CyTechBotUpdateUserOperator(task_id="renewed", user_id=user.output, name="Kim R.")
    renewed_all = CyTechBotUpdateUsersOperator(
        task_id="renewed_all",
        rows=[{"user_id": "2", "mobile": "+4915112345679"}, {"user_id": "999", "name": "Lea"}],
        on_error="report",
    )
    synced = CyTechBotSyncContactsOperator(
        task_id="synced",
        key="n",
        contact_type_id=group.output,
        state_path="{{ dag_run.conf['folder'] }}/state",
        report_path="{{ dag_run.conf['folder'] }}/report.jsonl",
        rows=[
            {"n": "C-1", "email": "row1@example.com", "first_name": "Row"},
            {"n": "C-2", "phone_number": "+4915112345678"},
        ],
    )
    dropped = CyTechBotDeleteContactGroupOperator(task_id="dropped", contact_type_id=group.output)
    group >> renewed_all
    group >> renamed >> contact >> changed >> deleted >> deleted_again >> synced >> dropped
    label >> tagged >> tagged_all
    user >> renewed
