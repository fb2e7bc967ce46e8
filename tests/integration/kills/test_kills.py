"""Tasks that are killed at any point and tried again: nothing is doubled, lost or half there."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import pytest

from airflow_provider_cytechbot.sandbox.server import SandboxServer

from ..contact_sync.contact_server import ContactServer
from .interruptions import IS_LONG, KILLS, ROUNDS, Interruptions
from .label_server import LabelServer
from .targets import LocalTarget, S3Target
from .user_server import UserServer

ROWS = 120
CONCURRENCY = 4
#: Rows of a write that may be repeated: a run that forgot its earlier tries would repeat more than allowed.
REPEATABLE_ROWS = 300


@pytest.fixture
def interruptions(request):
    found = Interruptions(request.node.name)
    yield found
    # Tries that were over would not try anything. Once a create is done, its later tries are short. The one
    # round of the short form can miss all of its tries by chance, on a machine that stalls.
    assert found.hits >= found.tries / 6 or not IS_LONG


@contextmanager
def serving(server, monkeypatch):
    with server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        connection = {"conn_type": "cytechbot", "host": server.url, "password": "1-some-key"}
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
        yield server
        server.shutdown()


def outcomes_of(path):
    """Return the outcome of each key of a report, in which each key has one line."""
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    outcomes = {line["key"]: line["outcome"] for line in lines}
    assert len(outcomes) == len(lines)
    return outcomes


def repeats_after(kills):
    """
    Return how many calls may be sent again after this many kills among all interruptions.

    A kill loses what became of calls under way, and the outcomes of the last quarter second or 50 rows. Any
    other interruption cuts off calls under way at most.
    """
    return kills * (50 + 2 * CONCURRENCY) + (KILLS - kills) * 2 * CONCURRENCY


def killed_often(worker, interruptions, operator, fields, sent, total):
    """Interrupt a bulk write in several tries; return the kills, and what the last try left."""
    kills = 0
    for number in range(1, KILLS + 1):
        goal = sent() + interruptions.chance.randrange(total // KILLS)
        attempt = worker.begin(operator, number, fields)
        how, found = interruptions.interrupt(attempt, lambda goal=goal: sent() > goal)
        kills += not found
        if manifest := found.get("manifest"):
            assert sum(manifest["counts"].values()) == manifest["rows"], how
    found = worker.run(operator, KILLS + 1, fields)
    counts = found["manifest"]["counts"]
    assert sum(counts.values()) == found["manifest"]["rows"]
    assert counts["failed"] == counts["not_attempted"] == counts["refused"] == counts["invalid"] == 0
    return kills, found


def places(folder, interruptions, *choices):
    """Return the parameters of a state, a report or both, by chance."""
    paths = {"state_path": str(folder / "state"), "report_path": str(folder / "report.csv")}
    return {name: paths[name] for name in interruptions.chance.choice(choices)}


STATE, REPORT, BOTH = ("state_path",), ("report_path",), ("state_path", "report_path")


def test_a_label_is_assigned_to_each_row(worker, interruptions, monkeypatch, tmp_path):
    for number in range(ROUNDS):
        with serving(LabelServer(), monkeypatch) as server:
            server.delay = 0.004
            keys = [str(each) for each in range(1, REPEATABLE_ROWS + 1)]
            fields = {"page_id": "9", "label_ids": "5", "rows": keys, "max_concurrency": CONCURRENCY}
            fields |= places(tmp_path / str(number), interruptions, STATE, REPORT, BOTH)
            kills, found = killed_often(
                worker, interruptions, "assign", fields, server.received.total, len(keys)
            )
            counts = found["manifest"]["counts"]
            assert counts["succeeded"] + counts["unchanged"] == len(keys)
            assert set(server.received) == set(keys)
            assert server.received.total() - len(keys) <= repeats_after(kills)


def test_a_create_is_never_sent_twice(worker, interruptions, monkeypatch, tmp_path):
    for number in range(ROUNDS):
        with serving(LabelServer(), monkeypatch) as server:
            server.delay = 0.004
            keys = [str(each) for each in range(1, ROWS + 1)]
            fields = {"rows": [{"name": each} for each in keys], "max_concurrency": CONCURRENCY}
            fields |= places(tmp_path / str(number), interruptions, REPORT, BOTH)
            killed_often(worker, interruptions, "create", fields, server.received.total, ROWS)
            assert set(server.received.values()) == {1}
            found = outcomes_of(tmp_path / str(number) / "report.csv")
            assert set(found) == set(keys)
            done = {key for key, outcome in found.items() if outcome == "succeeded"}
            assert {found[key] for key in set(keys) - done} <= {"ambiguous"}
            assert done <= set(server.received)
            assert ROWS - len(done) <= KILLS * 2 * CONCURRENCY


def test_each_user_is_renewed_once(worker, interruptions, monkeypatch, tmp_path):
    for number in range(ROUNDS):
        with serving(UserServer(), monkeypatch) as server:
            before = dict(server.validity)
            fields = {"rows": list(before), "expired_date": "+30 days", "relative_to": "validity"}
            fields |= places(tmp_path / str(number), interruptions, STATE, REPORT)
            fields["max_concurrency"] = CONCURRENCY
            _, found = killed_often(
                worker, interruptions, "update", fields, lambda server=server: server.updates, len(before)
            )
            counts = found["manifest"]["counts"]
            assert counts["succeeded"] + counts["unchanged"] == len(before)
            assert {user_id: {*dates} for user_id, dates in server.dates.items()} == {
                user_id: {(day + timedelta(days=30)).isoformat()} for user_id, day in before.items()
            }


def person(number, first_name="Ann"):
    """Return a row of the sync. The server's contacts are distinguished by their last names."""
    key = f"k{number}"
    return {"id": key, "email": f"{key}@example.com", "first_name": first_name, "last_name": key}


def test_a_sync_makes_each_contact_once(worker, interruptions, monkeypatch, tmp_path):
    for number in range(ROUNDS):
        with serving(ContactServer(), monkeypatch) as server:
            folder = tmp_path / str(number)
            fields = {
                "key": "id",
                "contact_type_id": "5",
                "state_path": str(folder / "state"),
                "report_path": str(folder / "report.csv"),
                "sync_mode": "mirror",
                "max_delete_percent": 100,
                "max_concurrency": CONCURRENCY,
            }
            first = worker.run("sync", 1, {**fields, "rows": [person(each) for each in range(240)]}, run="0")
            assert first["manifest"]["counts"]["succeeded"] == 240
            server.delay = 0.006
            # 80 contacts are deleted, 80 updated, 80 left alone, and 160 created.
            table = [person(each, "Zoe" if each < 160 else "Ann") for each in range(80, 400)]
            before, calls = server.writes, 320
            kills, _ = killed_often(
                worker,
                interruptions,
                "sync",
                {**fields, "rows": table},
                lambda server=server: server.writes,
                calls,
            )
            found = outcomes_of(folder / "report.csv")
            by_key = Counter(contact["last_name"] for contact in server.contacts.values())
            assert set(by_key.values()) == {1}
            names = {contact["last_name"]: contact["first_name"] for contact in server.contacts.values()}
            for row in table:
                if found[row["id"]] != "ambiguous":
                    assert names[row["id"]] == row["first_name"], row
            held = {key for key, outcome in found.items() if outcome == "ambiguous"}
            assert held <= {f"k{each}" for each in range(240, 400)}
            assert len(held) <= KILLS * 2 * CONCURRENCY
            assert set(names) <= {row["id"] for row in table}
            assert server.writes - before <= calls + repeats_after(kills)


SUBSCRIBERS = 12_000  # 6 MB, and as rows more than one part of an upload
SMALL, SMALL_ROWS = "1", 24
LARGE, LARGE_ROWS = "100", 5 * SUBSCRIBERS


@pytest.fixture(scope="module")
def large_sandbox():
    with SandboxServer(subscribers=SUBSCRIBERS) as server:
        yield server


@pytest.fixture
def sandbox(large_sandbox, monkeypatch):
    large_sandbox.reset()
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", large_sandbox.connection_json(max_retries=0))
    return large_sandbox


@pytest.fixture
def target(request, tmp_path, monkeypatch):
    """A folder in some storage, and how to look into it without the provider."""
    if request.param == "file":
        return LocalTarget(tmp_path / "out")
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    pytest.importorskip("airflow.providers.amazon", reason="the extra s3 is not installed")
    store = request.getfixturevalue("running_store")
    store.clear()
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", store.connection())
    return S3Target(store)


class Exports:
    """Exports to one path in processes that are interrupted."""

    def __init__(self, worker, interruptions, target, **options):
        self._worker, self._interruptions = worker, interruptions
        self._target, self._options = target, options
        self.seconds = 1.0

    def run(self, name, campaign, day=20):
        """Export, undisturbed."""
        began = time.monotonic()
        found = self._begin(name, campaign, day).wait()
        self.seconds = time.monotonic() - began
        assert "error" not in found, found

    def interrupt(self, name, campaign, day=20, is_reached=None):
        """Interrupt an export at a moment, or where it is reached, and return whether it was killed."""
        moment = time.monotonic() + self._interruptions.chance.uniform(0, self.seconds)
        of_killed = sorted(self._target.leftovers())  # which cannot clean up
        attempt = self._begin(name, campaign, day)
        how, found = self._interruptions.interrupt(
            attempt, is_reached or (lambda: time.monotonic() >= moment)
        )
        assert found.get("error") in (None, "KeyboardInterrupt", "AirflowTaskTimeout"), found
        if found:  # whatever interrupted it, it cleaned up after itself
            assert sorted(self._target.leftovers()) == of_killed, how
        return not found

    def _begin(self, name, campaign, day):
        fields = {"flow_campaign_id": campaign, "path": f"{self._target.uri}/{name}", **self._options}
        raises = self._interruptions.chance.random() < 0.5
        interval = f"2026-11-{day:02}T00:00:00+00:00"
        return self._worker.begin("export", None, fields, interval=interval, raises=raises)


def in_short_form(*cases):
    """Return all cases for the long form, and those that are marked for the short one."""
    return [case[:-1] for case in cases if IS_LONG or case[-1]]


@pytest.mark.parametrize(
    ("target", "name"),
    in_short_form(("file", "a.jsonl", False), ("s3", "a.jsonl", True), ("file", "a.parquet", True)),
    indirect=["target"],
)
def test_an_export_is_the_old_file_or_the_new(worker, interruptions, sandbox, target, name):
    exports = Exports(worker, interruptions, target)
    exports.run(name, LARGE)
    for _ in range(ROUNDS * KILLS):
        exports.run(name, SMALL)
        exports.interrupt(name, LARGE)
        assert target.names() == [name]
        assert rows_of(target.read(name), name) in (SMALL_ROWS, LARGE_ROWS)
    exports.run(name, LARGE)
    assert rows_of(target.read(name), name) == LARGE_ROWS


def rows_of(content, name):
    """Return the number of rows of a file that is whole."""
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq

        return pq.read_table(io.BytesIO(content)).num_rows
    return len([json.loads(line) for line in content.splitlines()])


@pytest.mark.parametrize(
    "target", [each for (each,) in in_short_form(("file", False), ("s3", True))], indirect=True
)
def test_a_manifest_lists_no_mixture_of_two_exports(worker, interruptions, sandbox, target):
    exports = Exports(worker, interruptions, target, max_rows_per_file=20_000)
    exports.run("a.jsonl", LARGE)
    for number in range(ROUNDS * KILLS):
        exports.run("a.jsonl", SMALL)
        # Two of three are interrupted while their parts appear, which takes a few milliseconds.
        is_reached = (lambda: "a-00002.jsonl" in target.names()) if number % 3 else None
        exports.interrupt("a.jsonl", LARGE, is_reached=is_reached)
        if "_a.jsonl.manifest.json" in target.names():
            uris = json.loads(target.read("_a.jsonl.manifest.json"))["uris"]
            rows = [rows_of(target.read(uri.rpartition("/")[2]), uri) for uri in uris]
            assert rows in ([SMALL_ROWS], [20_000] * 3)
    exports.run("a.jsonl", LARGE)
    uris = json.loads(target.read("_a.jsonl.manifest.json"))["uris"]
    assert [rows_of(target.read(uri.rpartition("/")[2]), uri) for uri in uris] == [20_000] * 3


@pytest.mark.parametrize(
    "target", [each for (each,) in in_short_form(("file", True), ("s3", False))], indirect=True
)
def test_an_export_of_changes_gives_the_same_after_kills(worker, interruptions, sandbox, target):
    options = {"export_mode": "changes", "state_path": f"{target.uri}/state"}
    exports = Exports(worker, interruptions, target, **options)
    exports.run("a.jsonl", SMALL, day=9)
    for day in range(10, 10 + ROUNDS):
        answers = sandbox.state.campaigns[SMALL].answers
        changed = interruptions.chance.sample(sorted(answers), 3)
        for subscriber_id in changed:
            answers[subscriber_id].update(dict.fromkeys(answers[subscriber_id], f"another of day {day}"))
        for _ in range(KILLS):
            exports.interrupt("a.jsonl", SMALL, day)
        exports.run("a.jsonl", SMALL, day)
        rows = [json.loads(line) for line in target.read("a.jsonl").splitlines()]
        assert {(row["subscriber_id"], row["change"]) for row in rows} == {
            (subscriber_id, "changed") for subscriber_id in changed
        }
        assert {row["answer"] for row in rows} == {f"another of day {day}"}


@pytest.mark.parametrize(
    "target", [each for (each,) in in_short_form(("file", True), ("s3", False))], indirect=True
)
def test_a_history_has_each_run_once_after_kills(worker, interruptions, sandbox, target):
    fields = {
        "flow_campaign_id": LARGE,
        "path": f"{target.uri}/report.html",
        "history_path": f"{target.uri}/history.jsonl",
    }

    def history():
        if "history.jsonl" not in target.names():
            return []
        return [json.loads(line)["run"].split()[-1] for line in target.read("history.jsonl").splitlines()]

    def is_whole():
        return target.read("report.html").rstrip().endswith(b"</html>")

    began = time.monotonic()
    worker.run("report", 1, fields, run="run-0")
    seconds = time.monotonic() - began
    for number in range(1, ROUNDS + 1):
        before = [f"run-{each}" for each in range(number)]
        run = f"run-{number}"
        for attempt_number in range(1, KILLS + 1):
            # Every second try is interrupted near its end, where both files appear.
            least = 0.8 * seconds if attempt_number % 2 else 0
            moment = time.monotonic() + interruptions.chance.uniform(least, seconds)
            attempt = worker.begin("report", attempt_number, fields, run=run)
            how, _ = interruptions.interrupt(attempt, lambda at=moment: time.monotonic() >= at)
            assert history() in (before, [*before, run]), how
            assert is_whole(), how
        found = worker.run("report", KILLS + 1, fields, run=run)
        assert found["manifest"]["answered"] == SUBSCRIBERS
        assert (found["manifest"]["change"]["answered"], found["manifest"]["change"]["completed"]) == (0, 0)
        assert history() == [*before, run]
        assert is_whole()


#: By operator: its parameters, its endpoint, and the fields that differ from round to round.
CREATES = {
    "contact": ({"contact_type_id": "1"}, "create_contact", ("contact_email",)),
    "contact_group": ({}, "create_contact_group", ("name",)),
    "label": ({"page_id": "104857600000001"}, "create_label", ("label_name",)),
    "user": (
        {"name": "Kim", "password": "pass w/ord", "package_id": "1", "expired_date": "2030-01-01"},
        "create_system_user",
        ("user_email",),
    ),
}
CAN_LOOK = {"label", "user"}


@pytest.mark.parametrize("kind", CREATES)
def test_a_create_happens_once_or_its_error_shows_it(worker, interruptions, monkeypatch, tmp_path, kind):
    fixed, endpoint, varied = CREATES[kind]
    with SandboxServer() as server:
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", server.connection_json(max_retries=0))
        for number in range(ROUNDS):
            server.reset()
            server.fault("delay", endpoint, seconds=0.15, times=-1)
            fields = fixed | dict.fromkeys(varied, f"Kim-{number}@example.com")
            store = str(tmp_path / f"store-{number}.json")
            results = []
            for attempt_number in range(1, KILLS + 1):
                received = server.journal.received(endpoint)
                attempt = worker.begin(kind, attempt_number, fields, store=store)
                moment = time.monotonic() + interruptions.chance.uniform(0, 0.25)
                # Every second try is interrupted before the response to its create.
                is_reached = (
                    (lambda before=received: server.journal.received(endpoint) > before)
                    if attempt_number % 2
                    else (lambda at=moment: time.monotonic() > at)
                )
                results.append(interruptions.interrupt(attempt, is_reached)[1])
            results.append(worker.run(kind, KILLS + 1, fields, store=store))
            assert server.journal.took_effect(endpoint) <= 1
            ids = {found["manifest"] for found in results if found and "error" not in found}
            assert len(ids) <= 1
            if not ids:
                assert results[-1]["error"] == "CyTechBotAmbiguousWriteError"
                assert kind not in CAN_LOOK
            else:
                assert server.journal.took_effect(endpoint) == 1
