from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_cytechbot.hooks import pace
from airflow_provider_cytechbot.hooks.pace import Pace, pace_of
from airflow_provider_cytechbot.hooks.settings import Settings


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def test_no_ceiling(clock):
    assert [Pace(None).reserve() for _ in range(3)] == [0, 0, 0]


def test_moments_lie_an_interval_apart(clock):
    two_a_second = Pace(2)
    assert [two_a_second.reserve() for _ in range(4)] == [0, 0.5, 1.0, 1.5]


def test_moments_that_nobody_took_are_not_saved_up(clock):
    two_a_second = Pace(2)
    two_a_second.reserve()
    clock[0] += 60
    assert [two_a_second.reserve() for _ in range(3)] == [0, 0.5, 1.0]


def test_less_than_one_a_second(clock):
    slow = Pace(0.1)
    assert [slow.reserve(), slow.reserve()] == [0, 10]


def test_threads_never_get_the_same_moment(clock):
    busy = Pace(100)
    with ThreadPoolExecutor(8) as threads:
        moments = list(threads.map(lambda _: busy.reserve(), range(400)))
    assert sorted(moments) == pytest.approx([each / 100 for each in range(400)])


def test_a_server_and_key_have_one_pace_in_a_process():
    settings = Settings("a", "https://one.example/api", "1-the-api-key", requests_per_second=5)
    same = Settings("b", "https://one.example/api", "1-the-api-key", requests_per_second=5, timeout=1)
    assert pace_of(settings) is pace_of(same)
    for other in (
        Settings("a", "https://two.example/api", "1-the-api-key", requests_per_second=5),
        Settings("a", "https://one.example/api", "2-the-api-key", requests_per_second=5),
        Settings("a", "https://one.example/api", "1-the-api-key"),
    ):
        assert pace_of(other) is not pace_of(settings)


def test_the_keys_are_not_kept():
    pace_of(Settings("a", "https://one.example/api", "1-the-api-key"))
    assert "1-the-api-key" not in repr(pace._PACES)
