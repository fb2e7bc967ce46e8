from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pendulum
import pytest

from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.errors import CyTechBotFieldError, CyTechBotTransportError
from airflow_provider_cytechbot.api.records import WriteOutcome
from airflow_provider_cytechbot.bulk.resource import (
    NO_ENTRY,
    Change,
    InvalidRowError,
    PlanFigures,
    PlannedCall,
    Settled,
    StateEntry,
)
from airflow_provider_cytechbot.operators.user_updates import UserUpdates

FIGURES = PlanFigures({"update": 1}, 1, 0, 0, "", False)
RUN_DATE = datetime(2027, 1, 31, 23, 30, tzinfo=UTC)


class Hook:
    """Answers reads with a validity, and writes down what it sends."""

    settings = SimpleNamespace(server_timezone=UTC)

    def __init__(self, validity="2027-03-01T00:00:00+00:00"):
        self.validity = validity
        self.reads = []
        self.sent = []
        self.lost = 0

    async def call(self, endpoint, *, max_retries, **fields):
        assert max_retries == 0
        call = build(endpoint, **fields)
        if endpoint.name == "get_user_info":
            self.reads.append(call.fields["user_id"])
            return {"id": call.fields["user_id"], "expired_date": self.validity}
        self.sent.append(dict(call.fields))
        if self.lost:
            self.lost -= 1
            self.validity = f"{call.fields['expired_date']}T00:00:00+00:00"  # it happened
            raise CyTechBotTransportError("the response was lost.")
        return WriteOutcome(changed=True, message=None)


class State:
    """The state of one user, as a resource sees it."""

    is_durable = True

    def __init__(self, run="run 1", salt=b"salt"):
        self.run, self.salt = run, salt
        self.begun = []

    def entry(self, key):
        return StateEntry(None, self.begun[-1], True) if self.begun else NO_ENTRY

    async def begin(self, step):
        self.begun.append(step)


def updates(values=(), *, validity=False, run="run 1"):
    found = UserUpdates(dict(values), run_date=None if validity else RUN_DATE)
    found.open_state(State(run))
    return found


def plan(resource, **values):
    return resource.plan({"user_id": "3"} | values)


def write(resource, hook, planned, change=None, state=None):
    """Send a call as the engine does, which records the step of a change before."""
    state = state or State(resource._state.run)
    resource.open_state(state)
    change = change or resource.compare(planned, NO_ENTRY)
    if change.step:
        state.begun.append(change.step)
    call = PlannedCall(1, planned.key, change.operation, change.payload, 1, step=change.step)
    return asyncio.run(resource.write(hook, call, state))


def test_a_row_sends_only_its_filled_fields():
    planned = plan(updates(), name="Kim", mobile="", address=None, expired_date="2027-03-01")
    hook = Hook()
    written = write(updates(), hook, planned)
    assert hook.sent == [{"user_id": "3", "name": "Kim", "expired_date": "2027-03-01"}]
    assert hook.reads == []
    assert planned.fields == "name,expired_date"
    assert written.is_changed


def test_every_field_of_an_update_can_be_in_a_row():
    values = {
        "name": "Kim",
        "mobile": "+4915112345678",
        "address": "Here",
        "package_id": 2,
        "expired_date": date(2027, 3, 1),
        "status": "1",
    }
    hook = Hook()
    write(updates(), hook, plan(updates(), **values))
    assert hook.sent == [{"user_id": "3", **values, "package_id": "2", "expired_date": "2027-03-01"}]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"user_id": None}, "Field 'user_id' is empty or missing."),
        ({"user_id": "2.49945E+16"}, "looks like a number that a spreadsheet or a float has rounded"),
        ({"user_id": 7.0}, "Field 'user_id' must be an id, not float."),
        ({"user_id": "kim@example.com"}, "Field 'user_id' must be a number above zero."),
        ({"user_id": "0"}, "Field 'user_id' must be an id."),
        ({"user_id": True, "name": "Kim"}, "Field 'user_id' must be an id, not bool."),
        ({}, "At least one of name, mobile"),
        ({"name": ""}, "At least one of name, mobile"),
        ({"status": "0"}, "Field 'status' cannot be set to '0'."),
        ({"mobile": "4.915E+12"}, "Field 'mobile' looks like a number that a spreadsheet or a float has"),
        ({"mobile": 4915112345678.0}, "Field 'mobile' must be text, not float."),
        ({"mobile": 4915112345678}, "Field 'mobile' must be text, not int."),
        ({"package_id": "1.0"}, "Field 'package_id' looks like a number that a spreadsheet"),
        ({"package_id": "kim@example.com"}, "Field 'package_id' must be a number above zero."),
        ({"expired_date": "01.03.2027"}, "Field 'expired_date' must be a date as YYYY-MM-DD."),
        ({"expired_date": "+3 kim@example.com"}, "Field 'expired_date' must be a date or a period of days."),
        ({"expired_date": "+99999 years"}, "Field 'expired_date' is not in the calendar"),
    ],
)
@pytest.mark.parametrize("validity", [False, True])
def test_a_row_with_unusable_values_is_invalid_and_shows_no_value(values, reason, validity):
    with pytest.raises(InvalidRowError) as raised:
        plan(updates(validity=validity), **values)
    assert reason in raised.value.reason
    assert not re.search(r"kim|99999|2027", raised.value.reason)
    assert raised.value.reason.endswith(".")


@pytest.mark.parametrize("user_id", ["7", 7, "007"])
def test_an_id_with_leading_zeros_is_the_same_user(user_id):
    assert plan(updates(), user_id=user_id, name="Kim").key == "7"


def test_equal_rows_of_a_user_become_one_call():
    resource = updates()
    rows = [{"name": "Kim", "expired_date": "+1 year"}, {"expired_date": "+12 months ", "name": "Kim"}]
    one, other = (plan(resource, **row) for row in rows)
    assert resource.merge(one.payload, other.payload) == one.payload


@pytest.mark.parametrize(
    "other", [{"name": "Other"}, {"name": "Kim", "mobile": "+49151123456"}, {"mobile": "+49151123456"}]
)
def test_rows_of_a_user_that_differ_are_invalid(other):
    resource = updates()
    with pytest.raises(InvalidRowError, match=r"^The user is in several rows with different values\.$"):
        resource.merge(plan(resource, name="Kim").payload, plan(resource, **other).payload)


class TestValuesForAll:
    def test_replace_columns_of_the_same_name(self):
        resource = updates({"package_id": 2, "expired_date": "+1 month"})
        assert "package_id" not in resource.fields
        hook = Hook()
        write(resource, hook, plan(resource, name="Kim"))
        assert hook.sent == [{"user_id": "3", "name": "Kim", "package_id": "2", "expired_date": "2027-02-28"}]

    def test_are_enough_for_rows_of_plain_ids(self):
        resource = updates({"expired_date": "+1 month"}, validity=True)
        hook = Hook()
        write(resource, hook, resource.plan({"user_id": "3"}))
        assert hook.sent == [{"user_id": "3", "expired_date": "2027-04-01"}]

    @pytest.mark.parametrize(
        "values", [{"package_id": "x"}, {"expired_date": "soon"}, {"expired_date": "+1 hour"}, {"status": ""}]
    )
    @pytest.mark.parametrize("validity", [False, True])
    def test_are_checked_before_any_row(self, values, validity):
        with pytest.raises(CyTechBotFieldError):
            updates(values, validity=validity)


class TestRelativeToTheRun:
    @pytest.mark.parametrize(
        ("expired_date", "sent"),
        [
            ("+30 days", "2027-03-02"),
            ("+1 month", "2027-02-28"),
            ("-1 week", "2027-01-24"),
            (timedelta(days=2), "2027-02-02"),
            (pendulum.duration(years=1, days=1), "2028-02-01"),
        ],
    )
    def test_sends_the_date_without_reading_the_user(self, expired_date, sent):
        hook = Hook()
        write(updates(), hook, plan(updates(), expired_date=expired_date))
        assert hook.sent == [{"user_id": "3", "expired_date": sent}]
        assert hook.reads == []


class TestRelativeToTheValidity:
    @pytest.fixture(autouse=True)
    def today(self, time_machine):
        time_machine.move_to(datetime(2027, 2, 10, 23, tzinfo=UTC))

    @pytest.mark.parametrize(
        ("validity", "sent"),
        [
            ("2027-03-01T00:00:00+00:00", "2027-03-31"),
            ("2027-03-01T23:59:59-05:00", "2027-03-31"),
            ("2027-02-09T23:59:59+00:00", "2027-03-12"),
            ("2001-01-01T00:00:00+00:00", "2027-03-12"),
        ],
    )
    def test_counts_from_the_later_of_validity_and_today(self, validity, sent):
        resource, hook = updates(validity=True), Hook(validity)
        write(resource, hook, plan(resource, expired_date="+30 days", name="Kim"))
        assert hook.sent == [{"user_id": "3", "name": "Kim", "expired_date": sent}]

    def test_today_is_that_of_the_server(self):
        resource, hook = updates(validity=True), Hook("2001-01-01T00:00:00+00:00")
        hook.settings = SimpleNamespace(server_timezone=pendulum.timezone("Asia/Singapore"))
        write(resource, hook, plan(resource, expired_date="+1 day"))
        assert hook.sent[0]["expired_date"] == "2027-02-12"

    def test_the_day_is_recorded_before_the_date_is_sent(self):
        resource, hook, state = updates(validity=True), Hook(), State()
        hook.lost = 1
        with pytest.raises(CyTechBotTransportError):
            write(resource, hook, plan(resource, expired_date="+30 days"), state=state)
        assert state.begun == [b"2027-03-01"]

    def test_a_repeat_after_a_lost_response_sends_the_same_date(self):
        resource, hook, state = updates(validity=True), Hook(), State()
        planned = plan(resource, expired_date="+30 days")
        hook.lost = 1
        with pytest.raises(CyTechBotTransportError):
            write(resource, hook, planned, state=state)
        write(resource, hook, planned, state=state)
        assert [each["expired_date"] for each in hook.sent] == ["2027-03-31"] * 2
        assert hook.reads == ["3"]

    def test_a_retry_sends_the_date_of_the_try_before(self):
        hook = Hook("2027-12-01T00:00:00+00:00")
        resource = updates(validity=True)
        planned = plan(resource, expired_date="+30 days")
        change = resource.compare(planned, StateEntry(step=b"2027-03-01", is_of_this_run=True))
        write(resource, hook, planned, change)
        assert hook.sent == [{"user_id": "3", "expired_date": "2027-03-31"}]
        assert hook.reads == []

    def test_a_step_of_an_earlier_run_counts_no_more(self):
        hook = Hook("2027-12-01T00:00:00+00:00")
        resource = updates(validity=True)
        planned = plan(resource, expired_date="+30 days")
        write(resource, hook, planned, resource.compare(planned, StateEntry(step=b"2027-03-01")))
        assert hook.sent == [{"user_id": "3", "expired_date": "2027-12-31"}]

    def test_a_run_renews_once_and_the_next_run_again(self):
        resource, hook = updates(validity=True), Hook()
        planned = plan(resource, expired_date="+30 days")
        value = write(resource, hook, planned).value
        assert resource.compare(planned, StateEntry(value)).outcome == "unchanged"
        later = updates(validity=True, run="run 2")
        assert later.compare(planned, StateEntry(value)) == Change("update", planned.payload, "expired_date")

    def test_changed_values_of_a_cleared_run_count_from_the_same_day(self):
        resource, hook = updates(validity=True), Hook()
        value = write(resource, hook, plan(resource, expired_date="+30 days")).value
        hook.validity = "2027-03-31T00:00:00+00:00"
        changed = plan(resource, expired_date="+60 days")
        write(resource, hook, changed, resource.compare(changed, StateEntry(value)))
        assert [each["expired_date"] for each in hook.sent] == ["2027-03-31", "2027-04-30"]

    def test_a_date_in_a_row_is_sent_as_it_is(self):
        resource, hook = updates(validity=True), Hook()
        write(resource, hook, plan(resource, expired_date="2027-05-01"))
        assert hook.sent == [{"user_id": "3", "expired_date": "2027-05-01"}]
        assert hook.reads == []

    def test_a_user_without_a_validity_is_invalid(self):
        resource, hook = updates(validity=True), Hook(None)
        with pytest.raises(CyTechBotFieldError, match="no validity"):
            write(resource, hook, plan(resource, expired_date="+30 days"))
        assert hook.sent == []

    def test_a_period_that_leads_out_of_the_calendar_is_invalid(self):
        resource, hook = updates(validity=True), Hook("9990-01-01T00:00:00+00:00")
        with pytest.raises(CyTechBotFieldError, match="calendar"):
            write(resource, hook, plan(resource, expired_date="+20 years"))
        assert hook.sent == []

    @pytest.mark.parametrize(
        ("validity", "plan_only", "is_durable"),
        [(False, False, False), (True, True, False), (True, False, True)],
    )
    def test_needs_something_to_record_dates_in_only_if_they_are_sent(self, validity, plan_only, is_durable):
        resource = updates(validity=validity)
        resource.open_state(SimpleNamespace(is_durable=is_durable))
        resource.check(FIGURES, plan_only=plan_only)

    def test_is_refused_if_dates_cannot_be_recorded(self):
        resource = updates(validity=True)
        resource.open_state(SimpleNamespace(is_durable=False))
        with pytest.raises(CyTechBotFieldError, match="state_path or report_path"):
            resource.check(FIGURES, plan_only=False)


class TestState:
    def value(self, **values):
        resource = updates()
        return write(resource, Hook(), plan(resource, **values)).value

    def test_the_same_values_are_not_sent_again(self):
        resource = updates(run="run 2")
        planned = plan(resource, mobile="+49151123456", name="Kim")
        found = resource.compare(planned, StateEntry(self.value(name="Kim", mobile="+49151123456")))
        assert found == Settled("unchanged", "These values were sent before.", fields="name,mobile")

    @pytest.mark.parametrize("step", [b"", b"2027-03-01"])
    @pytest.mark.parametrize("is_of_this_run", [True, False])
    def test_is_not_believed_while_the_result_of_a_later_update_is_unknown(self, step, is_of_this_run):
        resource = updates(run="run 3")
        before = StateEntry(self.value(name="Kim"), step, is_of_this_run)
        assert isinstance(resource.compare(plan(resource, name="Kim"), before), Change)

    def test_an_update_of_known_values_has_a_step(self):
        resource = updates(run="run 2")
        changed = plan(resource, name="Other")
        assert resource.compare(changed, StateEntry(self.value(name="Kim"))).step == b""
        assert resource.compare(changed, NO_ENTRY).step is None

    def test_a_full_refresh_sends_them_again(self):
        resource = UserUpdates({}, run_date=RUN_DATE, full_refresh=True)
        resource.open_state(State("run 2"))
        planned = plan(resource, name="Kim")
        assert isinstance(resource.compare(planned, StateEntry(self.value(name="Kim"))), Change)

    @pytest.mark.parametrize("values", [{"name": "Other"}, {"name": "Kim", "status": "1"}, {"mobile": "Kim"}])
    def test_other_values_are_sent(self, values):
        resource = updates(run="run 2")
        assert isinstance(
            resource.compare(plan(resource, **values), StateEntry(self.value(name="Kim"))), Change
        )

    def test_holds_no_value_in_clear(self):
        value = self.value(name="Kim Novak", mobile="+49151123456", address="Here")
        for text in (b"Kim", b"151123456", b"Here"):
            assert text not in value

    def test_salts_its_digests(self):
        resource = updates()
        planned = plan(resource, name="Kim")
        resource.open_state(State(salt=b"other"))
        assert isinstance(resource.compare(planned, StateEntry(self.value(name="Kim"))), Change)

    def test_a_step_holds_no_more_than_255_bytes(self):
        resource, state = updates(validity=True), State()
        write(resource, Hook(), plan(resource, expired_date="+1 day"), state=state)
        assert len(state.begun[0]) == 10


def test_an_update_that_changes_nothing_has_the_servers_reason():
    class Unchanged(Hook):
        async def call(self, endpoint, **fields):
            await super().call(endpoint, **fields)
            return WriteOutcome(changed=False, message="No changes.")

    written = write(updates(), Unchanged(), plan(updates(), name="Kim"))
    assert (written.is_changed, written.reason) == (False, "No changes.")


def test_a_payload_is_described_without_the_order_of_columns():
    resource = updates()
    one, other = plan(resource, name="Kim", status="1"), plan(resource, status="1", name="Kim")
    assert resource.describe(one.payload) == resource.describe(other.payload)
    assert json.loads(resource.describe(one.payload)) == {"name": "Kim", "status": "1"}
