from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import msgspec
import pytest

from airflow_provider_cytechbot.bulk.owner import Owner, owner_of

TASK = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=2, try_number=3)


def test_a_task_instance_has_one_digest_in_all_tries():
    owner = owner_of(TASK, 2)
    later = msgspec.structs.replace(owner, try_number=4, first_try=4, pid=1, host="elsewhere")
    assert owner.is_task
    assert owner.is_same_task(later)
    assert owner.digest == later.digest


@pytest.mark.parametrize("change", [{"dag_id": "e"}, {"task_id": "u"}, {"run_id": "s"}, {"map_index": 1}])
def test_other_task_instances_have_other_digests(change):
    owner = owner_of(TASK, 1)
    assert not owner.is_same_task(msgspec.structs.replace(owner, **change))


def test_outside_of_a_task_nothing_is_the_same_task():
    owner = owner_of(None, 1)
    assert not owner.is_task
    assert not owner.is_same_task(owner)
    assert str(owner) == f"process {os.getpid()} on {socket.gethostname()}"


def test_an_owner_is_named_for_people():
    assert str(owner_of(TASK, 1)).startswith("task t [2] of DAG d, run r, process ")


def test_this_process_is_alive():
    assert not owner_of(TASK, 1).is_dead()


def test_a_process_that_has_ended_is_dead():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert Owner(host=socket.gethostname(), pid=process.pid, process_start="x").is_dead()


def test_another_process_of_the_same_number_is_not_taken_for_it():
    assert Owner(host=socket.gethostname(), pid=os.getpid(), process_start="another boot").is_dead()


def test_processes_of_other_machines_are_not_judged():
    assert not Owner(host="elsewhere", pid=1, process_start="x").is_dead()
