"""Creates under a real scheduler whose workers are killed at each point between request and result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotAmbiguousWriteError
from airflow_provider_cytechbot.sandbox.server import SandboxServer

from ..airflow_services import AirflowServices

DAGS = Path(__file__).parents[1] / "dags/operators"
KEY = "1-k y/a+b%c&="
PASSWORD = "pass w/ord+%&="
#: The error of a create whose result is not known: its class, since the unit tests check its words.
AMBIGUOUS = CyTechBotAmbiguousWriteError.__name__
#: By task: the endpoint that it calls.
ENDPOINTS = {
    "contact_group": "create_contact_group",
    "contact": "create_contact",
    "label": "create_label",
    "user": "create_system_user",
}
#: By task: the sandbox's table of what the task creates.
KINDS = {"contact_group": "contact_groups", "contact": "contacts", "label": "labels", "user": "users"}
CAN_LOOK = {"label", "user"}
CANNOT_LOOK = set(ENDPOINTS) - CAN_LOOK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sandbox():
    with SandboxServer(api_key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def airflow(sandbox, tmp_path_factory):
    env = {
        "AIRFLOW_CONN_CYTECHBOT_DEFAULT": sandbox.connection_json(timeout=300),
        "AIRFLOW_VAR_NEW_PASSWORD": PASSWORD,
    }
    components = ("api-server", "scheduler", "dag-processor")
    with AirflowServices(
        DAGS, env=env, home=tmp_path_factory.mktemp("airflow"), components=components
    ) as services:
        yield services


@pytest.fixture
def killed(airflow, sandbox):
    """Start a run, kill all its workers once they are at a point, and wait for its end."""

    def killed(point, process="runner"):
        sandbox.reset()
        hold = point
        if point == "before answer":
            hold = ""
            for endpoint in ENDPOINTS.values():
                sandbox.fault("delay", endpoint, seconds=300)
        run = airflow.trigger("operators_killed", conf={"hold": hold})
        waiting = set(ENDPOINTS)

        def one_there():
            for task in waiting:
                there = "Held." in run.log(task) if hold else sandbox.journal.took_effect(ENDPOINTS[task])
                if there:
                    run.kill(task, process)
                    waiting.remove(task)
                    break
            return not waiting

        airflow.wait_until(one_there, 120, f"all tasks at {point}", run)
        run.wait(150)
        return run

    return killed


@pytest.fixture
def made(sandbox):
    """Return a function that returns the ids created since the start of the test, by task."""

    def ids():
        return {task: set(getattr(sandbox.state, kind)) for task, kind in KINDS.items()}

    sandbox.reset()
    before = ids()
    return lambda: {task: sorted(now - before[task]) for task, now in ids().items()}


def received(sandbox):
    return {task: sandbox.journal.received(endpoint) for task, endpoint in ENDPOINTS.items()}


def check(run, made, failed=()):
    assert run.tries() == dict.fromkeys(ENDPOINTS, 2)
    assert run.states() == {task: "failed" if task in failed else "success" for task in ENDPOINTS}
    for task in ENDPOINTS:
        assert run.xcom(task) == (None if task in failed else made[task][0])
        assert len(made[task]) <= 1
    for task in failed:
        assert AMBIGUOUS in run.log(task, 2)


def test_a_worker_killed_before_the_create_begins(killed, made, sandbox):
    run = killed("before begin")
    check(run, made())
    assert received(sandbox) == dict.fromkeys(ENDPOINTS, 1)


def test_begun_and_not_sent(killed, made, sandbox):
    run = killed("after begin")
    check(run, made(), failed=CANNOT_LOOK)
    assert received(sandbox) == {task: task in CAN_LOOK for task in ENDPOINTS}


@pytest.mark.parametrize("process", ["runner", "both"])
def test_made_and_not_answered(killed, made, sandbox, process):
    run = killed("before answer", process)
    assert all(len(ids) == 1 for ids in made().values())
    check(run, made(), failed=CANNOT_LOOK)
    assert received(sandbox) == dict.fromkeys(ENDPOINTS, 1)


def test_a_clear_after_the_error_creates_again(killed, made, sandbox):
    run = killed("before answer")
    (first,) = made()["contact_group"]
    clear(run, "contact_group")
    run.wait_for("contact_group", "success", try_number=3, timeout=120)
    assert sandbox.journal.received("create_contact_group") == 2
    second = run.xcom("contact_group")
    assert sorted(made()["contact_group"]) == sorted([first, second])
    # What has succeeded is not made again as long as it exists.
    clear(run, "contact_group")
    run.wait_for("contact_group", "success", try_number=4, timeout=120)
    assert run.xcom("contact_group") == second
    assert sandbox.journal.received("create_contact_group") == 2


CLEAR = """
import sys
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.utils.session import create_session
from sqlalchemy import select

with create_session() as session:
    wanted = select(TaskInstance).filter_by(dag_id=sys.argv[1], run_id=sys.argv[2], task_id=sys.argv[3])
    clear_task_instances(session.scalars(wanted).all(), session)
"""


def clear(run, task):
    """Clear a task as the UI does."""
    environment = {**os.environ, "AIRFLOW_HOME": str(run.airflow.home)}
    command = [sys.executable, "-c", CLEAR, run.dag_id, run.run_id, task]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def test_answered_and_not_stored(killed, made, sandbox):
    run = killed("before result")
    check(run, made(), failed=CANNOT_LOOK)
    assert received(sandbox) == dict.fromkeys(ENDPOINTS, 1)


def test_stored_and_not_returned(killed, made, sandbox):
    run = killed("after result")
    check(run, made())
    assert received(sandbox) == dict.fromkeys(ENDPOINTS, 1)


@pytest.mark.parametrize("quirks", ["none", "all"])
def test_updates_and_deletes_are_done_again(airflow, sandbox, quirks):
    sandbox.reset()
    sandbox.quirks = quirks
    endpoints = {"update": "update_contact", "delete": "delete_contact"}
    for endpoint in endpoints.values():
        sandbox.fault("delay", endpoint, seconds=300)
    run = airflow.trigger("operators_killed_repeatable")
    for task, endpoint in endpoints.items():
        airflow.wait_until(lambda of=endpoint: sandbox.journal.took_effect(of) == 1, 90, endpoint, run)
        run.kill(task, "runner")
    assert run.wait(150) == "success"
    assert run.tries() == {"update": 2, "delete": 2}
    assert (run.xcom("update"), run.xcom("delete")) == ("1", "2")
    assert sandbox.journal.took_effect() == 2


def test_no_secret_is_left_anywhere(airflow):
    for secret in (KEY, PASSWORD):
        for form in {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}:
            assert airflow.find_text(form) == []
    assert airflow.find_text("operators_killed") != []
