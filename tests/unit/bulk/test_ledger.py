from __future__ import annotations

import pytest

from airflow_provider_cytechbot.bulk.ledger import CallResult, Ledger, PastResult
from airflow_provider_cytechbot.bulk.resource import Change, InvalidRowError, PlannedWrite, Settled


@pytest.fixture
def ledger():
    ledger = Ledger()
    yield ledger
    ledger.close()


def fill(ledger, *keys):
    ledger.add_valid((row, PlannedWrite(key, f"p{row}", "label_ids")) for row, key in enumerate(keys, 1))


def change_all(ledger):
    ledger.compare_all(lambda write, stored: Change("assign", write.payload, write.fields))


def test_rows_of_one_key_become_one_call_and_share_its_result(ledger):
    fill(ledger, "a", "b", "a", "c", "a")
    ledger.merge_rows(lambda one, other: f"{one}+{other}")
    change_all(ledger)
    assert [(call.row, call.key, call.payload, call.rows) for call in ledger.calls(0)] == [
        (1, "a", "p1+p3+p5", 3),
        (2, "b", "p2", 1),
        (4, "c", "p4", 1),
    ]
    ledger.record([(1, CallResult("refused", "no", None, "2026-01-01"))])
    ledger.close_open_rows("stopped")
    assert [(line.row, line.key, line.outcome, line.reason) for line in ledger.report_lines()] == [
        (1, "a", "refused", "no"),
        (2, "b", "not_attempted", "stopped"),
        (3, "a", "refused", "no"),
        (4, "c", "not_attempted", "stopped"),
        (5, "a", "refused", "no"),
    ]
    assert ledger.counts() == {"refused": 3, "not_attempted": 2}
    assert ledger.operations() == {"assign": 5}


def test_nothing_is_merged_without_doubled_keys(ledger):
    fill(ledger, "a", "b")
    ledger.merge_rows(lambda one, other: pytest.fail("merged"))
    assert [call.key for call in ledger.calls(0)] == ["a", "b"]


def test_an_empty_ledger(ledger):
    ledger.merge_rows(lambda one, other: one)
    assert list(ledger.calls(0)) == list(ledger.report_lines()) == []
    assert ledger.rows() == ledger.open_calls() == ledger.counts().total() == 0


def test_invalid_rows_are_no_calls(ledger):
    ledger.add_invalid([(2, None, "no key")])
    fill(ledger, "a")
    change_all(ledger)
    assert [call.row for call in ledger.calls(0)] == [1]
    assert ledger.counts() == {"invalid": 1}
    assert ledger.operations() == {"assign": 1, "none": 1}
    assert ledger.not_done(5) == [(None, "no key")]


def test_calls_are_yielded_once_while_results_are_recorded(ledger):
    fill(ledger, *map(str, range(1_700)))
    seen = []
    for call in ledger.calls(0):
        seen.append(call.row)
        ledger.record([(call.row, CallResult("succeeded"))])
    assert seen == list(range(1, 1_701))
    assert ledger.counts() == {"succeeded": 1_700}


def test_an_ambiguous_line_of_an_earlier_report_outweighs_the_others(ledger):
    ledger.remember_keys([("a", True), ("b", True), ("b", False), ("c", False), ("c", True), ("", True)])
    assert [ledger.is_wanted(key) for key in ("a", "b", "c", "d", None)] == [True, False, False, False, True]


def test_a_key_that_must_not_be_doubled_makes_all_its_rows_invalid(ledger):
    def refuse(one, other):
        raise InvalidRowError("The key occurs twice.")

    fill(ledger, "a", "b", "a", "c", "a")
    ledger.merge_rows(refuse)
    change_all(ledger)
    assert [(line.row, line.outcome, line.reason, line.operation) for line in ledger.report_lines()] == [
        (1, "invalid", "The key occurs twice.", "none"),
        (2, None, None, "assign"),
        (3, "invalid", "The key occurs twice.", "none"),
        (4, None, None, "assign"),
        (5, "invalid", "The key occurs twice.", "none"),
    ]
    assert [call.key for call in ledger.calls(0)] == ["b", "c"]


def test_rows_of_different_keys_that_share_a_value_are_invalid(ledger):
    unique = [("a", "1"), ("b", "2"), ("c", "1"), ("d", "3"), ("d", "3")]
    ledger.add_valid(
        (row, PlannedWrite(key, "p", "f", (("email", digest), ("phone", key))))
        for row, (key, digest) in enumerate(unique, 1)
    )
    ledger.refuse_shared_values()
    assert [(line.key, line.outcome) for line in ledger.report_lines()] == [
        ("a", "invalid"),
        ("b", None),
        ("c", "invalid"),
        ("d", None),
        ("d", None),
    ]
    assert ledger.not_done(1) == [("a", "Field 'email' has the same value in a row of another key.")]


def test_each_call_is_decided(ledger):
    decisions = {
        "a": Settled("unchanged", "done before", id="7"),
        "b": Change("create", "x", "email", is_repeatable=False, step=b"s", phase=1),
        "c": PastResult(CallResult("refused", "no", None, "2026-01-01"), "create", "email"),
    }
    fill(ledger, *decisions)
    ledger.compare_all(lambda write, stored: decisions[write.key])
    assert ledger.phases() == [1]
    (call,) = ledger.calls(1)
    assert (call.operation, call.payload, call.is_repeatable, call.step) == ("create", "x", False, b"s")
    assert ledger.planned_operations() == {"create": 1}
    a, _, c = ledger.report_lines()
    assert (a.outcome, a.reason, a.id, a.operation, a.fields) == (
        "unchanged",
        "done before",
        "7",
        "none",
        "label_ids",
    )
    assert (c.outcome, c.attempted_at, c.operation, c.fields) == ("refused", "2026-01-01", "create", "email")


def test_deletes_follow_the_rows_and_have_no_number(ledger):
    fill(ledger, "a")
    ledger.add_gone([("y", Change("delete", "", "", phase=1))])
    ledger.add_gone([("z", Settled("ambiguous", "held", "delete"))])
    assert [(line.row, line.key) for line in ledger.report_lines()] == [(1, "a"), (None, "y"), (None, "z")]
    assert [call.key for call in ledger.calls(1)] == ["y"]
    assert ledger.operations() == {"none": 1, "delete": 2}
