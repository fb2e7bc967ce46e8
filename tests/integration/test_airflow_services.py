"""The harness for a real Airflow keeps its promises: accidents are noticed, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from .airflow_services import AirflowServices, AirflowServicesError

DAGS = Path(__file__).parent / "dags" / "services"
PASSWORD = "the-password-of-the-self-test"
ENV = {"AIRFLOW_CONN_SERVICES_SECRET": f'{{"conn_type": "http", "password": "{PASSWORD}"}}'}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    with AirflowServices(DAGS, env=ENV, home=tmp_path_factory.mktemp("airflow")) as services:
        yield services


def members(session):
    """The processes of a session, found without the harness's help."""
    found = []
    for process in psutil.process_iter(["pid", "status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        except ProcessLookupError:
            pass
    return found


def listening(session):
    found = set()
    for process in members(session):
        with contextlib.suppress(psutil.NoSuchProcess):
            connections = process.net_connections()
            found |= {each.laddr[:2] for each in connections if each.status == psutil.CONN_LISTEN}
    return found


def test_a_run_has_state_result_templates_and_log(airflow):
    run = airflow.trigger(
        "services_plain", conf={"numbers": [1, 2]}, logical_date="2026-01-02T00:00:00+00:00"
    )
    assert run.wait() == "success"
    assert run.states() == {"add": "success"}
    assert run.tries() == {"add": 1}
    assert run.xcom("add") == 3
    assert run.rendered("add")["op_args"] == [[1, 2]]
    assert "The password is ***" in run.log("add", 1)
    assert airflow.runs("services_plain") == [run]


def test_written_logs_can_be_searched(airflow):
    """A task's print is masked in its log, and by Airflow's own doing not where the scheduler repeats it."""
    assert [path.name for path in airflow.find_text(PASSWORD)] == ["scheduler.log"]
    assert [path.name for path in airflow.find_text("The password is ***")] == ["attempt=1.log"]
    assert b"services_plain" in airflow.database_bytes()


def test_a_killed_task_is_tried_again(airflow):
    """Whether its supervisor lives to report it, or the scheduler has to miss its heartbeats."""
    run = airflow.trigger("services_killed")
    first = run.kill("survive[0]", process="runner"), run.kill("survive[1]", process="both")
    assert not any(airflow.owns(pid) for pid in first)
    assert run.wait() == "success"
    assert run.tries() == {"survive[0]": 2, "survive[1]": 2}
    assert run.xcom("survive[1]") == 1
    assert "signal" in run.log("survive[0]", 1).lower()


def test_a_wait_outlives_the_triggerer(airflow):
    run = airflow.trigger("services_deferred")
    run.wait_for("wait", "deferred")
    airflow.wait_until(lambda: "trigger starting" in run.log("wait"), 30, "the trigger", run)
    airflow.restart("triggerer")
    assert run.wait() == "success"
    assert run.log("wait").count("trigger starting") == 2


def test_tasks_outlive_the_scheduler(airflow):
    run = airflow.trigger("services_killed")
    run.pid("survive[0]")
    airflow.restart("scheduler")
    assert run.wait() == "success"


def test_two_stand_side_by_side_and_leave_nothing(airflow):
    with AirflowServices(DAGS, env=ENV) as other:
        run = other.trigger("services_killed")
        run.pid("survive[0]")
        run.kill("survive[1]", process="supervisor")  # its task now has no parent that is ours
        (session,) = {os.getsid(process.pid) for process in other.processes()}
        assert len(members(session)) >= 10
        assert listening(session) == {("127.0.0.1", other.port)}
    assert members(session) == []
    assert not other.home.exists()
    assert airflow.trigger("services_plain", conf={"numbers": []}).wait() == "success"


def test_a_test_that_is_killed_leaves_nothing(tmp_path):
    script = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.integration.airflow_services import AirflowServices
with AirflowServices(sys.argv[2], home=Path(sys.argv[3]), components=["triggerer"]) as airflow:
    print(airflow.processes()[0].pid, flush=True)
    time.sleep(300)
"""
    command = [sys.executable, "-c", script, Path(__file__).parents[2], DAGS, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as doomed:
        session = os.getsid(int(doomed.stdout.readline()))
        assert members(session)
        doomed.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while members(session) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert members(session) == []


def test_the_error_of_a_component_that_does_not_start_has_the_reason(tmp_path):
    services = AirflowServices(
        DAGS, home=tmp_path, components=["scheduler"], env={"AIRFLOW__CORE__EXECUTOR": "no.such.Executor"}
    )
    with (
        pytest.raises(AirflowServicesError, match=r"(?s)scheduler has ended, with exit code 1.*no.such"),
        services,
    ):
        pass
    assert services.processes() == []
