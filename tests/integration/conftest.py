"""What the integration tests share: real DAG runs against the sandbox, and a browser."""

from __future__ import annotations

import functools

import pytest

from .dag_runs import DagRunner


@pytest.fixture(scope="session")
def dag_runner(tmp_path_factory):
    """One runner for all tests of a worker."""
    with DagRunner(tmp_path_factory.mktemp("airflow") / "home") as runner:
        yield runner


@pytest.fixture
def run_dag(dag_runner, cytechbot_sandbox):
    """Run a DAG (see `dag_runs.DagRunner.run`) whose connection `cytechbot_default` leads to the sandbox."""

    def run(dag, *, env=None, **options):
        connection = {"AIRFLOW_CONN_CYTECHBOT_DEFAULT": cytechbot_sandbox.connection_json()}
        return dag_runner.run(dag, env=connection | (env or {}), **options)

    return functools.wraps(dag_runner.run)(run)


@pytest.fixture(scope="module")  # while it is open, playwright's event loop is in the way of others
def browser():
    """A browser, for tests that are skipped where playwright or chromium is not there."""
    from .browser import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def worker_process(tmp_path_factory):
    """One process for all tests, in which tries of tasks begin at once."""
    from .kills.processes import worker_process

    with worker_process(tmp_path_factory.mktemp("worker") / "log") as process:
        yield process


@pytest.fixture
def worker(worker_process, tmp_path):
    """Begins tries of tasks in processes that can be killed, with the connections of the environment."""
    from .kills.processes import Worker

    return Worker(worker_process, tmp_path)


@pytest.fixture(scope="session")
def running_store(tmp_path_factory):
    """One object store for all tests: Airflow keeps a client for each connection id while a process lives."""
    from .object_store import object_store

    with object_store(tmp_path_factory.mktemp("weed")) as store:
        yield store
