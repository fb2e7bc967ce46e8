from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_cytechbot.bulk import pause
from airflow_provider_cytechbot.bulk.pause import SharedPause


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pause, "time", clock)
    return clock


def test_pauses_grow_until_a_call_is_answered(clock):
    shared = SharedPause(asyncio.Event())
    pauses = []
    for _ in range(8):
        pauses.append(shared.begin(clock.now, None))
        clock.now += pauses[-1] + 1
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    shared.reset()
    assert shared.begin(clock.now, None) == 1


@pytest.mark.parametrize("retry_after", [0, 0.5, 3])
def test_a_server_that_refuses_again_after_its_own_time_gets_fewer_calls(clock, retry_after):
    shared = SharedPause(asyncio.Event())
    pauses = []
    for _ in range(4):
        pauses.append(shared.begin(clock.now, retry_after))
        clock.now += pauses[-1] + 1
    assert pauses == [retry_after, max(2, retry_after), 4, 8]


def test_calls_refused_together_make_one_pause(clock):
    shared = SharedPause(asyncio.Event())
    sent_at = clock.now
    clock.now += 0.1
    assert [shared.begin(sent_at, None) for _ in range(8)] == [1] * 8
    clock.now += 2
    assert shared.begin(clock.now, None) == 2


def test_the_longest_time_that_the_server_requires_counts(clock):
    shared = SharedPause(asyncio.Event())
    sent_at = clock.now
    clock.now += 0.1
    assert shared.begin(sent_at, 5) == 5
    assert shared.begin(sent_at, 30) == 30
    assert shared.begin(sent_at, 2) == 30


def test_a_pause_holds_back_and_a_stop_ends_it():
    async def wait(stop_after):
        stopped = asyncio.Event()
        shared = SharedPause(stopped)
        shared.begin(time.monotonic(), 0.3)
        asyncio.get_running_loop().call_later(stop_after, stopped.set)
        began = time.monotonic()
        await shared.over()
        return time.monotonic() - began

    assert asyncio.run(wait(10)) >= 0.29
    assert asyncio.run(wait(0.01)) < 0.25
