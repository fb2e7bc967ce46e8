from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.triggers.seen_subscribers import SeenSubscribers, StateError

MANY = [str(24_994_546_734_000_000 + number) for number in range(100_000)]


def test_returns_the_subscribers_not_seen_yet():
    seen = SeenSubscribers().with_also(["1", "2"])
    assert seen.unseen(["2", "3", "1", "4"]) == ["3", "4"]
    assert SeenSubscribers().unseen(["1"]) == ["1"]


def test_a_stored_state_is_read_back_unchanged():
    seen = SeenSubscribers().with_also(["1", "2", "abc-é"])
    again = SeenSubscribers.from_state(json.loads(json.dumps(seen.to_state())))
    assert len(again) == 3
    assert again.unseen(["abc-é", "3"]) == ["3"]


def test_the_stored_state_does_not_depend_on_the_order():
    one, other = (SeenSubscribers().with_also(ids).to_state() for ids in (["1", "2"], ["2", "1"]))
    assert one == other


def test_the_state_of_100000_subscribers_is_under_two_megabytes():
    state = SeenSubscribers().with_also(MANY).to_state()
    assert len(json.dumps(state)) < 1_100_000
    assert SeenSubscribers.from_state(state).unseen([*MANY, "1"]) == ["1"]


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_a_union_has_the_subscribers_of_both_once(one, other):
    union = SeenSubscribers(one).union(SeenSubscribers(other))
    assert union.to_state() == SeenSubscribers(one | other).to_state()


def test_a_few_new_among_many_take_little_memory():
    seen = SeenSubscribers().with_also(MANY)
    tracemalloc.start()
    try:
        both = seen.with_also(["1", "2", "1", MANY[0]])
        _, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(both) == len(MANY) + 2
    assert highest < 3 * 8 * len(MANY)


@pytest.mark.parametrize(
    "state",
    [
        "text",
        [],
        {},
        {"version": 2, "count": 0, "seen": ""},
        {"version": 1, "count": 1, "seen": ""},
        {"version": 1, "count": 0, "seen": "AAA"},
        {"version": 1, "count": 0},
        {"version": 1, "count": 2, "seen": "AAAAAAAAAAIAAAAAAAAAAQ=="},
        {"version": 1, "count": 2, "seen": "AAAAAAAAAAEAAAAAAAAAAQ=="},
    ],
)
def test_a_damaged_state_is_refused(state):
    with pytest.raises(StateError):
        SeenSubscribers.from_state(state)
