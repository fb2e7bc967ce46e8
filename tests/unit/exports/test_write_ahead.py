"""The thread that writes: order, bounds, errors and stopping."""

from __future__ import annotations

import threading

import pytest

from airflow_provider_cytechbot.exports import write_ahead
from airflow_provider_cytechbot.exports.write_ahead import WriteAhead

MANY = 1_000


@pytest.fixture
def ahead():
    ahead = WriteAhead()
    yield ahead
    ahead.stop()


def test_all_calls_are_made_in_order_in_one_other_thread(ahead):
    made: list[tuple[int, int]] = []
    for number in range(MANY):
        ahead.call(lambda number: made.append((number, threading.get_ident())), number)
    ahead.finish()
    assert [number for number, _ in made] == list(range(MANY))
    (thread,) = {thread for _, thread in made}
    assert thread != threading.get_ident()


def test_a_store_that_is_slow_is_waited_for(ahead):
    """What waits is held in memory: no more than a few lots may."""
    store_is_free = threading.Event()
    taken = 0

    def ask_for_many() -> None:
        nonlocal taken
        for taken in range(MANY):  # noqa: B007
            ahead.call(lambda _: store_is_free.wait(30), None)

    asking = threading.Thread(target=ask_for_many)
    asking.start()
    asking.join(0.5)
    assert asking.is_alive()
    assert taken < 10 * write_ahead._CALLS_AT_A_TIME
    store_is_free.set()
    asking.join(30)
    assert not asking.is_alive()
    assert taken == MANY - 1


@pytest.mark.parametrize("failing", [0, 7, 8, 500, MANY - 1])
def test_what_a_call_raises_is_raised_and_nothing_is_made_behind_it(ahead, failing):
    made = []

    def make(number: int) -> None:
        if number == failing:
            raise OSError("the disk is full")
        made.append(number)

    def make_all() -> None:
        for number in range(MANY):
            ahead.call(make, number)
        ahead.finish()

    with pytest.raises(OSError, match="the disk is full"):
        make_all()
    ahead.stop()
    assert made == list(range(failing))


def test_stopping_waits_for_what_is_being_made_and_makes_no_more(ahead):
    is_made, made = threading.Event(), []

    def make(number: int) -> None:
        is_made.set()
        threading.Event().wait(0.05)
        made.append(number)

    for number in range(3 * write_ahead._CALLS_AT_A_TIME):
        ahead.call(make, number)
    assert is_made.wait(30)
    ahead.stop()
    at_stop = len(made)
    assert at_stop < write_ahead._CALLS_AT_A_TIME
    threading.Event().wait(0.2)
    assert len(made) == at_stop


def test_stopping_does_not_wait_for_ever(ahead, monkeypatch):
    monkeypatch.setattr(write_ahead, "_SECONDS_TO_STOP", 0.05)
    store_is_free = threading.Event()
    for _ in range(write_ahead._CALLS_AT_A_TIME):
        ahead.call(lambda _: store_is_free.wait(30), None)
    ahead.stop()
    store_is_free.set()
