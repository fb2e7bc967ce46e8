"""Deferred sensors in a real DAG run, on every Airflow: deferred, polled by the trigger, resumed."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from airflow_provider_cytechbot.sandbox.server import SandboxServer

DAG = Path(__file__).parents[1] / "dags/sensors/sensors_deferred.py"
QUESTIONS = [{"question_id": "1", "question": "How?"}]
SEED = {"flow_campaigns": [{"id": "1", "flow_name": "Campaign", "questions": QUESTIONS}]}
ALL, ONE = "get_all_subscriber_flow_info", "get_single_subscriber_flow_info"


@pytest.fixture(scope="module")
def server():
    with SandboxServer(data=SEED) as server:
        yield server


class People(threading.Thread):
    """
    Answer the campaign, one subscriber after the other, only after a first request without answers.

    :param server: The server of the campaign.
    """

    def __init__(self, server: SandboxServer) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.gone = threading.Event()
        self.polls: dict[str, int] = {}

    def run(self) -> None:
        for endpoint, subscriber in ((ALL, "11"), (ONE, "12")):
            # The sensor's own first check, and at least one poll of the trigger that takes over.
            while len(self.server.requests(endpoint)) < 2:
                if self.gone.wait(0.02):
                    return
            self.server.answer("1", subscriber, "1", f"answer of {subscriber}")


@pytest.fixture(scope="module")
def run(server, dag_runner, tmp_path_factory):
    people = People(server)
    people.start()
    folder = tmp_path_factory.mktemp("export")
    try:
        run = dag_runner.run(
            DAG,
            conf={"campaign": "1", "subscriber": "12", "folder": folder.as_uri()},
            env={"AIRFLOW_CONN_CYTECHBOT_DEFAULT": server.connection_json()},
        )
    finally:
        people.gone.set()
        people.join()
    assert run.state == "success", run.log
    return run, (folder / "answers.jsonl").read_text()


def test_waits_end_with_the_answers(run):
    run, _ = run
    counts = {"flow_campaign_id": "1", "flow_name": "Campaign", "answered": 1, "completed": 1}
    assert run.tasks["campaign"].result == counts
    answer = {"question_id": "1", "question": "How?", "answer": "answer of 12"}
    assert run.tasks["subscriber"].result == [answer]


def test_both_were_deferred(run):
    run, _ = run
    assert run.log.count("running trigger in line") == 2


def test_the_answers_of_a_wait_are_exported(run):
    run, exported = run
    rows = [json.loads(line) for line in exported.splitlines()]
    assert [row["subscriber_id"] for row in rows] == ["11", "12"]
    assert run.tasks["export"].result["rows"] == 2
