"""DAGs by which the harness for a real Airflow (`airflow_services.py`) tests itself."""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, BaseHook, get_current_context, task

with DAG("services_plain", schedule=None, render_template_as_native_obj=True):

    @task
    def add(numbers: list[int]) -> int:
        print("The password is", BaseHook.get_connection("services_secret").password)
        return sum(numbers)

    add("{{ dag_run.conf.numbers }}")


with DAG("services_killed", schedule=None, default_args={"retries": 1, "retry_delay": timedelta(0)}):

    @task
    def survive(index: int) -> int:
        """Take longer than any test waits, at the first try."""
        if get_current_context()["ti"].try_number == 1:
            time.sleep(300)
        return index

    survive.expand(index=[0, 1])


with DAG("services_deferred", schedule=None):
    TimeDeltaSensor(task_id="wait", delta=timedelta(seconds=6), deferrable=True)
