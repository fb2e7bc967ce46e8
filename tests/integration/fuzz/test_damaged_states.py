"""States that are damaged anywhere: an error of the provider's tree, or no contact is made twice."""

from __future__ import annotations

import json
import shutil
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.operators.contacts import CyTechBotSyncContactsOperator
from tests.task_instance import task_instance

from ..contact_sync.contact_server import ContactServer
from .corpus import fuzz, saved
from .damages import DAMAGES, Snapshot, damage

ROWS = [
    {"id": f"k{each}", "email": f"k{each}@example.com", "first_name": "Ann", "last_name": f"k{each}"}
    for each in range(24)
]
#: The create at which the folder is as a killed run leaves it.
KILLED_AT = 14


@pytest.fixture(scope="module")
def server():
    with ContactServer() as server, pytest.MonkeyPatch.context() as patch:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        connection = {"conn_type": "cytechbot", "host": server.url, "password": "1-some-key"}
        patch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
        yield server
        server.shutdown()


def sync(folder, run_id, try_number=1, **fields):
    """Run the sync, and return its manifest, also if it failed, or nothing if it never came to one."""
    pushed = {}
    task = CyTechBotSyncContactsOperator(
        task_id="t",
        rows=ROWS,
        key="id",
        contact_type_id="5",
        state_path=str(folder / "state"),
        sync_mode="mirror",
        max_concurrency=3,
        **fields,
    )
    try:
        return task.execute({"ti": task_instance(pushed, run_id=run_id, try_number=try_number)})
    except CyTechBotError:
        return pushed.get("return_value")


@pytest.fixture(scope="module")
def snapshots(server, tmp_path_factory):
    """What a run leaves that was killed among its creates, and what a run leaves that came to its end."""
    folder = tmp_path_factory.mktemp("before")
    taken = {}

    def keep(kind):
        contacts = {key: dict(each) for key, each in server.contacts.items()}
        taken[kind] = Snapshot(folder, tmp_path_factory.mktemp(kind) / "copy", contacts=contacts)

    def take(endpoint, fields):
        if endpoint == "create_contact" and server.calls["create_contact"] == KILLED_AT:
            keep("killed")

    server.fault = take
    sync(folder, "1")
    keep("finished")
    finished, killed = (len(taken[kind].beside["contacts"]) for kind in ("finished", "killed"))
    assert finished == len(ROWS) > killed > 5
    return taken


@fuzz(examples=30, longest=1_500)
@saved("states")
@given(kind=st.sampled_from(["killed", "finished"]), damages=DAMAGES, is_retry=st.booleans())
def test_a_damaged_state_never_doubles_a_contact(
    server, snapshots, tmp_path_factory, kind, damages, is_retry
):
    check_damaged(server, snapshots[kind], tmp_path_factory.mktemp("damaged"), damages, is_retry)


def test_no_lost_file_doubles_a_contact(server, snapshots, tmp_path):
    for kind, snapshot in snapshots.items():
        for number, name in enumerate(sorted(each.name for each in (snapshot.folder / "state").iterdir())):
            for is_retry in (False, True):
                folder = tmp_path / f"{kind}-{name}-{is_retry}"
                folder.mkdir()
                check_damaged(server, snapshot, folder, [(number, "remove", 0, 1)], is_retry)


def check_damaged(server, snapshot, folder, damages, is_retry):
    """Damage a copy of a folder, run the sync there and on the next day, and check what the server has."""
    snapshot.copy(folder / "copy")
    state = folder / "copy" / "state"
    done = damage(state, sorted(each.name for each in state.iterdir()), damages)
    server.contacts = {key: dict(each) for key, each in snapshot.beside["contacts"].items()}
    there = {each["last_name"] for each in server.contacts.values()}
    doubled = []

    def watch(endpoint, fields):
        if endpoint == "create_contact" and fields["last_name"] in there:
            doubled.append(fields["last_name"])

    server.fault = watch
    for run in (("1", 2) if is_retry else ("2", 1), ("3", 1)):
        manifest = sync(folder / "copy", *run)
        assert not doubled, done
        assert there <= {each["last_name"] for each in server.contacts.values()}, done
        if manifest:
            assert sum(manifest["counts"].values()) == manifest["rows"] >= len(ROWS)
        # What the first run made, the second one must not make again.
        there |= {each["last_name"] for each in server.contacts.values()}
    shutil.rmtree(folder)
