from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.operators import task_memory
from airflow_provider_cytechbot.operators.task_memory import STORE_KEY, TaskMemory, is_retry


def test_only_later_tries_are_retries(tries):
    assert not is_retry(tries.context())
    assert is_retry(tries.retry())
    assert is_retry(tries.retry())


def test_after_a_clear_tries_are_counted_again(tries):
    tries.retry()
    assert not is_retry(tries.clear())
    assert is_retry(tries.retry())
    assert not is_retry(tries.clear())


def test_a_task_without_retries(tries):
    tries.retries = tries.ti.max_tries = tries.ti.task.retries = 0
    assert not is_retry(tries.context())
    assert not is_retry(tries.clear())


def test_only_a_digest_of_the_call_is_stored(tries):
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
def test_other_fields_make_another_call(tries, call):
    TaskMemory(tries.context(), {"name": "Leads"}).begin()
    assert not TaskMemory(tries.context(), call).read_previous_try().is_same


def test_restore_stores_the_earlier_state(tries):
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


def test_a_run_that_began_since_the_state_was_read_is_noticed(tries):
    late, early = (TaskMemory(tries.context(), 1) for _ in range(2))
    late.read_previous_try()
    early.read_previous_try()
    assert early.begin()
    early.finish("7")
    assert not late.begin()
    assert tries.store.entries[STORE_KEY]["id"] == "7"


def test_a_run_that_began_after_this_one_wrote_is_noticed(tries, monkeypatch):
    first, second = (TaskMemory(tries.context(), 1) for _ in range(2))
    first.read_previous_try()
    real = tries.store.set
    seen = []

    def set_and_be_overwritten(*arguments):
        real(*arguments)
        monkeypatch.setattr(tries.store, "set", real)
        # It has read before the first run wrote.
        tries.store.entries.pop(STORE_KEY)
        second.read_previous_try()
        seen.append(second.begin())

    monkeypatch.setattr(tries.store, "set", set_and_be_overwritten)
    assert not first.begin()
    assert seen == [True]
    first.restore()
    assert STORE_KEY in tries.store.entries


def test_a_run_that_has_read_but_not_written_yet_is_waited_for(tries, monkeypatch):
    """Without the wait both runs would create: the first reads its entry before the second overwrites it."""
    first, second = (TaskMemory(tries.context(), 1) for _ in range(2))
    first_wrote, second_wrote = threading.Event(), threading.Event()
    is_first = threading.local()
    real = tries.store.set
    results = {}

    def set_in_order(key, value):
        if getattr(is_first, "value", False):
            real(key, value)
            first_wrote.set()
        else:
            assert first_wrote.wait(10)
            real(key, value)
            second_wrote.set()

    def begin_second():
        results["second"] = second.begin()

    def begin_first():
        is_first.value = True
        results["first"] = first.begin()

    def get(key):
        # Both read before either writes.
        value = tries.store.entries.get(key)
        if not first_wrote.is_set():
            both_have_read.wait(10)
        return value

    both_have_read = threading.Barrier(2)
    monkeypatch.setattr(tries.store, "get", get)
    monkeypatch.setattr(tries.store, "set", set_in_order)
    waits = SimpleNamespace(sleep=lambda seconds: second_wrote.wait(10) if seconds else None)
    monkeypatch.setattr(task_memory, "time", waits)
    threads = [threading.Thread(target=each) for each in (begin_first, begin_second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {"first": False, "second": True}


def test_works_without_a_store(tries_without_store):
    memory = TaskMemory(tries_without_store.context(), 1)
    assert not memory.read_previous_try().was_cut_off
    memory.begin()
    memory.finish("7")
    memory.mark_reported()
    memory.restore()
    assert not memory.is_persistent
    assert TaskMemory(tries_without_store.retry(), 1).read_previous_try().was_cut_off
