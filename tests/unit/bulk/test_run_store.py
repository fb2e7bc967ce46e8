from __future__ import annotations

import asyncio

import msgspec
import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotRequestError, CyTechBotStorageRefusedError
from airflow_provider_cytechbot.bulk.folder import Folder
from airflow_provider_cytechbot.bulk.ledger import CallResult, Ledger
from airflow_provider_cytechbot.bulk.owner import Owner
from airflow_provider_cytechbot.bulk.resource import PlannedCall, StateEntry, Written
from airflow_provider_cytechbot.bulk.run_store import RunStore
from airflow_provider_cytechbot.bulk.shards import Shard

IDENTITY = {"server": "https://a", "operation": "assign", "page_id": "9"}


@pytest.fixture
def open_store(folder):
    ledgers = []

    def open_store(
        run="r", *, identity=IDENTITY, shard=(0, 1), is_persistent=True, is_read_only=False, **owner
    ):
        ledgers.append(Ledger())
        return RunStore(
            folder,
            identity,
            Owner(**{"dag_id": "d", "task_id": "t", "run_id": run, "host": "elsewhere", **owner}),
            Shard(*shard),
            ledgers[-1].database,
            is_persistent=is_persistent,
            is_read_only=is_read_only,
        )

    yield open_store
    for ledger in ledgers:
        ledger.close()


def do(store, *keys, is_killed=False):
    """Let a run settle keys and end, or be killed before it wrote its state."""
    store.begin(lambda error: None)
    for key in keys:
        call = PlannedCall(1, key, "assign", "5", 1)
        store.state.settle(call, "5", CallResult("succeeded"), Written(value=b"5"))
    store.close_journal()
    if not is_killed:
        store.write_state()
        store.end(is_complete=True)


def values(store):
    return [key for key, *_ in store.state.entries()]


def test_runs_build_on_each_other(open_store, folder):
    do(open_store("1"), "a")
    do(open_store("2"), "b")
    assert values(open_store("3")) == ["a", "b"]
    assert [name for name in folder.names() if name.startswith("state")] == ["state-000002.gz"]


def test_a_run_without_news_writes_no_state(open_store, folder):
    do(open_store("1"), "a")
    do(open_store("2"))
    assert [name for name in folder.names() if name.startswith("state")] == ["state-000001.gz"]


def test_results_of_killed_runs_are_read(open_store, folder):
    do(open_store("1"), "a", is_killed=True)
    do(open_store("1"), "b", is_killed=True)
    (name,) = (name for name in folder.names() if name.startswith("claim"))
    folder.write(name, msgspec.json.encode({**msgspec.json.decode(folder.read(name)), "at": 0.0}))
    store = open_store("2")
    assert values(store) == ["a", "b"]
    do(store, "c")
    assert values(open_store("3")) == ["a", "b", "c"]
    assert [name for name in folder.names() if name.startswith("journal")] == [
        "journal-000003-00000001-00000001.bin"
    ]


def test_a_retry_has_the_results_of_its_earlier_tries_and_another_run_does_not(open_store):
    do(open_store("1"), "a")
    retry = open_store("1")
    assert retry.state.is_resumed
    assert retry.state.past_result("a", lambda: "5").result.outcome == "succeeded"
    do(retry, "b")
    again = open_store("1")
    assert again.state.past_result("a", lambda: "5") is not None
    assert again.state.past_result("b", lambda: "5") is not None
    again.end(is_complete=True)
    other = open_store("2")
    assert other.state.past_result("a", lambda: "5") is None
    assert not other.state.is_resumed


def test_a_step_survives_a_kill_and_the_runs_after_it(open_store):
    store = open_store("1")
    store.begin(lambda error: None)
    asyncio.run(store.state.begin("a", b"s"))
    assert open_store("1").state.entry("a") == StateEntry(None, b"s", is_of_this_run=True)
    store.close_journal()
    store = open_store("1")
    do(store)
    store = open_store("2")
    assert store.state.entry("a") == StateEntry(None, b"s", is_of_this_run=False)
    do(store, "b")
    assert open_store("3").state.entry("a").step == b"s"


@pytest.mark.parametrize(
    "identity",
    [
        {**IDENTITY, "server": "https://b"},
        {**IDENTITY, "operation": "update"},
        {**IDENTITY, "page_id": "10"},
        {"server": "https://a"},
    ],
)
def test_a_state_of_something_else_is_refused(open_store, folder, identity):
    do(open_store("1"), "a")
    names = folder.names()
    with pytest.raises(
        CyTechBotStorageRefusedError, match=r"holds a state of server https://a.*state_path of its own"
    ):
        open_store("2", identity=identity)
    assert folder.names() == names
    folder.remove(["about.json"])
    with pytest.raises(CyTechBotStorageRefusedError, match="holds a state of"):
        open_store("2", identity=identity)


class TestLostAndDamaged:
    @pytest.mark.parametrize("times", [1, 2])
    @pytest.mark.parametrize("prefixes", ["state", "state journal", "state journal claim beat"])
    def test_a_lost_state_is_an_error_that_stays(self, open_store, folder, prefixes, times):
        for number in range(times):
            do(open_store(str(number)), "a", str(number))
        folder.remove([name for name in folder.names() if name.startswith(tuple(prefixes.split()))])
        for _ in range(3):
            with pytest.raises(
                CyTechBotStorageRefusedError, match=r"has lost the file of its state.*remove the whole"
            ):
                open_store("9")

    def test_a_lost_file_of_a_journal_is_an_error(self, open_store, folder):
        store = open_store("1")
        store.begin(lambda error: None)
        for key in "abc":
            asyncio.run(store.state.begin(key, b"s"))
        folder.remove(["journal-000001-00000002-00000002.bin"])
        with pytest.raises(CyTechBotStorageRefusedError, match="has lost the file journal-000001-00000002"):
            open_store("1")
        store.close_journal()

    @pytest.mark.parametrize("is_read_only", [False, True])
    @pytest.mark.parametrize("is_persistent", [False, True])
    @pytest.mark.parametrize("prefixes", ["claim", "claim beat", "claim state", "claim journal"])
    def test_a_lost_claim_is_an_error_that_stays(
        self, open_store, folder, prefixes, is_persistent, is_read_only
    ):
        """Its number would be given again, and the state of the next run would count as the older one."""
        for number in "123":
            do(open_store("1", is_persistent=is_persistent), number)
        folder.remove([name for name in folder.names() if name.startswith(tuple(prefixes.split()))])
        for _ in range(2):
            with pytest.raises(CyTechBotStorageRefusedError, match=r"has lost the file claim-000003\.json"):
                open_store("2", is_persistent=is_persistent, is_read_only=is_read_only)

    @pytest.mark.parametrize("prefix", ["state", "journal", "claim", "about"])
    @pytest.mark.parametrize("content", [b"", b"\x00\x01", b"{}", b"\xf3{}", b'{"\xff": 1}', b"[" * 50_000])
    def test_a_damaged_file_is_an_error_that_stays(self, open_store, folder, prefix, content):
        do(open_store("1"), "a")
        (name,) = (name for name in folder.names() if name.startswith(prefix))
        folder.write(name, content)
        for _ in range(2):
            with pytest.raises(CyTechBotStorageRefusedError, match=f"{name}, is damaged"):
                open_store("2")

    @pytest.mark.parametrize("before", [(0, 1), (0, 2), (1, 2), (3, 4)])
    @pytest.mark.parametrize("after", [(0, 1), (0, 2), (1, 3), (3, 4)])
    def test_without_about_another_number_of_shards_is_no_first_run(self, open_store, folder, before, after):
        do(open_store("1", shard=before), "a")
        folder.remove(["about.json"])
        if before[1] == after[1]:
            assert values(open_store("2", shard=after)) == (["a"] if before == after else [])
            return
        with pytest.raises(CyTechBotStorageRefusedError, match=r"has lost the file about\.json"):
            open_store("2", shard=after)

    def test_a_folder_that_was_removed_is_a_first_run(self, open_store, folder):
        do(open_store("1"), "a")
        folder.remove(folder.names())
        assert values(open_store("2")) == []

    def test_a_first_run_that_was_killed_at_once_loses_nothing(self, open_store):
        do(open_store("1"), is_killed=True)
        assert values(open_store("1")) == []

    def test_files_that_were_not_removed_do_no_harm(self, open_store, folder):
        do(open_store("1"), "a", is_killed=True)
        old = {name: folder.read(name) for name in folder.names() if name.startswith("journal")}
        do(open_store("1"), "b")
        do(open_store("2"), "c")
        for name, content in old.items():
            folder.write(name, content)
        assert values(open_store("3")) == ["a", "b", "c"]


class TestShards:
    def test_each_shard_has_a_state(self, open_store, folder):
        for number in range(2):
            do(open_store("1", shard=(number, 2), map_index=number), f"k{number}")
        assert values(open_store("2", shard=(1, 2))) == ["k1"]
        assert folder.names() == ["about.json", "shard-0-of-2", "shard-1-of-2"]

    @pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3)])
    def test_another_number_of_shards_is_refused(self, open_store, before, after):
        do(open_store("1", shard=(0, before)), "a")
        with pytest.raises(CyTechBotStorageRefusedError, match=f"{before} shards, but this task has {after}"):
            open_store("2", shard=(0, after))

    def test_shards_of_a_run_cannot_share_a_report(self, open_store):
        do(open_store("1", shard=(0, 2), map_index=0, is_persistent=False))
        with pytest.raises(CyTechBotStorageRefusedError, match="report_path must differ per shard"):
            open_store("1", shard=(1, 2), map_index=1, is_persistent=False)
        open_store("1", shard=(0, 2), map_index=0, is_persistent=False)


class TestJournalBesideAReport:
    def test_a_retry_goes_on_and_another_run_begins_again(self, open_store, folder):
        do(open_store("1", is_persistent=False), "a", is_killed=True)
        retry = open_store("1", is_persistent=False)
        assert retry.state.past_result("a", lambda: "5") is not None
        do(retry, "b")
        other = open_store("2", is_persistent=False)
        assert other.state.past_result("a", lambda: "5") is None
        assert values(other) == []
        do(other)
        assert not [name for name in folder.names() if name.startswith("journal")]

    def test_it_may_be_about_something_else(self, open_store):
        do(open_store("1", is_persistent=False), "a")
        open_store("2", is_persistent=False, identity={"server": "https://b"})


def test_two_runs_at_once_are_refused(open_store):
    store = open_store("1")
    store.begin(lambda error: None)
    with pytest.raises(CyTechBotRequestError, match="in use"):
        open_store("2")
    store.close_journal()
    store.end(is_complete=True)


def test_reading_only_changes_nothing(open_store, folder):
    do(open_store("1"), "a")
    before = {name: folder.read(name) for name in folder.names()}
    store = open_store("2", is_read_only=True)
    assert values(store) == ["a"]
    do(store)
    assert {name: folder.read(name) for name in folder.names()} == before


@pytest.mark.parametrize("is_exclusive", [True, False])
def test_a_storage_where_two_can_begin_is_named(open_store, monkeypatch, caplog, is_exclusive):
    monkeypatch.setattr(Folder, "creates_exclusively", is_exclusive)
    do(open_store("1"), "a")
    assert ("set max_active_runs=1" in caplog.text) is not is_exclusive


def test_a_state_of_a_newer_version_is_refused(open_store, folder):
    do(open_store("1"), "a")
    about = msgspec.json.decode(folder.read("about.json"))
    folder.write("about.json", msgspec.json.encode({**about, "version": 2}))
    with pytest.raises(CyTechBotStorageRefusedError, match="newer version"):
        open_store("2")
