"""Damaged journals beside reports: an error that names the file, or each user is renewed once."""

from __future__ import annotations

import json
import shutil
import threading
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotStorageRefusedError
from airflow_provider_cytechbot.bulk import runner
from airflow_provider_cytechbot.operators.users import CyTechBotUpdateUsersOperator
from tests.task_instance import task_instance

from ..kills.user_server import UserServer
from .corpus import fuzz, saved
from .damages import DAMAGES, Snapshot, damage

USERS = 24
#: The update at which the folder is as a killed run leaves it, or at which the run is stopped.
UPDATE = 12
DAYS = timedelta(days=30)


@pytest.fixture(scope="module")
def server():
    with UserServer(USERS) as server, pytest.MonkeyPatch.context() as patch:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        connection = {"conn_type": "cytechbot", "host": server.url, "password": "1-some-key"}
        patch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
        patch.setattr(runner, "_FIRST_WAIT", 0.01)
        server.delay = 0
        yield server
        server.shutdown()


def renew(folder, users, try_number, begun=lambda task: None):
    """Run a try, and return its manifest, if it came to one, and its error."""
    pushed = {}
    task = CyTechBotUpdateUsersOperator(
        task_id="t",
        rows=users,
        expired_date="+30 days",
        relative_to="validity",
        report_path=str(folder / "report.csv"),
        max_concurrency=3,
    )
    begun(task)
    try:
        return task.execute({"ti": task_instance(pushed, try_number=try_number)}), None
    except CyTechBotError as error:
        return pushed.get("return_value"), error


@pytest.fixture(scope="module")
def snapshots(server, tmp_path_factory):
    """What a run leaves that was killed among its updates, and what one leaves that was stopped there."""
    taken, tasks = {}, []
    before = dict(server.validity)
    for kind in ("killed", "stopped"):
        folder = tmp_path_factory.mktemp(kind)
        server.validity = dict(before)
        last = server.updates + UPDATE

        def keep(kind=kind, folder=folder):
            target = tmp_path_factory.mktemp("copy") / "copy"
            taken[kind] = Snapshot(folder, target, validity=dict(server.validity))

        def watch(kind=kind, last=last, keep=keep):
            if server.updates == last:
                keep() if kind == "killed" else tasks[-1].on_kill()

        server.on_update = watch
        renew(folder, list(before), 1, tasks.append)
        if kind == "stopped":
            keep()
    server.on_update = lambda: None
    for snapshot in taken.values():
        done = Counter(snapshot.beside["validity"][each] - day for each, day in before.items())
        assert set(done) == {timedelta(0), DAYS}
        assert done[DAYS] >= UPDATE / 2
    return before, taken


@fuzz(examples=30, longest=1_500)
@saved("journals")
@given(kind=st.sampled_from(["killed", "stopped"]), damages=DAMAGES)
def test_a_damaged_journal_renews_no_user_twice(server, snapshots, tmp_path_factory, kind, damages):
    check_damaged(server, snapshots, kind, tmp_path_factory.mktemp("damaged"), damages)


def test_no_lost_file_renews_a_user_twice(server, snapshots, tmp_path):
    for kind, snapshot in snapshots[1].items():
        for number, name in enumerate(names_of(snapshot.folder)):
            folder = tmp_path / f"{kind}-{name}"
            folder.mkdir()
            check_damaged(server, snapshots, kind, folder, [(number, "remove", 0, 1)])


def names_of(folder):
    return sorted(each.name for each in (folder / ".report.csv.journal").iterdir())


def check_damaged(server, snapshots, kind, folder, damages):
    """Damage a copy of a journal, try twice again, and check what the server has."""
    before, snapshot = snapshots[0], snapshots[1][kind]
    folder = snapshot.copy(folder / "copy")
    names = names_of(folder)
    done = damage(folder / ".report.csv.journal", names, damages)
    server.validity = dict(snapshot.beside["validity"])
    # Nothing shows that the file was there which a killed run wrote last.
    last = max(name for name in names if name.startswith("journal"))
    is_untraceable = (last, "remove") in done and (
        kind == "killed" or any("beat" in each[0] for each in done)
    )
    for try_number in (2, 3):
        manifest, error = renew(folder, list(before), try_number)
        if manifest:
            assert sum(manifest["counts"].values()) == manifest["rows"] == USERS
        if isinstance(error, CyTechBotStorageRefusedError):
            assert ".report.csv.journal" in str(error), error
        if not is_untraceable:
            by = {server.validity[each] - day for each, day in before.items()}
            assert by <= ({DAYS} if error is None else {timedelta(0), DAYS}), done
    shutil.rmtree(folder)
