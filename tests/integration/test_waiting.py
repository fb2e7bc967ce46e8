"""Sensors and triggers under a real scheduler and triggerer, with kills, against a server that counts."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_cytechbot.sandbox.server import SandboxServer
from airflow_provider_cytechbot.triggers.waiters import MAX_FAILED_POLLS

from .airflow_services import NO_TIMEOUT, AirflowServices

DAGS = Path(__file__).parent / "dags" / "waiting"
KEY = "1-the key+of/the waiting tests"
QUESTIONS = [{"question_id": "1", "question": "How?"}, {"question_id": "2", "question": "Why?"}]
SEED = {
    "flow_campaigns": [
        {"id": str(number), "flow_name": f"Campaign {number}", "questions": QUESTIONS}
        for number in range(1, 10)
    ]
}
#: Seconds for which one poll is kept waiting: were the event loop kept waiting with it, its debug mode would
#: log it.
SLOW = 4.5
#: Seconds after which something will never happen, even on a busy machine.
PATIENCE = 180
ALL, ONE = "get_all_subscriber_flow_info", "get_single_subscriber_flow_info"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server():
    with SandboxServer(data=SEED, api_key=KEY, quirks="all") as server:
        yield server


@pytest.fixture(scope="module")
def broken_server():
    with SandboxServer(data=SEED, api_key=KEY) as server:
        server.fault("status", ALL, status=503, times=-1)
        yield server


@pytest.fixture(scope="module")
def airflow(server, broken_server, tmp_path_factory):
    connection = json.loads(server.connection_json(timeout=5))
    broken = json.loads(broken_server.connection_json(max_retries=0))
    env = {
        "AIRFLOW_CONN_CYTECHBOT_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_WRONG_KEY": json.dumps(connection | {"password": "1-wrong"}),
        "AIRFLOW_CONN_BROKEN": json.dumps(broken),
        "PYTHONASYNCIODEBUG": "1",
    }
    home = tmp_path_factory.mktemp("airflow")
    with AirflowServices(DAGS, env=env, home=home, heartbeat_timeout=NO_TIMEOUT) as services:
        yield services


@pytest.fixture(scope="module")
def lengthy(airflow):
    """Runs that take their time, while other tests go on; the first of them a minute."""
    return {
        "broken": airflow.trigger("wait_for_a_broken_server", conf={"campaign": "5", "connection": "broken"}),
        "growing": airflow.trigger("wait_longer_and_longer"),
        "in vain": airflow.trigger("wait_in_vain", conf={"campaign": "5"}),
        "unknown campaign": airflow.trigger("wait_refused", conf={"campaign": "99"}),
        "wrong key": airflow.trigger("wait_refused", conf={"campaign": "5", "connection": "wrong_key"}),
    }


def answer(server, campaign, *subscribers, questions=("1", "2")):
    for subscriber in subscribers:
        for question in questions:
            server.answer(campaign, subscriber, question, f"answer of {subscriber}")


def starts(run, task="deferred"):
    """How often a triggerer took the wait over."""
    return len(re.findall(r'"event":"trigger [^"]* starting"', run.log(task)))


def request(server, campaign, endpoint=ALL):
    return [each for each in server.requests(endpoint) if each.query["flow_campaign_id"] == campaign]


def test_a_campaign_is_waited_for_in_both_modes_and_across_a_kill(airflow, server):
    run = airflow.trigger("wait_campaign", conf={"campaign": "1"})
    run.wait_for("deferred", "deferred", timeout=PATIENCE)
    airflow.wait_until(lambda: starts(run) == 1, PATIENCE, "the trigger", run)
    answer(server, "1", "11", "12", questions=["1"])
    airflow.restart("triggerer")
    airflow.wait_until(lambda: starts(run) == 2, PATIENCE, "it again", run)
    server.fault("delay", ALL, seconds=SLOW)
    before = len(request(server, "1"))
    airflow.wait_until(lambda: len(request(server, "1")) >= before + 4, PATIENCE, "more polls", run)
    assert run.states()["deferred"] == "deferred"  # half of the questions are not all of them
    answer(server, "1", "11", "12")
    assert run.wait(PATIENCE) == "success"
    expected = {"flow_campaign_id": "1", "flow_name": "Campaign 1", "answered": 2, "completed": 2}
    assert run.xcom("worker") == run.xcom("deferred") == expected


def test_news_start_a_dag_once_across_a_kill(airflow, server):
    def heard():
        return sorted(
            subscriber
            for run in airflow.runs("on_news")
            if run.state == "success"
            for subscriber in run.xcom("hear")
        )

    airflow.wait_until(lambda: request(server, "7"), PATIENCE, "the first poll")
    airflow.wait_until(lambda: _remembered(airflow) == 0, PATIENCE, "the state")
    answer(server, "7", "71", "72", questions=["1"])
    airflow.wait_until(lambda: heard() == ["71", "72"], PATIENCE, "the first news")
    airflow.wait_until(lambda: _remembered(airflow) == 2, PATIENCE, "the state of it")
    airflow.kill("triggerer")
    answer(server, "7", "73", questions=["1"])
    time.sleep(1)  # the launcher must have noticed
    airflow.start("triggerer")
    airflow.wait_until(lambda: heard() == ["71", "72", "73"], PATIENCE, "what came meanwhile")
    airflow.wait_until(lambda: _remembered(airflow) == 3, PATIENCE, "the state of it")
    before = len(request(server, "7"))
    airflow.wait_until(lambda: len(request(server, "7")) >= before + 3, PATIENCE, "more polls")
    assert heard() == ["71", "72", "73"]


def _remembered(airflow):
    rows = airflow.query("SELECT value FROM asset_state_store WHERE key LIKE 'cytechbot.%'")
    return json.loads(rows[0][0])["count"] if rows else None


def test_a_subscriber_is_waited_for_in_both_modes(airflow, server, lengthy):
    run = airflow.trigger("wait_subscriber", conf={"campaign": "2", "subscriber": "21"})
    run.wait_for("deferred", "deferred", timeout=PATIENCE)
    airflow.wait_until(lambda: len(request(server, "2", ONE)) >= 6, PATIENCE, "some polls", run)
    answer(server, "2", "21")
    assert run.wait(PATIENCE) == "success"
    assert [each["answer"] for each in run.xcom("worker")] == ["answer of 21"] * 2
    assert run.xcom("deferred") == run.xcom("worker")
    assert not request(server, "2", ALL)  # the cheap endpoint is enough for one
    assert "answer of 21" not in airflow.component_log("triggerer")


def test_existing_answers_cause_no_deferral(airflow, server):
    answer(server, "3", "31", "32")
    run = airflow.trigger("wait_campaign", conf={"campaign": "3"})
    assert run.wait(PATIENCE) == "success"
    assert starts(run) == 0
    assert len(request(server, "3")) == 2


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="templates of triggers need Airflow 3.3")
def test_sensors_can_start_in_the_triggerer(airflow, server):
    run = airflow.trigger("wait_from_the_start", conf={"campaign": "6", "subscriber": "61"})
    run.wait_for("subscriber", "deferred", timeout=PATIENCE)
    airflow.wait_until(lambda: len(request(server, "6")) >= 3, PATIENCE, "some polls", run)
    worker = run.log("subscriber")
    assert "Required" not in worker  # no check on a worker
    answer(server, "6", "61", "62")
    assert run.wait(PATIENCE) == "failed"
    assert run.states() == {
        "campaign": "success",
        "subscriber": "success",
        "mapped[0]": "success",
        "mapped[1]": "success",
        "unknown": "failed",
        "in_vain": "skipped",
        "invalid": "failed",
    }
    assert run.xcom("campaign")["answered"] == 2
    assert [each["answer"] for each in run.xcom("subscriber")] == ["answer of 61"] * 2


def test_many_subscribers_share_a_poll(airflow, server):
    run = airflow.trigger("wait_many", conf={"campaign": "4"})
    tasks = [f"each[{number}]" for number in range(6)]
    airflow.wait_until(lambda: set(run.states().values()) == {"deferred"}, PATIENCE, "all deferred", run)
    airflow.wait_until(lambda: request(server, "4"), PATIENCE, "a shared poll", run)
    time.sleep(1)
    single, shared, start = len(request(server, "4", ONE)), len(request(server, "4")), time.monotonic()
    airflow.wait_until(lambda: len(request(server, "4")) >= shared + 4, PATIENCE, "more shared polls", run)
    polls = len(request(server, "4")) - shared
    assert polls <= (time.monotonic() - start) + 1  # one a second, which is the interval
    assert len(request(server, "4", ONE)) == single
    answer(server, "4", *(str(number) for number in range(501, 507)))
    assert run.wait(PATIENCE) == "success"
    assert [run.xcom(task)[0]["answer"] for task in tasks] == [f"answer of {n}" for n in range(501, 507)]


@pytest.mark.parametrize("refusal", ["unknown campaign", "wrong key"])
def test_a_refusal_fails_at_once_in_both_modes(lengthy, refusal):
    run = lengthy[refusal]
    assert run.wait(PATIENCE) == "failed"
    assert run.states() == {
        "none_worker": "failed",
        "none_deferred": "failed",
        "soft_fail_worker": "skipped",
        "soft_fail_deferred": "skipped",
    }
    assert set(run.tries().values()) == {1}  # no retry can help


def test_timeout_has_the_same_effect_in_both_modes(lengthy):
    run = lengthy["in vain"]
    assert run.wait(PATIENCE) == "failed"
    assert run.states() == {
        "none_worker": "failed",
        "none_deferred": "failed",
        "soft_fail_worker": "skipped",
        "soft_fail_deferred": "skipped",
        "never_fail_worker": "skipped",
        "never_fail_deferred": "skipped",
    }
    assert set(run.tries().values()) == {1}
    assert starts(run, "none_deferred") == 1


@pytest.mark.parametrize("campaign", ["8", "9"], ids=["worker", "deferred"])
def test_intervals_grow_in_both_modes_up_to_max_wait(airflow, server, lengthy, campaign):
    run = lengthy["growing"]
    airflow.wait_until(lambda: len(request(server, campaign)) >= 8, PATIENCE, "eight polls", run)
    answer(server, campaign, "81", "82")
    moments = [each.seconds for each in request(server, campaign)]
    gaps = [later - earlier for earlier, later in pairwise(moments)][:7]
    assert min(gaps) > 0.9
    assert min(gaps[5:]) > 3.5  # each was a second, if they did not grow
    assert max(gaps[5:]) < 12  # and the last of them at least 16, if they grew without end


def test_failed_polls_are_tolerated_up_to_the_limit_in_both_modes(broken_server, lengthy):
    run = lengthy["broken"]
    assert run.wait(PATIENCE) == "failed"
    assert run.states() == {
        "none_worker": "failed",
        "none_deferred": "failed",
        "never_fail_worker": "skipped",
        "never_fail_deferred": "skipped",
    }
    assert "HTTP 503" in run.log("none_worker")
    assert "6 polls in a row failed, the last because: " in run.log("none_deferred")
    assert "HTTP 503" in run.log("none_deferred")
    # Each of the four for itself, the deferred ones at first on the worker, and then at most as often each.
    in_the_worker, first_checks = 2 * (MAX_FAILED_POLLS + 1), 2
    deferred = len(request(broken_server, "5")) - in_the_worker - first_checks
    assert MAX_FAILED_POLLS + 1 <= deferred <= 2 * (MAX_FAILED_POLLS + 1)


def test_at_the_end_no_key_is_anywhere_and_nothing_blocked_the_loop(airflow):
    for form in (KEY, KEY.replace(" ", "%20").replace("+", "%2B").replace("/", "%2F"), "1-wrong"):
        assert airflow.find_text(form) == []
    slow = re.findall(r"Executing <(.*?)> took ([0-9.]+) seconds", airflow.component_log("triggerer"))
    # On a busy machine each callback waits its turn, Airflow's own too; none waits as long as that poll.
    assert [each for each in slow if "cytechbot" in each[0] and float(each[1]) > SLOW - 0.5] == []
