from __future__ import annotations

import asyncio
import signal
import threading
import time

import pytest

from airflow_provider_cytechbot.bulk.background import BackgroundLoop


def test_it_runs_to_the_end_in_another_thread():
    threads = []

    async def work():
        await asyncio.sleep(0)
        threads.append(threading.current_thread())

    BackgroundLoop(work, lambda: None).run()
    assert threads != [threading.current_thread()]


def test_an_error_is_raised_in_the_thread_that_waits():
    async def work():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        BackgroundLoop(work, lambda: None).run()


def test_it_runs_inside_a_thread_with_a_running_loop():
    async def outer():
        BackgroundLoop(lambda: asyncio.sleep(0), lambda: None).run()

    asyncio.run(outer())


class Timeout(BaseException):
    """As Airflow's own."""


def test_an_exception_of_a_signal_handler_lets_it_end():
    ended = []

    async def work():
        await stopped.wait()
        ended.append(time.monotonic())

    def handler(*_):
        raise Timeout

    stopped = asyncio.Event()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Timeout):
            BackgroundLoop(work, stopped.set).run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert ended


def test_a_stop_after_the_end_does_nothing():
    loop = BackgroundLoop(lambda: asyncio.sleep(0), lambda: pytest.fail("called"))
    loop.run()
    loop.stop()
