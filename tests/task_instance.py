"""A task instance without Airflow's database, for tests that execute an operator in their own process."""

from __future__ import annotations

from types import SimpleNamespace


def task_instance(
    xcoms: dict | None = None,
    *,
    dag_id: str = "d",
    task_id: str = "t",
    run_id: str = "r",
    map_index: int = -1,
    try_number: int = 1,
    first_try: int = 1,
    retries: int = 3,
) -> SimpleNamespace:
    """
    Return what an operator reads of the task instance of a try.

    :param xcoms: Where the XComs go; without it they are dropped.
    :param try_number: The number of the try, from 1; it goes on after the task is cleared.
    :param first_try: The number of the first try since the task was cleared.
    :param retries: How often the task is retried.
    """
    xcoms = {} if xcoms is None else xcoms
    return SimpleNamespace(
        dag_id=dag_id,
        task_id=task_id,
        run_id=run_id,
        map_index=map_index,
        try_number=try_number,
        max_tries=first_try - 1 + retries,
        task=SimpleNamespace(retries=retries),
        xcom_push=lambda key, value: xcoms.update({key: value}),
    )
