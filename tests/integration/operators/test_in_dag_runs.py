"""The operators in real DAG runs: retries, what a person reads, and where secrets must not be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_cytechbot.operators.links import INSTALLATION_KEY
from airflow_provider_cytechbot.sandbox.server import SandboxServer

DAG = Path(__file__).parents[1] / "dags/operators/operators_going_wrong.py"
#: Characters that each encoding spells differently.
KEY = '1-k y/a+b%c"é&='
PASSWORD = "pass w/ord+%é&="
WRONG_KEY = "9-wrong/key é%"
PAGE = "104857600000001"


@pytest.fixture(scope="module")
def sandbox():
    with SandboxServer(api_key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def run(sandbox, dag_runner):
    """One run of all tasks, which each test looks at from its side."""
    echo = {
        "status": "error",
        "message": f"Bad request: api_key={KEY}, password={PASSWORD} (was {PASSWORD!r})",
    }
    echoed = {"kind": "body", "endpoint": "create_system_user", "body": json.dumps(echo), "effect": False}
    sandbox.fault(kind="reset_after", endpoint="create_system_user", skip=1)
    sandbox.fault(**echoed, skip=1)  # of those that the other did not take
    sandbox.fault(kind="reset_after", endpoint="create_contact_group")
    subscribers = [each for each, known in sandbox.state.subscribers.items() if known["page_id"] == PAGE]
    connections = {
        "CYTECHBOT_DEFAULT": sandbox.connection_json(),
        "WRONG_KEY": json.dumps({"conn_type": "cytechbot", "host": sandbox.base_url, "password": WRONG_KEY}),
        "UNREACHABLE": json.dumps(
            {
                "conn_type": "cytechbot",
                "host": "http://127.0.0.1:9",
                "password": KEY,
                "extra": {"max_retries": 0},
            }
        ),
    }
    return dag_runner.run(
        DAG,
        conf={"subscribers": [subscribers[0], "4711", subscribers[1]]},
        env={f"AIRFLOW_CONN_{name}": value for name, value in connections.items()}
        | {"AIRFLOW_VAR_NEW_PASSWORD": PASSWORD},
    )


def test_states_and_tries(run):
    assert {name: (task.state, task.tries) for name, task in run.tasks.items()} == {
        "user_made": ("success", 1),
        "user_lost": ("success", 1),
        "user_refused": ("failed", 1),
        "wrong_key": ("failed", 1),
        "group_lost": ("failed", 1),
        "unreachable": ("failed", 3),
        "nothing_to_delete": ("failed", 1),
        "some_refused": ("failed", 1),
    }


def test_requests(run, sandbox):
    received = {name: counts["received"] for name, counts in sandbox.journal.as_json()["counts"].items()}
    assert received["create_system_user"] == 4
    assert received["create_contact_group"] == 1
    assert received["delete_contact_group"] == 1


def test_results(run, sandbox):
    emails = {user["email"]: user["id"] for user in sandbox.state.users.values()}
    assert run.tasks["user_made"].result == emails["made@example.com"]
    assert run.tasks["user_lost"].result == emails["lost@example.com"]
    assert "ops@example.com" not in emails
    assert run.tasks["user_made"].xcoms[INSTALLATION_KEY] == f"http://127.0.0.1:{sandbox.port}"
    assert sandbox.state.users[emails["made@example.com"]]["expired_date"].startswith("2027-01-14")
    counts = run.tasks["some_refused"].xcoms["return_value"]["counts"]
    assert (counts["refused"], counts["succeeded"]) == (1, 2)


LINES = (
    """
POST create_system_user (connection 'wrong_key'): the API refused: "Either API Key Invalid or Member Validity
 Expired". Check the API key in the connection and the member's validity. This endpoint needs an admin's key.
POST delete_contact_group (connection 'cytechbot_default'): the API refused: "The contact type ID does not
 exist". Nothing was found for contact_type_id '4711': check it.
POST create_contact_group (connection 'unreachable'): no connection to 127.0.0.1:9 could be made.
 Check the host in the connection, and whether the server can be reached from the worker.
127.0.0.1:PORT closed the connection before its answer was whole. It is not sent again. The API cannot list
 contact groups: look for the name in the CyTechBot dashboard. If it is there, pass its id to the tasks
Connection 'cytechbot_default': 3 rows: 2 succeeded, 1 refused. The first: 4711: the API refused:
""".strip()
    .replace("\n ", " ")
    .splitlines()
)


def test_one_clear_line_each(run, sandbox):
    for line in LINES:
        assert line.replace("PORT", str(sandbox.port)) in run.log
    for noise in (
        "urllib3",
        "MaxRetryError",
        "HTTPConnectionPool",
        "During handling of the above",
        "direct cause",
    ):
        assert noise not in run.log


@pytest.mark.parametrize("secret", [KEY, PASSWORD, WRONG_KEY])
def test_secrets_are_nowhere(run, secret):
    assert run.find_text(secret) == []
    assert any(name.endswith(".db") for name in run.files)
    assert run.tasks["user_made"].rendered["password"] == "***"


def test_the_search_would_find_them(run):
    assert run.find_text("made@example.com") != []
    assert "Bad request: api_key=*** password=***" in run.log


@pytest.fixture(scope="module")
def written(sandbox, dag_runner, tmp_path_factory):
    """One run of each write."""
    sandbox.reset()
    folder = tmp_path_factory.mktemp("written").as_uri()
    env = {"AIRFLOW_CONN_CYTECHBOT_DEFAULT": sandbox.connection_json()}
    return dag_runner.run(DAG.with_name("operators_writing.py"), conf={"folder": folder}, env=env)


def test_each_write_logs_what_it_did(written):
    assert set(written.states.values()) == {"success"}
    ids = {name: task.result for name, task in written.tasks.items()}
    bulk = "Bulk write ({}) over connection 'cytechbot_default': 2 rows: {}"
    for task, line in {
        "group": f"Created contact group 'Riders' over : id {ids['group']}.",
        "renamed": f"Updated contact group {ids['group']} over : changed (name).",
        "contact": f"Created contact in contact group {ids['group']} over : id {ids['contact']}.",
        "changed": f"Updated contact {ids['contact']} over : changed (first_name, last_name).",
        "deleted": f"Deleted contact {ids['contact']} over : changed.",
        "deleted_again": f"Nothing to delete for contact_id '{ids['contact']}' over : ",
        "label": f"Created label 'Rider' of page {PAGE} over : id {ids['label']}.",
        "tagged": f"Assigned labels {ids['label']} of page {PAGE} to subscriber 24994546734902201 over : ",
        "tagged_all": bulk.format(f"operation assign, page_id {PAGE}", "2 succeeded. "),
        "user": f"Created user 'kim.r@example.com' over : id {ids['user']}.",
        "renewed": f"Updated user {ids['user']} over : changed (name).",
        "renewed_all": bulk.format("operation update users", "1 succeeded, 1 refused. Operations: update 2."),
        "synced": bulk.format(
            "operation sync contacts", "2 succeeded. Operations: create 2. Report: file://"
        ),
        "dropped": f"Deleted contact group {ids['group']} over : changed.",
    }.items():
        assert line.replace(" over :", " over connection 'cytechbot_default':") in written.log, task


def test_a_contact_sync_logs_its_group(written):
    group = written.tasks["group"].result
    assert f"The contacts are those of contact group {group}." in written.log


def test_bulk_writes_leave_no_address_in_log_view_and_xcom(written):
    for address in ("row1@example.com", "+4915112345678", "+4915112345679"):
        found = [each for task in written.tasks.values() for each in (task.rendered, task.xcoms)]
        assert address not in json.dumps(found)
        assert address not in written.log
    assert "single@example.com" in json.dumps(written.tasks["contact"].rendered)
    for task in ("tagged_all", "renewed_all", "synced"):
        assert written.tasks[task].rendered["rows"] == "2 rows"
