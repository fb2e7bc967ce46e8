from __future__ import annotations

import threading
import time

import msgspec
import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotRequestError,
    CyTechBotStorageError,
    CyTechBotStorageRefusedError,
)
from airflow_provider_cytechbot.bulk import claim as claim_module
from airflow_provider_cytechbot.bulk.claim import Beat, Claim, ClaimFile, is_older_state, newest_state
from airflow_provider_cytechbot.bulk.owner import Owner, owner_of


def task(run="r", **changes):
    return Owner(**{"dag_id": "d", "task_id": "t", "run_id": run, "host": "elsewhere", "pid": 7, **changes})


def test_a_live_claim_keeps_others_out_and_is_named(folder):
    Claim(folder, task())
    with pytest.raises(
        CyTechBotRequestError, match="in use by task t of DAG d, run r, process 7 on elsewhere"
    ):
        Claim(folder, task("another"))


def test_a_claim_that_has_ended_leaves_the_folder_free(folder):
    Claim(folder, task()).end(is_complete=True, state=4)
    claim = Claim(folder, task("another"))
    assert claim.number == 2
    assert claim.previous_beat.state == 4


def test_another_try_of_the_same_task_takes_over_at_once(folder):
    first = Claim(folder, task())
    second = Claim(folder, task(pid=8))
    assert (second.number, second.run) == (2, first.run)
    with pytest.raises(CyTechBotRequestError, match="taken over"):
        first.check()
    second.check()


def test_a_dead_process_of_this_machine_is_replaced_at_once(folder):
    Claim(folder, task(host=owner_of(None, 1).host, pid=2**22 + 1))
    Claim(folder, task("another"))


def test_this_process_is_not_replaced(folder):
    Claim(folder, owner_of(None, 1))
    with pytest.raises(CyTechBotRequestError, match="in use"):
        Claim(folder, owner_of(None, 1))


@pytest.mark.parametrize(("silence", "is_replaced"), [(25, False), (31, True)])
@pytest.mark.parametrize("has_beat", [True, False])
def test_a_claim_without_heartbeats_is_replaced(folder, silence, is_replaced, has_beat):
    at = time.time() - silence
    content = ClaimFile(1, task(), "x", at - 100 if has_beat else at, 0)
    folder.write("claim-000005.json", msgspec.json.encode(content))
    if has_beat:
        folder.write("beat-000005.json", msgspec.json.encode(Beat(at)))
    if is_replaced:
        assert Claim(folder, task("another")).number == 6
    else:
        with pytest.raises(CyTechBotRequestError):
            Claim(folder, task("another"))


def test_a_takeover_has_one_winner(folder):
    folder.write("claim-000001.json", msgspec.json.encode(ClaimFile(1, task(), "x", 0.0, 0)))
    won, lost = [], []

    def take(number):
        barrier.wait()
        try:
            won.append(Claim(folder, task(f"run {number}")))
        except CyTechBotRequestError as error:
            lost.append(error)

    barrier = threading.Barrier(6)
    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 5)


def test_a_process_without_a_task_continues_work_that_has_begun(folder):
    dead = Owner(host=owner_of(None, 1).host, pid=2**22 + 1)
    first = Claim(folder, dead)
    second = Claim(folder, dead)
    assert second.run == first.run
    second.end(is_complete=False, state=0)
    third = Claim(folder, dead)
    assert third.run == first.run
    third.end(is_complete=True, state=0)
    assert Claim(folder, dead).run != first.run


def test_heartbeats_are_written_until_the_end(folder, monkeypatch):
    monkeypatch.setattr(claim_module, "BEAT", 0.02)
    claim = Claim(folder, task())
    claim.keep(lambda error: pytest.fail(str(error)))
    ends = time.monotonic() + 5
    while "beat-000001.json" not in folder.names():
        assert time.monotonic() < ends
    claim.end(is_complete=True, state=1)
    assert msgspec.json.decode(folder.read("beat-000001.json"), type=Beat).has_ended


def test_a_claim_that_was_lost_is_reported(folder, monkeypatch):
    monkeypatch.setattr(claim_module, "BEAT", 0.02)
    lost = []
    claim = Claim(folder, task())
    claim.keep(lost.append)
    Claim(folder, task(pid=8))
    ends = time.monotonic() + 5
    while not lost:
        assert time.monotonic() < ends
        time.sleep(0.01)
    assert "taken over" in lost[0].reason


def test_a_heartbeat_that_fails_is_tried_again(folder, monkeypatch, caplog):
    monkeypatch.setattr(claim_module, "BEAT", 0.02)
    claim = Claim(folder, task())

    def fail(name, data):
        raise CyTechBotStorageError("no answer.")

    monkeypatch.setattr(folder, "write", fail)
    claim.keep(lambda error: pytest.fail(str(error)))
    ends = time.monotonic() + 5
    while caplog.text.count("heartbeat could not be written") < 2:
        assert time.monotonic() < ends
        time.sleep(0.01)
    claim.end(is_complete=False, state=0)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"version": 1}', b"[]"])
def test_a_damaged_claim_is_an_error(folder, content):
    folder.write("claim-000001.json", content)
    with pytest.raises(CyTechBotStorageRefusedError, match=r"claim-000001\.json, is damaged"):
        Claim(folder, task())


def test_a_claim_of_a_newer_version_is_refused(folder):
    folder.write("claim-000001.json", b'{"version": 2, "who": "it"}')
    with pytest.raises(CyTechBotStorageRefusedError, match="newer version"):
        Claim(folder, task())


def test_older_claims_are_removed_and_a_withdrawn_one_leaves_them(folder):
    Claim(folder, task()).end(is_complete=True, state=0)
    Claim(folder, task()).withdraw()
    assert "claim-000001.json" in folder.names()
    Claim(folder, task()).remove_older()
    assert folder.names() == ["claim-000002.json"]


def test_the_newest_state_is_found():
    names = ["state-000002.gz", "state-000010.gz", "state-x.gz", "claim-000011.json"]
    assert newest_state(names) == 10
    assert newest_state([]) == 0
    assert [name for name in names if is_older_state(name, 10)] == ["state-000002.gz"]
