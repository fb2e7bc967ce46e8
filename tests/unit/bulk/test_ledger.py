from __future__ import annotations

import pytest

from airflow_provider_cytechbot.bulk.ledger import CallResult, Ledger


@pytest.fixture
def ledger():
    ledger = Ledger("assign")
    yield ledger
    ledger.close()


def fill(ledger, *keys):
    ledger.add_valid((row, key, f"p{row}", "label_ids") for row, key in enumerate(keys, 1))


def test_rows_of_one_key_become_one_call_and_share_its_result(ledger):
    fill(ledger, "a", "b", "a", "c", "a")
    ledger.merge_rows(lambda one, other: f"{one}+{other}")
    assert [tuple(call) for call in ledger.calls()] == [
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
    assert [call.key for call in ledger.calls()] == ["a", "b"]


def test_an_empty_ledger(ledger):
    ledger.merge_rows(lambda one, other: one)
    assert list(ledger.calls()) == list(ledger.report_lines()) == []
    assert ledger.rows() == ledger.open_calls() == ledger.counts().total() == 0


def test_invalid_rows_are_no_calls(ledger):
    ledger.add_invalid([(2, None, "no key")])
    fill(ledger, "a")
    assert [call.row for call in ledger.calls()] == [1]
    assert ledger.counts() == {"invalid": 1}
    assert ledger.operations() == {"assign": 1, "none": 1}
    assert ledger.not_done(5) == [(None, "no key")]


def test_calls_are_yielded_once_while_results_are_recorded(ledger):
    fill(ledger, *map(str, range(1_700)))
    seen = []
    for call in ledger.calls():
        seen.append(call.row)
        ledger.record([(call.row, CallResult("succeeded"))])
    assert seen == list(range(1, 1_701))
    assert ledger.counts() == {"succeeded": 1_700}


def test_an_ambiguous_line_of_an_earlier_report_outweighs_the_others(ledger):
    ledger.remember_keys([("a", True), ("b", True), ("b", False), ("c", False), ("c", True), ("", True)])
    assert [ledger.is_wanted(key) for key in ("a", "b", "c", "d", None)] == [True, False, False, False, True]
