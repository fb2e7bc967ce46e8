"""Bulk label assignments over real HTTP, counted at a server that is not the sandbox."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
import time
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotRequestError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.bulk import pause, runner
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator

REFUSED = (200, "", {"status": "error", "message": "(#100) The user ID is not valid."})
WRONG_KEY = (200, "", {"status": "error", "message": "Either API Key Invalid or Member Validity Expired"})


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(runner, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(pause, "FIRST_PAUSE", 0.1)


@pytest.fixture
def assign(tmp_path):
    """Make the operator, with a report."""

    def assign(**fields):
        fields.setdefault("label_ids", "5")
        return CyTechBotAssignLabelsOperator(
            task_id="t", page_id="9", report_path=str(tmp_path / "report.csv"), **fields
        )

    return assign


@pytest.fixture
def report(tmp_path):
    """Read the report by subscriber."""

    def report():
        with (tmp_path / "report.csv").open(newline="") as file:
            return {line["key"]: line["outcome"] for line in csv.DictReader(file)}

    return report


def ids(number):
    return [str(each) for each in range(1, number + 1)]


def test_calls_share_kept_alive_connections(server, assign):
    server.delay = 0.02
    manifest = assign(rows=ids(200)).execute({})
    assert manifest["counts"]["succeeded"] == 200
    assert server.most_under_way == 8
    assert len(server.ports) == 8
    assert set(server.received.values()) == {1}
    assert max(server.moments) - min(server.moments) < 0.75 * 200 * server.delay


def test_every_row_has_the_outcome_that_the_server_gave_it(server, assign, report):
    server.script = {
        "2": [REFUSED],
        "3": ["lose"],
        "4": ["lose"] * 10,
        "5": [(502, "", {})],
        "6": [(429, "", {})] * 7,
    }
    context = {"ti": SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))}
    pushed = {}
    with pytest.raises(CyTechBotTransportError, match="20 rows: 18 succeeded, 1 refused, 1 failed"):
        assign(rows=ids(20)).execute(context)
    assert pushed["return_value"]["counts"]["succeeded"] == 18
    assert {key: outcome for key, outcome in report().items() if outcome != "succeeded"} == {
        "2": "refused",
        "4": "failed",
    }
    assert {key: number for key, number in server.received.items() if number > 1} == {
        "3": 2,
        "4": 5,
        "5": 2,
        "6": 8,
    }


def test_retry_after_holds_back_all_calls_together(server, assign):
    server.delay = 0.005
    server.script = {"10": [(429, "Retry-After: 1\r\n", {})]}
    assert assign(rows=ids(100)).execute({})["counts"]["succeeded"] == 100
    moments = sorted(server.moments)
    gaps = [after - before for before, after in pairwise(moments)]
    assert 0.8 < max(gaps) < 2
    assert len([gap for gap in gaps if gap > 0.5]) == 1


def test_a_wrong_key_stops_everything_at_once(server, assign, report):
    server.for_all = WRONG_KEY
    with pytest.raises(CyTechBotError, match="API Key Invalid"):
        assign(rows=ids(1_000)).execute({})
    assert server.received.total() <= 8
    assert list(report().values()).count("not_attempted") == 1_000 - server.received.total()


def limit_rate(monkeypatch, server, rate):
    extra = {"requests_per_second": rate}
    connection = {"conn_type": "cytechbot", "host": server.url, "password": "1-some-key", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))


def test_a_wrong_key_stops_calls_that_wait_for_their_turn(server, assign, report, monkeypatch):
    limit_rate(monkeypatch, server, 3)
    server.for_all = WRONG_KEY
    with pytest.raises(CyTechBotError, match="API Key Invalid"):
        assign(rows=ids(100)).execute({})
    assert server.received.total() == 1
    assert Counter(report().values()) == {"failed": 1, "not_attempted": 99}


def test_a_kill_sends_no_call_that_waits_for_its_turn(server, assign, report, monkeypatch):
    limit_rate(monkeypatch, server, 4)
    task = assign(rows=ids(100))
    before = signal.signal(signal.SIGALRM, lambda *_: (stopped.append(time.monotonic()), task.on_kill()))
    stopped = []
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.5)
        with pytest.raises(CyTechBotTransportError, match="task was stopped"):
            task.execute({})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert max(server.moments) < stopped[0] + 0.1
    sent = server.received.total()
    assert Counter(report().values()) == {"succeeded": sent, "not_attempted": 100 - sent}


class Timeout(BaseException):
    """As Airflow's own, which a signal handler raises."""


def test_a_timeout_lets_calls_under_way_finish_and_writes_the_report(server, assign, report):
    server.delay = 0.1

    def raise_timeout(*_):
        raise Timeout

    before = signal.signal(signal.SIGALRM, raise_timeout)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1)
        with pytest.raises(Timeout):
            assign(rows=ids(500)).execute({})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    found = report()
    assert len(found) == 500
    assert {key for key, outcome in found.items() if outcome == "succeeded"} == set(server.received)
    assert 0 < len(server.received) < 500


def test_a_kill_lets_calls_under_way_finish_and_writes_the_report(server, assign, report):
    server.delay = 0.1
    task = assign(rows=ids(500))
    before = signal.signal(signal.SIGALRM, lambda *_: task.on_kill())
    try:
        signal.setitimer(signal.ITIMER_REAL, 1)
        began = time.monotonic()
        with pytest.raises(CyTechBotTransportError, match="task was stopped"):
            task.execute({})
        assert time.monotonic() - began < 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert {key for key, outcome in report().items() if outcome == "succeeded"} == set(server.received)


def test_a_query_tags_every_segment(server, assign, tmp_path, monkeypatch):
    pytest.importorskip("airflow.providers.sqlite")
    with sqlite3.connect(tmp_path / "warehouse.db") as connection:
        connection.execute("CREATE TABLE people (psid INTEGER, segment TEXT)")
        rows = [(24994546734902201, "VIP"), (24994546734902202, "Nothing"), (24994546734902201, "VIP")]
        connection.executemany("INSERT INTO people VALUES (?, ?)", rows)
    connection.close()
    database = {"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(database))
    task = assign(
        sql="SELECT psid, segment FROM people",
        sql_conn_id="warehouse",
        label_ids=None,
        columns={"subscriber_id": "psid", "label_names": "segment"},
    )
    with pytest.raises(CyTechBotRequestError, match="2 succeeded, 1 invalid"):
        task.execute({})
    assert server.received == {"24994546734902201": 1}


def test_the_key_is_in_no_report_and_no_error(server, assign, tmp_path):
    server.for_all = (200, "", {"status": "error", "message": "bad: api_key=1-some-key ann@example.com"})
    with pytest.raises(CyTechBotRequestError) as raised:
        assign(rows=ids(3)).execute({})
    for text in (str(raised.value), (tmp_path / "report.csv").read_text()):
        assert "some-key" not in text
        assert "ann@example.com" not in text
