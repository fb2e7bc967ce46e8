from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_cytechbot.transport import rate_limiter
from airflow_provider_cytechbot.transport.rate_limiter import RateLimiter, rate_limiter_for
from airflow_provider_cytechbot.transport.settings import Settings


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(rate_limiter.time, "monotonic", lambda: now[0])
    return now


def test_no_ceiling(clock):
    assert [RateLimiter(None).reserve() for _ in range(3)] == [0, 0, 0]


def test_moments_lie_an_interval_apart(clock):
    two_a_second = RateLimiter(2)
    assert [two_a_second.reserve() for _ in range(4)] == [0, 0.5, 1.0, 1.5]


def test_moments_that_nobody_took_are_not_saved_up(clock):
    two_a_second = RateLimiter(2)
    two_a_second.reserve()
    clock[0] += 60
    assert [two_a_second.reserve() for _ in range(3)] == [0, 0.5, 1.0]


def test_less_than_one_a_second(clock):
    slow = RateLimiter(0.1)
    assert [slow.reserve(), slow.reserve()] == [0, 10]


def test_threads_never_get_the_same_moment(clock):
    busy = RateLimiter(100)
    with ThreadPoolExecutor(8) as threads:
        moments = list(threads.map(lambda _: busy.reserve(), range(400)))
    assert sorted(moments) == pytest.approx([each / 100 for each in range(400)])


def test_a_server_and_key_share_one_limiter_in_a_process():
    settings = Settings("a", "https://one.example/api", "1-the-api-key", requests_per_second=5)
    same = Settings("b", "https://one.example/api", "1-the-api-key", requests_per_second=5, timeout=1)
    assert rate_limiter_for(settings) is rate_limiter_for(same)
    for other in (
        Settings("a", "https://two.example/api", "1-the-api-key", requests_per_second=5),
        Settings("a", "https://one.example/api", "2-the-api-key", requests_per_second=5),
        Settings("a", "https://one.example/api", "1-the-api-key"),
    ):
        assert rate_limiter_for(other) is not rate_limiter_for(settings)


def test_the_keys_are_not_kept():
    rate_limiter_for(Settings("a", "https://one.example/api", "1-the-api-key"))
    assert "1-the-api-key" not in repr(rate_limiter._LIMITERS)


def test_a_pause_holds_for_all_calls(clock):
    limiter = RateLimiter(None)
    limiter.pause(7)
    limiter.pause(3)
    assert [limiter.reserve(), limiter.reserve()] == [7, 7]
    clock[0] += 7
    assert limiter.reserve() == 0


def test_a_pause_that_begins_during_a_wait_is_waited_for_too(clock):
    limiter = RateLimiter(1)
    limiter.reserve()
    waits = limiter.waits()
    assert next(waits) == 1
    clock[0] += 1
    limiter.pause(5)
    assert next(waits) == 5
    clock[0] += 5
    assert list(waits) == []


def test_requests_after_a_pause_keep_their_distance(clock):
    limiter = RateLimiter(2)
    limiter.pause(5)
    assert [limiter.reserve() for _ in range(3)] == [5, 5.5, 6]
