from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pendulum
import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotFieldError,
    CyTechBotNotFoundError,
)
from airflow_provider_cytechbot.operators.users import (
    CyTechBotCreateUserOperator,
    CyTechBotUpdateUserOperator,
    CyTechBotUpdateUsersOperator,
    date_of_run,
)

DATES = [
    "2027-03-01",
    date(2027, 3, 1),
    datetime(2027, 3, 1, 23, 30, tzinfo=UTC),
    pendulum.datetime(2027, 3, 1, 4),
]


def create(**fields):
    given = {
        "name": "Kim",
        "user_email": "kim@example.com",
        "password": "s3cret/pass word",
        "package_id": "1",
        "expired_date": "2027-03-01",
    }
    return CyTechBotCreateUserOperator(task_id="t", **given | fields)


def user(**fields):
    return {
        "id": "3",
        "name": "Kim",
        "email": "kim@example.com",
        "mobile": None,
        "address": None,
        "add_date": None,
        "package_id": "1",
        "expired_date": "2027-03-01T00:00:00+00:00",
    } | fields


@pytest.mark.parametrize("expired_date", DATES)
def test_create_accepts_dates_of_all_types(run, hook, expired_date):
    hook.answers["create_system_user"] = "3"
    assert run(create(expired_date=expired_date)) == "3"
    ((_, fields),) = hook.calls
    assert fields == {
        "name": "Kim",
        "email": "kim@example.com",
        "password": "s3cret/pass word",
        "package_id": "1",
        "expired_date": "2027-03-01",
    }


@pytest.mark.parametrize("expired_date", DATES)
def test_update_accepts_dates_of_all_types(run, hook, expired_date):
    assert run(CyTechBotUpdateUserOperator(task_id="t", user_id=3, expired_date=expired_date)) == "3"
    assert hook.calls == [("update_user", {"user_id": "3", "expired_date": "2027-03-01"})]


@pytest.mark.parametrize("expired_date", ["01.03.2027", "2027-3-1", "20270301", 20270301, ""])
def test_an_invalid_date_fails_at_once(run, expired_date):
    with pytest.raises(CyTechBotFieldError):
        run(create(expired_date=expired_date))


def test_update_sends_only_the_given_fields(run, hook):
    run(CyTechBotUpdateUserOperator(task_id="t", user_id="3", status="1", address="Here"))
    assert hook.calls == [("update_user", {"user_id": "3", "address": "Here", "status": "1"})]


def test_the_password_is_masked_in_each_form(run, hook, monkeypatch):
    masked = []
    monkeypatch.setattr("airflow.providers.common.compat.sdk.mask_secret", masked.append)
    hook.answers["create_system_user"] = "3"
    run(create())
    assert {"s3cret/pass word", "s3cret%2Fpass%20word", "s3cret%2Fpass+word"} <= set(masked)


@pytest.mark.parametrize("field", ["password", "mobile", "name"])
def test_a_number_as_text_field_is_refused(run, hook, field):
    with pytest.raises(CyTechBotFieldError, match=r"must be text, not int.* tojson") as raised:
        run(create(**{field: 12345678}))
    assert "12345678" not in str(raised.value)
    assert hook.calls == []


class TestLookupAfterLostResponse:
    def test_returns_the_created_user(self, run, hook, lost):
        hook.answers |= {"create_system_user": lost(), "get_user_info": user()}
        assert run(create(expired_date=pendulum.datetime(2027, 3, 1, 4), package_id=1, mobile=None)) == "3"
        assert hook.calls[-1] == ("get_user_info", {"email": "kim@example.com"})

    @pytest.mark.parametrize(
        "other",
        [
            {"name": "Kim Other"},
            {"package_id": "2"},
            {"expired_date": "2026-03-01T00:00:00+00:00"},
            {"mobile": "+49"},
            {"address": "Elsewhere"},
            {"mobile": ""},
        ],
    )
    def test_a_user_with_other_fields_is_not_returned(self, run, hook, lost, other, caplog):
        hook.answers |= {"create_system_user": lost(), "get_user_info": user(**other)}
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(create(mobile="+1", address="Here"))
        assert f"User 3 has the e-mail address 'kim@example.com', but another {min(other)}" in caplog.text

    def test_fields_missing_in_the_answer_are_not_compared(self, run, hook, lost):
        hook.answers |= {
            "create_system_user": lost(),
            "get_user_info": user(expired_date=None, package_id=None),
        }
        assert run(create(mobile="+1")) == "3"

    @pytest.mark.parametrize(("add_date", "is_ours"), [(-2, False), (-0.5, True), (0, True)])
    def test_a_user_older_than_the_create_is_not_returned(self, run, hook, lost, add_date, is_ours):
        added = (datetime.now(UTC) + timedelta(days=add_date)).isoformat()
        hook.answers |= {"create_system_user": lost(), "get_user_info": user(add_date=added)}
        if is_ours:
            assert run(create()) == "3"
        else:
            with pytest.raises(CyTechBotAmbiguousWriteError):
                run(create())

    def test_a_user_as_old_as_the_earlier_try_is_returned(self, run, hook, tries, time_machine):
        time_machine.move_to("2026-03-01T12:00:00Z")
        hook.answers |= {"create_system_user": KeyboardInterrupt()}
        with pytest.raises(KeyboardInterrupt):
            run(create())
        time_machine.move_to("2026-03-09T12:00:00Z")
        hook.answers["get_user_info"] = user(add_date="2026-03-01T12:00:01+00:00")
        assert run(create(), tries.retry()) == "3"

    def test_without_a_user_the_create_is_ambiguous(self, run, hook, lost):
        hook.answers |= {
            "create_system_user": lost(),
            "get_user_info": CyTechBotNotFoundError("No Matching User Found"),
        }
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(create())


def test_cleared_after_success_returns_a_user_that_was_changed_since(run, hook, tries):
    hook.answers |= {
        "create_system_user": "3",
        "get_user_info": user(expired_date="2030-01-01T00:00:00+00:00"),
    }
    run(create())
    assert run(create(), tries.clear()) == "3"
    assert hook.calls[-1] == ("get_user_info", {"user_id": "3"})


class TestRelativeDate:
    """The date is counted from the run's logical date, or from its `run_after`."""

    RUNS = (
        SimpleNamespace(logical_date=datetime(2027, 1, 30, 23, 59, tzinfo=UTC), run_after=None),
        SimpleNamespace(logical_date=None, run_after=datetime(2027, 1, 30, 1, tzinfo=UTC)),
    )
    PERIODS = (
        ("+30 days", "2027-03-01"),
        ("+1 month", "2027-02-28"),
        (timedelta(days=30), "2027-03-01"),
        (pendulum.duration(months=1), "2027-02-28"),
    )

    @pytest.mark.parametrize("dag_run", RUNS, ids=["logical_date", "run_after"])
    @pytest.mark.parametrize(("period", "expected"), PERIODS)
    def test_is_sent_as_a_date(self, run, hook, tries, dag_run, period, expected):
        hook.answers["create_system_user"] = "3"
        run(create(expired_date=period), tries.context() | {"dag_run": dag_run})
        update = CyTechBotUpdateUserOperator(task_id="t", user_id="3", expired_date=period)
        run(update, {"dag_run": dag_run})
        assert [fields["expired_date"] for _, fields in hook.calls] == [expected, expected]

    @pytest.mark.parametrize("period", ["+30", "+ days", "+1.5 days", timedelta(hours=1)])
    def test_an_unreadable_period_fails_before_anything_is_sent(self, run, hook, tries, period):
        with pytest.raises(CyTechBotFieldError, match="expired_date"):
            run(create(expired_date=period), tries.context() | {"dag_run": self.RUNS[0]})
        assert hook.calls == []


MARCH, APRIL = pendulum.datetime(2027, 3, 1), pendulum.datetime(2027, 4, 1)


class TestDateOfARun:
    def run_of(self, **fields):
        return {"dag_run": SimpleNamespace(**{"logical_date": None, "run_after": None} | fields)}

    def test_is_its_logical_date(self):
        context = self.run_of(
            logical_date=pendulum.datetime(2027, 3, 1), run_after=pendulum.datetime(2027, 4, 1)
        )
        assert date_of_run(context) == pendulum.datetime(2027, 3, 1)

    def test_is_the_date_after_which_it_runs_if_it_has_no_other(self):
        assert date_of_run(self.run_of(run_after=pendulum.datetime(2027, 4, 1))) == pendulum.datetime(
            2027, 4, 1
        )

    def test_is_today_outside_of_a_run(self, time_machine):
        time_machine.move_to("2027-05-01T12:00:00Z")
        assert date_of_run({}).date() == date(2027, 5, 1)

    def test_a_single_update_outside_of_a_run_counts_from_today(self, run, hook, time_machine):
        time_machine.move_to("2027-05-01T12:00:00Z")
        run(CyTechBotUpdateUserOperator(task_id="t", user_id="3", expired_date="+1 month"))
        assert hook.calls == [("update_user", {"user_id": "3", "expired_date": "2027-06-01"})]


class TestUpdateOfManyUsers:
    def update(self, **fields):
        return CyTechBotUpdateUsersOperator(task_id="t", **{"rows": ["3"]} | fields)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"relative_to": "today"}, "must be 'run' or 'validity', not 'today'"),
            ({"rows": None}, "exactly one of them; none is given"),
            ({"path": "/users.csv"}, "rows and path are given"),
            ({"status": "1", "columns": {"status": "state"}}, "'status' is given for all, and is a column"),
            ({"status": "1", "columns": 2.5}, "'columns' must be a mapping"),
            ({"status": "1", "columns": "status"}, "'columns' must be a mapping"),
            ({"package_id": 2.0}, "package_id"),
            ({"package_id": ""}, "package_id"),
            ({"expired_date": "soon"}, "expired_date"),
            ({"expired_date": "+1 hour", "relative_to": "validity"}, "expired_date"),
            ({"full_refresh": "maybe"}, "must be true or false"),
        ],
    )
    def test_a_parameter_that_cannot_be_used_fails_at_once(self, run, hook, fields, message):
        with pytest.raises(CyTechBotFieldError, match=message):
            run(self.update(**fields))
        assert hook.calls == []

    @pytest.mark.parametrize("relative_to", ["run", "validity"])
    def test_values_for_all_and_the_date_reach_the_rows(self, run, monkeypatch, tries, relative_to):
        found = []
        monkeypatch.setattr(
            CyTechBotUpdateUsersOperator, "write_rows", lambda self, updates, context: found.append(updates)
        )
        context = tries.context() | TestDateOfARun().run_of(logical_date=MARCH)
        run(self.update(expired_date="+1 month", package_id=2, relative_to=relative_to), context)
        (updates,) = found
        expired_date = "2027-04-01" if relative_to == "run" else "+1 months"
        assert json.loads(updates.plan({"user_id": "3"}).payload) == {
            "expired_date": expired_date,
            "package_id": "2",
        }
