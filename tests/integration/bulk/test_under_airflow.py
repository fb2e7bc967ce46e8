"""Bulk writes under a real scheduler: killed workers and execution_timeout."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path

import pytest

from ..airflow_services import AirflowServices
from .conftest import LabelServer

DAGS = Path(__file__).parents[1] / "dags/bulk"
ROWS = 300
CONCURRENCY = 4

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def label_server():
    with LabelServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bulk")


@pytest.fixture(scope="module")
def airflow(label_server, folder, tmp_path_factory):
    connection = {"conn_type": "cytechbot", "host": label_server.url, "password": "1-some-key"}
    env = {"AIRFLOW_CONN_CYTECHBOT_DEFAULT": json.dumps(connection), "AIRFLOW_VAR_FOLDER": str(folder)}
    home = tmp_path_factory.mktemp("airflow")
    components = ("api-server", "scheduler", "dag-processor")
    with AirflowServices(DAGS, env=env, home=home, components=components) as services:
        yield services


def outcomes(path):
    with path.open(newline="") as file:
        return {line["key"]: line["outcome"] for line in csv.DictReader(file)}


@pytest.mark.parametrize("process", ["runner", "both"])
def test_the_retry_after_a_kill_goes_on_where_the_try_was(airflow, label_server, folder, process):
    label_server.received.clear()
    label_server.delay = 0.05
    run = airflow.trigger("bulk_killed")
    airflow.wait_until(lambda: label_server.received.total() > ROWS // 3, 90, "the first third", run)
    run.kill("labels", process)
    assert run.wait(300) == "success"
    assert run.tries()["labels"] > 1
    assert run.xcom("labels")["counts"]["succeeded"] == ROWS
    assert set(outcomes(folder / run.run_id / "report.csv").values()) == {"succeeded"}
    assert len(label_server.received) == ROWS
    # Calls under way and those of the last quarter second.
    assert label_server.received.total() - ROWS <= (50 + 2 * CONCURRENCY) * (run.tries()["labels"] - 1)


def test_a_task_that_takes_too_long_writes_its_report_and_its_retry_goes_on(airflow, label_server, folder):
    label_server.received.clear()
    label_server.delay = 0.15
    run = airflow.trigger("bulk_too_long")
    assert run.wait(300) == "success"
    # On a busy machine a try can be over before its rows are read. It has no report then.
    found = folder.glob(f"{run.run_id}-*/*.csv")
    reports = {int(path.parent.name.rpartition("-")[2]): path for path in found}
    assert len(reports) > 1
    first = outcomes(reports[min(reports)])
    assert len(first) == ROWS
    assert 0 < list(first.values()).count("succeeded") < ROWS
    assert run.xcom("labels")["counts"]["succeeded"] == ROWS
    assert label_server.received.total() - ROWS <= CONCURRENCY * run.tries()["labels"]
