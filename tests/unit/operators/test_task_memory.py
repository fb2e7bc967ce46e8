from __future__ import annotations

import pytest

from airflow_provider_cytechbot.operators.task_memory import STORE_KEY, TaskMemory, is_retry


def test_a_first_try_is_no_retry_and_the_others_are(tries):
    assert not is_retry(tries.context())
    assert is_retry(tries.retry())
    assert is_retry(tries.retry())


def test_clearing_counts_the_tries_from_there(tries):
    tries.retry()
    assert not is_retry(tries.clear())
    assert is_retry(tries.retry())
    assert not is_retry(tries.clear())


def test_a_task_without_retries(tries):
    tries.retries = tries.ti.max_tries = tries.ti.task.retries = 0
    assert not is_retry(tries.context())
    assert not is_retry(tries.clear())


def test_what_is_remembered_is_a_digest(tries):
    memory = TaskMemory(tries.context(), {"name": "Leads"})
    memory.begin()
    assert "Leads" not in str(tries.store.entries[STORE_KEY])
    memory.finish("7")
    earlier = TaskMemory(tries.retry(), {"name": "Leads"}).read_previous_try()
    assert earlier.new_id == "7"
    assert earlier.is_same
    assert not earlier.was_cut_off
    assert not earlier.was_cleared_since


@pytest.mark.parametrize("call", [{"name": "Others"}, {"name": "Leads", "x": None}])
def test_other_fields_are_another_call(tries, call):
    TaskMemory(tries.context(), {"name": "Leads"}).begin()
    assert not TaskMemory(tries.context(), call).read_previous_try().is_same


def test_undo_leaves_what_was_there_before(tries):
    first = TaskMemory(tries.context(), 1)
    first.read_previous_try()
    first.begin()
    second = TaskMemory(tries.retry(), 1)
    second.read_previous_try()
    before = tries.store.entries[STORE_KEY]
    second.finish("7")
    second.restore()
    assert tries.store.entries[STORE_KEY] == before
    first.restore()
    assert STORE_KEY not in tries.store.entries


def test_without_a_store_nothing_goes_wrong(tries_without_store):
    memory = TaskMemory(tries_without_store.context(), 1)
    assert not memory.read_previous_try().was_cut_off
    memory.begin()
    memory.finish("7")
    memory.mark_reported()
    memory.restore()
    assert not memory.is_persistent
    assert TaskMemory(tries_without_store.retry(), 1).read_previous_try().was_cut_off
