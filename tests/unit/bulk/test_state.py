from __future__ import annotations

import asyncio

import pytest

from airflow_provider_cytechbot.bulk.journal import Begun, Remembered, Saved, Settlement
from airflow_provider_cytechbot.bulk.ledger import CallResult, Ledger, PastResult
from airflow_provider_cytechbot.bulk.resource import NO_ENTRY, PlannedCall, PlannedWrite, StateEntry, Written
from airflow_provider_cytechbot.bulk.state import Identity, RunState, digest_of


@pytest.fixture
def ledger():
    ledger = Ledger()
    yield ledger
    ledger.close()


@pytest.fixture
def state(ledger):
    return RunState(ledger.database, Identity("run", 1))


def settled(key, outcome, content="red", operation="paint", **changes):
    values = {
        "reason": "",
        "id": None,
        "attempted_at": "now",
        "has_value": False,
        "value": None,
        "keeps_step": False,
    }
    values |= changes
    return Settlement(key, digest_of(content), operation, "f", outcome, *values.values())


def test_a_stored_state_is_read_and_written_again(state):
    entries = [("a", b"1", None, None), ("b", None, b"s", "run"), ("c", b"2", b"s", "another")]
    state.load([entries[:2], entries[2:]], {"group": "7"}, "00ff")
    assert list(state.entries()) == entries
    assert state.entry("a") == StateEntry(b"1")
    assert state.entry("b") == StateEntry(None, b"s", is_of_this_run=True)
    assert state.entry("c") == StateEntry(b"2", b"s", is_of_this_run=False)
    assert state.entry("d") is NO_ENTRY
    assert state.header == {"group": "7"}
    assert (state.salt, state.stored_salt, state.keys()) == (b"\x00\xff", "00ff", 2)
    assert not state.is_changed


def test_without_a_journal_nothing_is_durable(state):
    assert not state.is_durable
    state.remember("group", "7")
    asyncio.run(state.begin("a", b"s"))
    assert state.header == {"group": "7"}
    assert state.entry("a").step == b"s"


def test_a_salt_is_made_once(state):
    assert len(state.salt) == 16
    assert state.salt == bytes.fromhex(state.stored_salt)
    assert state.is_changed


def test_a_step_has_a_limit(state):
    with pytest.raises(ValueError, match="255"):
        asyncio.run(state.begin("a", bytes(256)))


@pytest.mark.parametrize(
    ("result", "written", "expected"),
    [
        ("succeeded", Written(value=b"new"), StateEntry(b"new")),
        ("succeeded", Written(value=None), NO_ENTRY),
        ("refused", None, StateEntry(b"old")),
        ("invalid", None, StateEntry(b"old")),
        ("failed", None, StateEntry(b"old")),
        ("ambiguous", None, StateEntry(b"old", b"s", is_of_this_run=True)),
    ],
)
def test_what_a_result_leaves(state, result, written, expected):
    state.load([[("a", b"old", b"s", "run")]], {}, "")
    call = PlannedCall(1, "a", "create", "red", 1, is_repeatable=False)
    state.settle(call, "red", CallResult(result), written)
    assert state.entry("a") == expected


def test_a_journal_is_applied_in_its_order(state):
    records = [
        Begun("a", b"s"),
        Saved("a", b"half"),
        Begun("b", b"s"),
        Begun("b", None),
        Remembered("group", "7"),
        Remembered("", "00ff"),
        settled("c", "succeeded", has_value=True, value=b"1"),
        Begun("d", b"s"),
        settled("d", "ambiguous", keeps_step=True),
    ]
    state.replay("another", 1, records, is_new=True)
    assert state.entry("a") == StateEntry(b"half", b"s")
    assert state.entry("b") == NO_ENTRY
    assert state.entry("c") == StateEntry(b"1")
    assert state.entry("d") == StateEntry(None, b"s")
    assert (state.header, state.stored_salt) == ({"group": "7"}, "00ff")
    assert state.is_changed
    assert not state.is_resumed


@pytest.mark.parametrize(
    ("outcome", "by_a_retry", "after_a_clear"),
    [
        ("succeeded", True, True),
        ("unchanged", True, True),
        ("refused", True, False),
        ("ambiguous", True, True),
        ("invalid", False, False),
        ("failed", False, False),
    ],
)
def test_which_results_are_kept(ledger, outcome, by_a_retry, after_a_clear):
    for first_try, is_kept in ((1, by_a_retry), (4, after_a_clear)):
        state = RunState(ledger.database, Identity("run", first_try))
        state.replay("run", 1, [settled("a", outcome, reason="no", id="7")], is_new=False)
        expected = PastResult(CallResult(outcome, "no", "7", "now"), "paint", "f") if is_kept else None
        assert state.past_result("a", lambda: "red") == expected
        assert state.is_resumed


def test_the_last_result_of_a_key_counts(state):
    state.replay("run", 1, [settled("a", "failed"), settled("a", "succeeded")], is_new=False)
    assert state.past_result("a", lambda: "red").result.outcome == "succeeded"


def test_other_content_and_other_runs_keep_nothing(state):
    state.replay("run", 1, [settled("a", "succeeded")], is_new=False)
    state.replay("another", 1, [settled("b", "succeeded")], is_new=False)
    assert state.past_result("a", lambda: "blue") is None
    assert state.changed_since_try == 1
    assert state.past_result("b", lambda: "red") is None
    assert state.past_result("c", lambda: "red") is None


def test_deletes_of_an_earlier_try_are_kept(ledger, state):
    ledger.add_valid([(1, PlannedWrite("b", "red", "f"))])
    deletes = [settled(key, "succeeded", "", "delete") for key in "ab"]
    state.replay("run", 1, [*deletes, settled("c", "succeeded")], is_new=False)
    assert [key for key, _ in state.past_deletes()] == ["a"]
    assert state.past_result("b", lambda: "") is None


def test_keys_without_a_row_are_gone(ledger, state):
    ledger.add_valid([(1, PlannedWrite("b", "red", "f"))])
    ledger.add_invalid([(2, "c", "no"), (3, None, "no key")])
    state.load([[(key, b"v", None, None) for key in "abcd"]], {}, "")
    assert list(state.gone_entries()) == [("a", StateEntry(b"v")), ("d", StateEntry(b"v"))]
