from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.triggers.waiters import (
    FIRST_WAIT,
    MAX_BACKOFF,
    PollSchedule,
    backoff,
    read_seconds,
)


def moments(schedule, until):
    """Return the times of polls that take no time."""
    found, now = [], schedule.started_at + schedule.first(schedule.started_at)
    while now <= until:
        found.append(now)
        now += schedule.after(now)
    return found


def test_regular_intervals():
    assert moments(PollSchedule(10), 45) == [10, 20, 30, 40]


def test_intervals_double_with_exponential_backoff():
    assert moments(PollSchedule(10, exponential_backoff=True), 400) == [10, 30, 70, 150, 310]


def test_intervals_grow_up_to_max_wait():
    assert moments(PollSchedule(10, exponential_backoff=True, max_wait=25), 120) == [10, 30, 55, 80, 105]


def test_max_wait_does_not_shorten_regular_intervals():
    assert moments(PollSchedule(10, max_wait=3), 25) == [10, 20]


def test_after_a_restart_a_missed_poll_is_due_at_once():
    schedule = PollSchedule(60, started_at=1000)
    assert schedule.first(1010) == 50
    assert schedule.first(1500) == FIRST_WAIT
    assert PollSchedule(10, exponential_backoff=True).after(150) == 160


def test_the_timeout_is_not_before_the_task_is_deferred():
    schedule = PollSchedule(60, started_at=1000)
    assert schedule.until_timeout(300, 1010) == 290
    assert schedule.until_timeout(300, 1299.9) == schedule.until_timeout(0, 5000) == FIRST_WAIT


def test_intervals_are_never_below_the_minimum():
    assert PollSchedule(0).after(5) >= FIRST_WAIT
    assert PollSchedule(0, exponential_backoff=True, max_wait=0).after(5) >= FIRST_WAIT


@pytest.mark.parametrize(
    ("interval", "failed", "retry_after", "seconds"),
    [
        (60, 1, None, 120),
        (60, 2, None, 240),
        (60, 9, None, MAX_BACKOFF),
        (60, 5000, None, MAX_BACKOFF),
        (900, 3, None, 900),
        (1, 1, 30, 30),
        (1, 1, 86_400, MAX_BACKOFF),
    ],
)
def test_pauses_grow_after_failed_polls(interval, failed, retry_after, seconds):
    assert backoff(interval, failed, retry_after) == seconds


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INF, -INF, -1, 1e300, "60", None, True, timedelta(-1), timedelta.max])
def test_a_duration_that_cannot_be_used_is_refused(value):
    with pytest.raises(CyTechBotFieldError, match="poke_interval"):
        read_seconds("poke_interval", value)


@pytest.mark.parametrize(
    ("value", "seconds"), [(0, 0.0), (5, 5.0), (2.5, 2.5), (timedelta(minutes=5), 300.0)]
)
def test_a_duration_is_a_number_or_a_timedelta(value, seconds):
    assert read_seconds("timeout", value) == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("poke_interval", NAN),
        ("poke_interval", "60"),
        ("max_wait", INF),
        ("max_wait", -1),
        ("exponential_backoff", "yes"),
        ("started_at", None),
        ("started_at", NAN),
        ("started_at", 1e300),
        ("started_at", "2026-01-01"),
    ],
)
def test_a_schedule_refuses_values_that_would_break_a_shared_poll(name, value):
    with pytest.raises(CyTechBotFieldError, match=name):
        PollSchedule(**{"poke_interval": 60, name: value})
