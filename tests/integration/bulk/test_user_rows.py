"""Bulk updates of users over real HTTP, against a sandbox that loses answers."""

from __future__ import annotations

import csv
import functools
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotRequestError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.bulk import pause, runner
from airflow_provider_cytechbot.operators.users import CyTechBotUpdateUsersOperator
from tests.task_instance import task_instance


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(runner, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(pause, "FIRST_PAUSE", 0.1)


@pytest.fixture
def connect(cytechbot_sandbox, monkeypatch):
    """Set the connection, with extra options."""

    def connect(**extra):
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", cytechbot_sandbox.connection_json(**extra))

    connect()
    return connect


@pytest.fixture
def update(connect, tmp_path):
    """Update users as a task of a run does; return the outcomes by key."""

    def update(*, run_id="run 1", try_number=1, **fields):
        report = tmp_path / "report.csv"
        task = CyTechBotUpdateUsersOperator(task_id="renew", report_path=str(report), **fields)
        logical_date = datetime(2027, 1, 31, tzinfo=UTC)
        context = {
            "ti": task_instance(run_id=run_id, try_number=try_number),
            "dag_run": SimpleNamespace(logical_date=logical_date),
        }
        try:
            update.manifest = task.execute(context)
            update.error = None
        except CyTechBotError as error:
            update.error = error
        with report.open(newline="") as file:
            return {line["key"]: line["outcome"] for line in csv.DictReader(file)}

    return update


@pytest.fixture
def users(cytechbot_sandbox):
    return cytechbot_sandbox.state.users


@pytest.fixture
def validity(users):
    return lambda user_id: users[user_id]["expired_date"][:10]


def test_every_row_has_its_own_fields(update, users, validity, tmp_path):
    source = tmp_path / "users.csv"
    source.write_text(
        "id,name,phone,expired_date\n"
        "2,Bruno,,+1 month\n"
        "3,,+819012345678,2027-12-31\n"
        "99,Nobody,,\n"
        "4.0,Float,,\n"
        "5,,8.19012E+11,\n"
    )
    found = update(path=str(source), columns={"user_id": "id", "mobile": "phone"})
    assert found == {"2": "succeeded", "3": "succeeded", "99": "refused", "4.0": "invalid", "5": "invalid"}
    assert isinstance(update.error, CyTechBotRequestError)
    assert (users["2"]["name"], users["2"]["mobile"], validity("2")) == (
        "Bruno",
        "+34600111222",
        "2027-02-28",
    )
    assert (users["3"]["name"], users["3"]["mobile"], validity("3")) == (
        "Chiyo Tanaka",
        "+819012345678",
        "2027-12-31",
    )


def test_rows_of_one_user(update, cytechbot_sandbox):
    rows = [
        {"user_id": "2", "name": "Bruno"},
        {"user_id": 2, "name": "Bruno"},
        {"user_id": "3", "name": "One"},
        {"user_id": "3", "name": "Other"},
    ]
    assert update(rows=rows) == {"2": "succeeded", "3": "invalid"}
    assert [entry.path.rpartition("/")[2] for entry in cytechbot_sandbox.requests("update_user")] == ["2"]


class TestRenewals:
    """Counted from the present validity, a repeated renewal would renew twice."""

    @pytest.fixture
    def renew(self, update):
        rows = [{"user_id": "2", "expired_date": "+30 days"}]
        return functools.partial(update, rows=rows, relative_to="validity")

    @pytest.mark.parametrize("kind", ["reset_after", "truncate", "truncate_json", "reset_before"])
    def test_a_lost_response_renews_once(self, renew, validity, cytechbot_sandbox, kind):
        cytechbot_sandbox.fault(kind, "update_user", times=2)
        assert set(renew()) == {"2"}
        assert validity("2") == "2027-03-31"
        dates = [entry.form["expired_date"] for entry in cytechbot_sandbox.requests("update_user")]
        assert dates == ["2027-03-31"] * 3
        assert cytechbot_sandbox.journal.received("get_user_info") == 1

    @pytest.mark.parametrize("next_try", [2, 3, 7])
    def test_a_retry_sends_the_date_of_the_first_try(
        self, renew, update, validity, connect, cytechbot_sandbox, next_try
    ):
        connect(max_retries=0)
        cytechbot_sandbox.fault("reset_after", "update_user")
        assert renew() == {"2": "failed"}
        assert renew(try_number=next_try)["2"] in ("succeeded", "unchanged"), repr(update.error)
        assert validity("2") == "2027-03-31"

    def test_a_cleared_task_does_not_renew_again(self, renew, validity):
        assert renew() == {"2": "succeeded"}
        renew(try_number=2)
        assert validity("2") == "2027-03-31"

    def test_the_next_run_renews_again(self, renew, validity, tmp_path):
        state = str(tmp_path / "state")
        assert renew(state_path=state) == {"2": "succeeded"}
        assert renew(state_path=state, run_id="run 2") == {"2": "succeeded"}
        assert validity("2") == "2027-04-30"

    def test_a_failed_read_is_repeated(self, renew, validity, cytechbot_sandbox):
        cytechbot_sandbox.fault("status", "get_user_info", status=502, times=2)
        assert renew() == {"2": "succeeded"}
        assert validity("2") == "2027-03-31"

    def test_a_user_without_validity_is_invalid_and_an_unknown_one_refused(self, renew, cytechbot_sandbox):
        rows = [{"user_id": each, "expired_date": "+30 days"} for each in ("1", "99", "2")]
        assert renew(rows=rows) == {"1": "invalid", "99": "refused", "2": "succeeded"}
        assert cytechbot_sandbox.journal.received("update_user") == 1

    def test_a_plan_reads_and_sends_nothing(self, renew, cytechbot_sandbox):
        assert renew(plan_only=True) == {"2": "not_attempted"}
        assert cytechbot_sandbox.requests() == []

    def test_needs_a_place_to_record_dates(self, renew, cytechbot_sandbox, tmp_path):
        task = CyTechBotUpdateUsersOperator(task_id="t", rows=["2"], relative_to="validity", status="1")
        with pytest.raises(CyTechBotRequestError, match="state_path or report_path"):
            task.execute({})
        assert cytechbot_sandbox.requests() == []


def test_values_that_come_back_after_a_lost_response_are_sent(
    update, connect, users, cytechbot_sandbox, tmp_path
):
    state = str(tmp_path / "state")

    def rename(name, run_id):
        return update(rows=[{"user_id": "2", "name": name}], state_path=state, run_id=run_id)["2"]

    assert rename("Old", "run 1") == "succeeded"
    connect(max_retries=0)
    cytechbot_sandbox.fault("reset_after", "update_user")
    assert rename("New", "run 2") == "failed"
    assert users["2"]["name"] == "New"
    assert rename("Old", "run 3") == "succeeded"
    assert users["2"]["name"] == "Old"
    assert rename("Old", "run 4") == "unchanged"


def test_a_server_that_is_gone_leaves_rows_to_retry(update, monkeypatch):
    connection = {"conn_type": "cytechbot", "host": "http://127.0.0.1:9", "password": "1-key"}
    connection["extra"] = {"max_retries": 0}
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
    assert update(rows=[{"user_id": "2", "name": "Bruno"}]) == {"2": "failed"}
    assert isinstance(update.error, CyTechBotTransportError)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"relative_to": "today"}, "'run' or 'validity'"),
        ({"expired_date": "soon"}, "expired_date"),
        ({"package_id": 1.5}, "package_id"),
        ({"status": "1", "columns": {"status": "state"}}, "choose one"),
    ],
)
def test_a_parameter_that_cannot_be_used_sends_nothing(connect, cytechbot_sandbox, fields, message):
    with pytest.raises(CyTechBotRequestError, match=message):
        CyTechBotUpdateUsersOperator(task_id="t", rows=["2"], **fields).execute({})
    assert cytechbot_sandbox.requests() == []
