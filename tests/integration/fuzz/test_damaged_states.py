"""States that are damaged anywhere: an error of the provider's tree, or no contact is made twice."""

from __future__ import annotations

import json
import shutil
import threading
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.operators.contacts import CyTechBotSyncContactsOperator

from ..contact_sync.contact_server import ContactServer
from .corpus import fuzz

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
    task_instance = SimpleNamespace(
        dag_id="d",
        task_id="t",
        run_id=run_id,
        map_index=-1,
        try_number=try_number,
        max_tries=9,
        task=SimpleNamespace(retries=9),
        xcom_push=lambda key, value: pushed.update({key: value}),
    )
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
        return task.execute({"ti": task_instance})
    except CyTechBotError:
        return pushed.get("return_value")


class Snapshot:
    """A folder and the contacts of the server at one moment."""

    def __init__(self, server, folder, source):
        self.folder, self.contacts = folder, {key: dict(each) for key, each in server.contacts.items()}
        shutil.copytree(source, folder)
        self.names = sorted(each.name for each in (folder / "state").iterdir())


@pytest.fixture(scope="module")
def snapshots(server, tmp_path_factory):
    """What a run leaves that was killed among its creates, and what a run leaves that came to its end."""
    folder = tmp_path_factory.mktemp("before")
    taken = {}

    def take(endpoint, fields):
        if endpoint == "create_contact" and server.calls["create_contact"] == KILLED_AT:
            taken["killed"] = Snapshot(server, tmp_path_factory.mktemp("killed") / "copy", folder)

    server.fault = take
    sync(folder, "1")
    taken["finished"] = Snapshot(server, tmp_path_factory.mktemp("finished") / "copy", folder)
    assert len(taken["finished"].contacts) == len(ROWS) > len(taken["killed"].contacts) > 5
    return taken


DAMAGES = st.lists(
    st.tuples(
        st.integers(0, 100),
        st.sampled_from(["cut", "flip", "remove", "empty", "append", "swap"]),
        st.integers(0, 10_000),
        st.integers(1, 255),
    ),
    min_size=1,
    max_size=2,
)


def damage(folder, names, which, how, at, bits):
    """Damage one of the files of a folder."""
    path = folder / names[which % len(names)]
    content = path.read_bytes() if path.exists() else b""
    at %= max(1, len(content))
    match how:
        case "remove":
            path.unlink(missing_ok=True)
        case "swap":
            path.write_bytes((folder / names[at % len(names)]).read_bytes() if content else b"")
        case "flip":
            path.write_bytes(
                content[:at] + bytes(each ^ bits for each in content[at : at + 1]) + content[at + 1 :]
            )
        case _:
            path.write_bytes({"cut": content[:at], "empty": b"", "append": content + bytes([bits]) * 3}[how])


@fuzz(examples=60, longest=1_500)
@given(kind=st.sampled_from(["killed", "finished"]), damages=DAMAGES, is_retry=st.booleans())
@example(kind="killed", damages=[(32, "swap", 2, 1)], is_retry=True)
def test_a_damaged_state_never_doubles_a_contact(
    server, snapshots, tmp_path_factory, kind, damages, is_retry
):
    check_damaged(server, snapshots[kind], tmp_path_factory.mktemp("damaged"), damages, is_retry)


def test_no_lost_file_doubles_a_contact(server, snapshots, tmp_path):
    for kind, snapshot in snapshots.items():
        for number in range(len(snapshot.names)):
            for is_retry in (False, True):
                folder = tmp_path / f"{kind}-{number}-{is_retry}"
                check_damaged(server, snapshot, folder, [(number, "remove", 0, 1)], is_retry)


def check_damaged(server, snapshot, folder, damages, is_retry):
    """Damage a copy of a folder, run the sync there, and check that it makes no contact twice."""
    folder = folder / "copy"
    shutil.copytree(snapshot.folder, folder)
    done = []
    for each in damages:
        try:
            damage(folder / "state", snapshot.names, *each)
        except FileNotFoundError:
            continue
        done.append((snapshot.names[each[0] % len(snapshot.names)], *each[1:]))
    server.contacts = {key: dict(each) for key, each in snapshot.contacts.items()}
    there = {each["last_name"] for each in server.contacts.values()}
    doubled = []

    def watch(endpoint, fields):
        if endpoint == "create_contact" and fields["last_name"] in there:
            doubled.append(fields["last_name"])

    server.fault = watch
    manifest = sync(folder, "1" if is_retry else "2", try_number=1 + is_retry)
    assert not doubled, done
    assert there <= {each["last_name"] for each in server.contacts.values()}, done
    if manifest:
        assert sum(manifest["counts"].values()) == manifest["rows"] >= len(ROWS)
    shutil.rmtree(folder)
