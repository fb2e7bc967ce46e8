from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.api.times import (
    is_future,
    is_relative,
    parse_day,
    parse_relative_days,
    parse_time,
    resolve_date,
)

BASE = date(2026, 1, 31)


@pytest.mark.parametrize(("hours", "expected"), [(-1, False), (0, False), (23, False), (25, True)])
def test_a_time_is_of_the_future_if_no_clock_of_a_worker_can_be_there(hours, expected):
    assert is_future(datetime.now(UTC) + timedelta(hours=hours)) is expected


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("+30 days", "2026-03-02"),
        (" +30  DAYS ", "2026-03-02"),
        ("+1 day", "2026-02-01"),
        ("+1day", "2026-02-01"),
        ("+ 2 weeks", "2026-02-14"),
        ("+1 month", "2026-02-28"),
        ("+1 year 2 months", "2027-03-31"),
        ("+1 month -1 day", "2026-02-27"),
        ("-1 week", "2026-01-24"),
        ("+0 days", "2026-01-31"),
        (timedelta(days=30), "2026-03-02"),
        (timedelta(hours=48), "2026-02-02"),
        (timedelta(days=-1), "2026-01-30"),
        (pendulum.duration(months=1), "2026-02-28"),
        (pendulum.duration(years=1, weeks=1, days=-1), "2027-02-06"),
        (pendulum.duration(hours=24), "2026-02-01"),
        (pendulum.datetime(2026, 3, 1) - pendulum.datetime(2026, 1, 1), "2026-03-31"),
    ],
    ids=repr,
)
def test_relative_dates_count_from_the_base(value, day):
    assert is_relative(value)
    assert resolve_date("expired_date", value, base=BASE) == day


@pytest.mark.parametrize(
    ("base", "day"),
    [
        (datetime(2026, 5, 1, 23, 30, tzinfo=UTC), "2026-05-31"),
        (pendulum.datetime(2026, 5, 1, 23, 30, tz="Asia/Kathmandu"), "2026-05-31"),
        (date(2024, 1, 30), "2024-02-29"),
    ],
)
def test_the_base_may_be_the_time_of_a_run(base, day):
    assert resolve_date("expired_date", "+30 days", base=base) == day


def test_the_last_day_of_february_follows_the_last_day_of_january():
    assert resolve_date("expired_date", "+1 month", base=date(2028, 1, 31)) == "2028-02-29"
    assert resolve_date("expired_date", "+1 year", base=date(2028, 2, 29)) == "2029-02-28"


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2027-01-31", "2027-01-31"),
        (date(2027, 1, 31), "2027-01-31"),
        (pendulum.date(2027, 1, 1), "2027-01-01"),
    ],
)
def test_dates_stay_what_they_are(value, day):
    assert not is_relative(value)
    assert resolve_date("expired_date", value, base=BASE) == day


@pytest.mark.parametrize(
    "value",
    [
        "+30",
        "+",
        "-",
        "+1.5 days",
        "+1 hour",
        "+1 day later",
        "+3days3weeks",
        "+٣ days",
        "+999999 days",
        "+99999 years",
        "-9999 years",
        "30 days",
        "",
        "30 days, 0:00:00",
        timedelta(hours=1),
        timedelta.max,
        timedelta.min,
        pendulum.duration(days=1, minutes=5),
        pendulum.duration(microseconds=1),
        30,
        None,
        True,
    ],
    ids=repr,
)
def test_a_period_of_other_than_whole_days_is_refused(value):
    with pytest.raises(CyTechBotFieldError, match="Field 'expired_date' ") as caught:
        resolve_date("expired_date", value, base=BASE)
    assert "Nothing was sent." in str(caught.value)


@given(st.text(st.sampled_from("+- 0123456789daysweekmonthr")) | st.text() | st.timedeltas())
def test_any_value_becomes_a_date_or_a_field_error(value):
    try:
        day = resolve_date("expired_date", value, base=BASE)
    except CyTechBotFieldError:
        return
    assert date.fromisoformat(day).isoformat() == day


@given(st.integers(-9999, 9999), st.dates(date(1990, 1, 1), date(2100, 1, 1)))
def test_days_are_calendar_days(days, base):
    assert resolve_date("d", f"{days:+} days", base=base) == (base + timedelta(days=days)).isoformat()


def test_a_period_is_a_pendulum_duration():
    assert parse_relative_days("d", "+1 month 2 weeks") == pendulum.duration(months=1, weeks=2)


@pytest.mark.parametrize(
    ("text", "zone", "iso"),
    [
        ("2020-09-27 08:13:01", UTC, "2020-09-27T08:13:01+00:00"),
        ("2020-07-27 08:13:01", ZoneInfo("Europe/Berlin"), "2020-07-27T08:13:01+02:00"),
        ("2020-07-27 08:13:01", timezone(timedelta(hours=-3)), "2020-07-27T08:13:01-03:00"),
        ("2020-10-25 02:30:00", ZoneInfo("Europe/Berlin"), "2020-10-25T02:30:00+02:00"),
        ("2020-03-29 02:30:00", ZoneInfo("Europe/Berlin"), "2020-03-29T03:30:00+02:00"),
        ("2020-07-27T08:13:01+02:00", ZoneInfo("Asia/Kathmandu"), "2020-07-27T08:13:01+02:00"),
        ("0001-01-01 00:00:00", timezone(timedelta(hours=3)), "0001-01-01T00:00:00+03:00"),
        ("9999-12-31 23:59:59", timezone(timedelta(hours=-3)), "9999-12-31T23:59:59-03:00"),
    ],
)
def test_times_get_the_offset_of_the_server(text, zone, iso):
    assert parse_time(text, zone) == iso


@pytest.mark.parametrize("text", ["", "yesterday", "2020-13-01 00:00:00", "10000-01-01 00:00:00"])
def test_an_unreadable_time_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse_time(text, ZoneInfo("Asia/Kathmandu"))


def test_a_day_may_be_followed_by_a_time():
    assert parse_day("1990-05-01 00:00:00") == "1990-05-01"
    with pytest.raises(ValueError):  # noqa: PT011
        parse_day("in May")
