"""Operators that fail, or nearly so, each in its own way, by retries that Airflow may or may not use."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_cytechbot.operators.contact_groups import (
    CyTechBotCreateContactGroupOperator,
    CyTechBotDeleteContactGroupOperator,
)
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.operators.users import CyTechBotCreateUserOperator

USER = {
    "name": "Kim",
    "password": "{{ var.value.new_password }}",
    "package_id": "{{ params.package_id }}",
    "expired_date": "{{ macros.ds_add('2026-12-15', 30) }}",
}

with DAG(
    "operators_going_wrong",
    schedule=None,
    params={"package_id": 1, "subscribers": []},
    default_args={
        "retries": 2,
        "retry_delay": timedelta(0),
        "email": ["ops@example.com"],
        "email_on_failure": False,
        "email_on_retry": False,
    },
    render_template_as_native_obj=True,
):
    user_made = CyTechBotCreateUserOperator(task_id="user_made", user_email="made@example.com", **USER)
    user_lost = CyTechBotCreateUserOperator(task_id="user_lost", user_email="lost@example.com", **USER)
    user_refused = CyTechBotCreateUserOperator(task_id="user_refused", user_email="echo@example.com", **USER)
    wrong_key = CyTechBotCreateUserOperator(
        task_id="wrong_key",
        trigger_rule="all_done",
        cytechbot_conn_id="wrong_key",
        user_email="key@example.com",
        **USER,
    )
    user_made >> user_lost >> user_refused >> wrong_key
    CyTechBotCreateContactGroupOperator(task_id="group_lost", name="Lost in {{ dag_run.run_id }}")
    CyTechBotCreateContactGroupOperator(
        task_id="unreachable", cytechbot_conn_id="{{ 'unreachable' }}", name="Never made"
    )
    CyTechBotDeleteContactGroupOperator(
        task_id="nothing_to_delete", contact_type_id=4711, missing_ok="{{ False }}"
    )
    CyTechBotAssignLabelsOperator(
        task_id="some_refused",
        page_id="104857600000001",
        label_names="{{ ['VIP from a DAG'] }}",
        create_missing="{{ True }}",
        rows="{{ params.subscribers }}",
    )
