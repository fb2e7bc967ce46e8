"""Bulk writes that are killed at any point: each row ends in one outcome, and the server's log agrees."""

from __future__ import annotations

import csv
import random
import signal
import time
from collections import Counter

import pytest

ROWS = 180
CONCURRENCY = 4
#: Nothing that another try would change.
SETTLED = {"succeeded", "unchanged", "ambiguous", "refused"}


def ids(number=ROWS):
    return [str(each) for each in range(1, number + 1)]


def report_of(path):
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    outcomes = {line["key"]: line["outcome"] for line in lines}
    assert len(outcomes) == len(lines)
    return outcomes


def wait_until(condition, seconds=30):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.002)


@pytest.fixture
def places(tmp_path):
    """The parameters of a state, a report, or both."""

    def places(*names):
        paths = {"state_path": tmp_path / "state", "report_path": tmp_path / "out" / "report.csv"}
        return {name: str(paths[name]) for name in names}

    return places


def killed_often(worker, server, operator, fields, seed, kills=2):
    """Kill a task at random points until it ends by itself; return how many kills there were."""
    points = random.Random(seed)
    for number in range(1, 40):
        goal = server.received.total() + points.randrange(1, ROWS // kills)
        attempt = worker.begin(operator, number, fields)
        if number > kills:
            return number - 1, attempt.wait()
        how = points.choice(["KILL", "TERM", "TERM then KILL"])
        wait_until(lambda goal=goal, attempt=attempt: server.received.total() >= goal or attempt.has_result())
        time.sleep(points.random() * 0.02)
        if how != "KILL":
            attempt.kill(signal.SIGTERM)
        if how == "TERM then KILL":
            time.sleep(points.random() * 0.05)
        if how != "TERM":
            attempt.kill()
        if (found := attempt.wait()) and not found.get("error"):
            return number, found
    raise AssertionError("it never ended")


@pytest.mark.parametrize("names", [("report_path",), ("state_path",), ("state_path", "report_path")])
def test_a_killed_assignment_goes_on_where_it_was(worker, server, places, tmp_path, names):
    server.delay = 0.004
    fields = {
        "page_id": "9",
        "label_ids": "5",
        "rows": ids(),
        "max_concurrency": CONCURRENCY,
        **places(*names),
    }
    kills, found = killed_often(worker, server, "assign", fields, seed=1)
    counts = found["manifest"]["counts"]
    assert counts["succeeded"] == found["manifest"]["rows"] == ROWS
    assert set(server.received) == set(ids())
    # Only what had no durable outcome is sent again: calls under way, and those of the last quarter second.
    assert server.received.total() - ROWS <= kills * (50 + 2 * CONCURRENCY)
    if "report_path" in names:
        assert set(report_of(tmp_path / "out" / "report.csv").values()) == {"succeeded"}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("names", [("report_path",), ("state_path", "report_path")])
def test_a_killed_create_is_never_sent_twice(worker, server, places, tmp_path, names, seed):
    server.delay = 0.004
    fields = {"rows": [{"name": each} for each in ids()], "max_concurrency": CONCURRENCY, **places(*names)}
    kills, found = killed_often(worker, server, "create", fields, seed)
    assert set(server.received.values()) == {1}
    outcomes = report_of(tmp_path / "out" / "report.csv")
    assert set(outcomes) == set(ids())
    assert found["manifest"]["counts"] == {
        **dict.fromkeys(found["manifest"]["counts"], 0),
        **Counter(outcomes.values()),
    }
    done = {key for key, outcome in outcomes.items() if outcome == "succeeded"}
    assert set(outcomes.values()) <= {"succeeded", "ambiguous"}
    assert done <= set(server.received)
    assert len(outcomes) - len(done) <= kills * 2 * CONCURRENCY


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
