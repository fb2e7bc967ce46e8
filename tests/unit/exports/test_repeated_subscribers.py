from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.exports.repeated_subscribers import RepeatedSubscribers


def merged(batches):
    repeated = RepeatedSubscribers()
    assert list(repeated.watch(batches)) == batches
    return list(repeated.merge(batches))


def test_without_any_all_is_left_as_it_is():
    batches = [[("1", ["a"]), ("2", [])], [("3", ["b"])]]
    assert merged(batches) == batches


def test_answers_come_together_where_the_subscriber_came_first():
    batches = [[("1", ["a"]), ("2", ["b"]), ("1", ["c"])], [("3", []), ("1", ["d"])], [("3", ["e"])]]
    assert merged(batches) == [[("1", ["a", "c", "d"]), ("2", ["b"])], [("3", ["e"])], []]


@given(st.lists(st.lists(st.tuples(st.sampled_from("12345"), st.lists(st.integers(), max_size=2)))))
def test_each_comes_once_and_nothing_is_lost(batches):
    wanted = {}
    for batch in batches:
        for subscriber_id, answers in batch:
            wanted.setdefault(subscriber_id, []).extend(answers)
    found = [each for batch in merged(batches) for each in batch]
    assert [each for each, _ in found] == list(wanted)
    assert dict(found) == wanted


def test_the_same_hash_is_not_the_same_subscriber(monkeypatch):
    monkeypatch.setattr(
        "airflow_provider_cytechbot.exports.repeated_subscribers.hash", lambda _: 7, raising=False
    )
    batches = [[("1", ["a"]), ("2", ["b"])], [("1", ["c"])]]
    assert merged(batches) == [[("1", ["a", "c"]), ("2", ["b"])], []]
