"""
Creates whose worker a test kills at a chosen point.

Around the request, a delay of the sandbox holds the door open; before and after it, a `task_state_store`
does, which in the first try waits before or after it stores what the test names.
"""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_cytechbot.operators.contact_groups import CyTechBotCreateContactGroupOperator
from airflow_provider_cytechbot.operators.contacts import (
    CyTechBotCreateContactOperator,
    CyTechBotDeleteContactOperator,
    CyTechBotUpdateContactOperator,
)
from airflow_provider_cytechbot.operators.labels import CyTechBotCreateLabelOperator
from airflow_provider_cytechbot.operators.users import CyTechBotCreateUserOperator


def pause():
    print("Held.")
    time.sleep(300)


def hold(context):
    """Let the first try of a task stop at the point `params.hold`, until it is killed."""
    ti, store, point = context["ti"], context["task_state_store"], context["params"]["hold"]
    if ti.try_number > 1 or not point:
        return
    moment, _, what = point.partition(" ")

    class Holding:
        get, delete = store.get, store.delete

        def set(self, key, value, **kwargs):
            is_it = ("id" in value) == (what == "result")
            if is_it and moment == "before":
                pause()
            store.set(key, value, **kwargs)
            if is_it and moment == "after":
                pause()

    context["task_state_store"] = Holding()


with DAG(
    "operators_killed",
    schedule=None,
    params={"hold": "", "page_id": "104857600000001"},
    default_args={"retries": 2, "retry_delay": timedelta(0), "pre_execute": hold},
):
    CyTechBotCreateContactGroupOperator(task_id="contact_group", name="Group of {{ dag_run.run_id }}")
    CyTechBotCreateContactOperator(
        task_id="contact",
        contact_type_id=1,
        contact_email="{{ dag_run.run_id | replace('+', '_') }}@example.com",
    )
    CyTechBotCreateLabelOperator(
        task_id="label", label_name="Label of {{ dag_run.run_id }}", page_id="{{ params.page_id }}"
    )
    CyTechBotCreateUserOperator(
        task_id="user",
        name="Kim",
        user_email="{{ dag_run.run_id | replace('+', '_') }}@example.org",
        password="{{ var.value.new_password }}",
        package_id=1,
        expired_date="2027-01-01",
    )

with DAG(
    "operators_killed_repeatable", schedule=None, default_args={"retries": 2, "retry_delay": timedelta(0)}
):
    CyTechBotUpdateContactOperator(task_id="update", contact_id=1, last_name="Of {{ dag_run.run_id }}")
    CyTechBotDeleteContactOperator(task_id="delete", contact_id=2)
