from __future__ import annotations

import json

import pytest

from airflow_provider_cytechbot.triggers.seen_subscribers import SeenSubscribers, StateError

MANY = [str(24_994_546_734_000_000 + number) for number in range(100_000)]


def test_tells_the_new_from_the_seen():
    seen = SeenSubscribers().with_also(["1", "2"])
    assert seen.unseen(["2", "3", "1", "4"]) == ["3", "4"]
    assert SeenSubscribers().unseen(["1"]) == ["1"]


def test_comes_back_from_the_store_as_it_was():
    seen = SeenSubscribers().with_also(["1", "2", "abc-é"])
    again = SeenSubscribers.from_state(json.loads(json.dumps(seen.to_state())))
    assert len(again) == 3
    assert again.unseen(["abc-é", "3"]) == ["3"]


def test_stores_the_same_whatever_the_order():
    one, other = (SeenSubscribers().with_also(ids).to_state() for ids in (["1", "2"], ["2", "1"]))
    assert one == other


def test_a_hundred_thousand_are_well_under_two_megabytes():
    state = SeenSubscribers().with_also(MANY).to_state()
    assert len(json.dumps(state)) < 1_100_000
    assert SeenSubscribers.from_state(state).unseen([*MANY, "1"]) == ["1"]


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
    ],
)
def test_refuses_a_state_that_is_not_its_own(state):
    with pytest.raises(StateError):
        SeenSubscribers.from_state(state)
