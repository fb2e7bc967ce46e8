"""Bulk writes that are stopped, taken over or run twice at once: no create is sent twice."""

from __future__ import annotations

import csv
import signal
import time

import pytest

from ..kills.interruptions import wait_until

ROWS = 180
CONCURRENCY = 4


def ids(number=ROWS):
    return [str(each) for each in range(1, number + 1)]


def report_of(path):
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    outcomes = {line["key"]: line["outcome"] for line in lines}
    assert len(outcomes) == len(lines)
    return outcomes


@pytest.fixture
def places(tmp_path):
    """The parameters of a state, a report, or both."""

    def places(*names):
        paths = {"state_path": tmp_path / "state", "report_path": tmp_path / "out" / "report.csv"}
        return {name: str(paths[name]) for name in names}

    return places


def test_a_stopped_task_keeps_the_outcomes_of_calls_under_way(worker, server, places, tmp_path):
    server.delay = 0.2
    fields = {"rows": [{"name": each} for each in ids()], "max_concurrency": CONCURRENCY}
    fields |= places("report_path")
    attempt = worker.begin("create", 1, fields)
    wait_until(lambda: server.received.total() > 2 * CONCURRENCY)
    began = time.monotonic()
    attempt.kill(signal.SIGTERM)
    found = attempt.wait()
    assert time.monotonic() - began < 3
    assert found["error"] == "CyTechBotTransportError"
    assert found["manifest"]["counts"]["succeeded"] == len(server.received)
    assert found["manifest"]["counts"]["ambiguous"] == 0
    outcomes = report_of(tmp_path / "out" / "report.csv")
    assert {key for key, outcome in outcomes.items() if outcome == "succeeded"} == set(server.received)


def test_a_process_that_was_taken_over_sends_nothing_twice(worker, server, places, tmp_path):
    """As when a supervisor dies, and the next try begins while the code of the first one still runs."""
    server.delay = 0.05
    fields = {"rows": [{"name": each} for each in ids()], "max_concurrency": CONCURRENCY}
    fields |= places("state_path", "report_path")
    first = worker.begin("create", 1, fields)
    wait_until(lambda: server.received.total() > 5 * CONCURRENCY)
    first.kill(signal.SIGSTOP)
    before = server.received.total()
    second = worker.begin("create", 2, fields)
    wait_until(lambda: server.received.total() > before + 5 * CONCURRENCY)
    first.kill(signal.SIGCONT)
    assert "taken over" in first.wait()["text"]
    counts = second.wait()["manifest"]["counts"]
    assert set(server.received.values()) == {1}
    assert counts["succeeded"] + counts["ambiguous"] == ROWS
    assert counts["ambiguous"] <= 2 * CONCURRENCY


def test_two_runs_at_once_are_refused_and_the_other_one_is_named(worker, server, places):
    server.delay = 0.5
    fields = {"page_id": "9", "label_ids": "5", "rows": ids(), **places("state_path")}
    first = worker.begin("assign", 1, fields)
    wait_until(lambda: server.received.total() > 5)
    found = worker.begin("assign", 1, fields, run="another")
    assert f"in use by task t of DAG d, run r, process {first.pid}" in found.wait()["text"]
    server.delay = 0
    assert first.wait()["manifest"]["counts"]["succeeded"] == ROWS
    assert set(server.received.values()) == {1}
    after = worker.run("assign", 1, fields, run="another")
    assert after["manifest"]["counts"]["unchanged"] == ROWS
