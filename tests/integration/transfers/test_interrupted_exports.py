"""Exports that are killed, cut off or out of room: what is left is the old export or the whole new one."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError, CyTechBotTransportError
from airflow_provider_cytechbot.sandbox.server import SandboxServer
from airflow_provider_cytechbot.storage import scratch_file, staged_files
from airflow_provider_cytechbot.storage.scratch_file import check_room
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
)

from ...full_disk import files_of_at_most
from ..kills.targets import LocalTarget, S3Target
from ..object_store import BUCKET

pytest.importorskip("s3fs", reason="the extra s3 is not installed")
pytest.importorskip("airflow.providers.amazon", reason="the extra s3 is not installed")

ENDPOINT = "get_all_subscriber_flow_info"
SUBSCRIBERS = 12_000  # 6 MB, and as rows more than one part of an upload
SMALL = "1"
SMALL_ROWS = 24
LARGE = "100"
LARGE_ROWS = 5 * SUBSCRIBERS

# Imports once, then exports in a new process for each line, which may kill itself before a step.
EXPORTER = """
    import json, os, signal, sys, tempfile
    from datetime import datetime
    import requests, s3fs
    from airflow.providers.amazon.aws.fs import s3
    from airflow.providers.common.compat.sdk import io
    from airflow_provider_cytechbot.exports import changes, export
    from airflow_provider_cytechbot.storage.locations import StorageLocation
    from airflow_provider_cytechbot.storage.staged_files import StagedFile
    from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
        CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
    )

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def stepping(do):
        def step(*arguments):
            global steps
            steps += 1
            if steps == job.get("before_step"):
                kill()
            return do(*arguments)
        return step

    io.has_fs("s3")  # looks once for all filesystems there are
    with tempfile.TemporaryDirectory() as folder:  # and imports what an export imports only while it runs
        ExportOperator(task_id="export", flow_campaign_id="1", path=f"{folder}/a.jsonl").execute({})
    for line in sys.stdin:
        job, steps = json.loads(line), 0
        child = os.fork()
        if not child:
            for method in ("write", "finish", "commit"):
                setattr(StagedFile, method, stepping(getattr(StagedFile, method)))
            StorageLocation.remove = stepping(StorageLocation.remove)
            interval = datetime.fromisoformat(job["interval"])
            ExportOperator(task_id="export", **job["options"]).execute({"data_interval_end": interval})
            print("RESULT", json.dumps({"steps": steps}), flush=True)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status:
            print("RESULT", json.dumps({"killed" if os.WIFSIGNALED(status) else "failed": True}), flush=True)
"""


@pytest.fixture(scope="module")
def server():
    with SandboxServer(subscribers=SUBSCRIBERS) as server:
        yield server


@pytest.fixture(scope="module")
def connections(server, running_store):
    """Both connections, for this process and for those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", server.connection_json(max_retries=0))
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", running_store.connection())
        yield


@pytest.fixture
def sandbox(server, connections):
    server.reset()
    return server


@pytest.fixture
def store(running_store, connections):
    running_store.clear()
    return running_store


@pytest.fixture(scope="module")
def exporter(connections):
    """Export in another process, which may be killed, and return its outcome."""
    command = [sys.executable, "-c", textwrap.dedent(EXPORTER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def export(path, *, campaign=SMALL, interval="2026-11-22T00:00:00+00:00", kill=None, **options):
            options |= {"flow_campaign_id": campaign, "path": str(path)}
            process.stdin.write(json.dumps({"options": options, "interval": interval, **(kill or {})}) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                if line.startswith("RESULT"):
                    return json.loads(line.removeprefix("RESULT"))
            raise AssertionError("the exporter has failed")

        yield export
        process.stdin.close()


@pytest.fixture(params=["file", "s3"])
def target(request, tmp_path):
    """A folder in some storage, and how to look into it without the provider."""
    if request.param == "file":
        return LocalTarget(tmp_path / "out")
    return S3Target(request.getfixturevalue("store"))


def some_steps(steps, seed, most=1):
    """Return some of the steps of an export: a few anywhere, and the last ones, when it comes into sight."""
    anywhere = random.Random(seed).sample(range(1, steps - 2), min(most, steps - 3))
    return [*sorted(anywhere), steps - 2, steps - 1, steps]


def test_killed_before_any_step_leaves_the_old_file_or_the_new(target, exporter, sandbox):
    path = f"{target.uri}/a.jsonl"
    exporter(path)
    old = target.read("a.jsonl")
    steps = exporter(f"{target.uri}/other.jsonl", campaign=LARGE)["steps"]
    new_lines = target.read("other.jsonl").count(b"\n")
    assert new_lines == LARGE_ROWS
    for step in some_steps(steps, seed=target.uri):
        assert exporter(path, campaign=LARGE, kill={"before_step": step}) == {"killed": True}, step
        assert target.names() == ["a.jsonl", "other.jsonl"], step
        assert target.read("a.jsonl") == old, step
    exporter(path, campaign=LARGE)
    assert target.read("a.jsonl").count(b"\n") == LARGE_ROWS


def test_killed_among_parts_leaves_no_manifest_of_a_mixture(target, exporter, sandbox):
    """A reader that goes by the manifest sees the old parts, the new parts, or that there are none now."""
    path = f"{target.uri}/a.jsonl"

    def read():
        if "_a.jsonl.manifest.json" not in target.names():
            return None
        uris = json.loads(target.read("_a.jsonl.manifest.json"))["uris"]
        return [target.read(uri.rpartition("/")[2]) for uri in uris]

    steps = exporter(path, max_rows_per_file=10)["steps"]
    seen = set()
    for step in [1, *some_steps(steps, seed=target.uri)]:
        exporter(path, max_rows_per_file=5)
        old = read()
        assert len(old) == 5
        assert exporter(path, max_rows_per_file=10, kill={"before_step": step}) == {"killed": True}
        left = read()
        assert left in (None, old), step
        seen.add(left is None)
    assert seen == {True, False}
    exporter(path, max_rows_per_file=10)
    assert [part.count(b"\n") for part in read()] == [10, 10, 4]


def test_killed_in_mode_changes_leaves_a_state_from_which_a_rerun_gives_the_same(target, exporter, sandbox):
    def export(name, day, **kill):
        return exporter(
            f"{target.uri}/{name}.jsonl",
            interval=f"2026-11-{day}T00:00:00+00:00",
            export_mode="changes",
            state_path=f"{target.uri}/state",
            **kill,
        )

    export("first", 20)
    for answers in sandbox.state.campaigns[SMALL].answers.values():
        answers.update(dict.fromkeys(answers, "another"))
        break
    steps = export("second", 21)["steps"]
    wanted = without_time(target.read("second.jsonl"))
    assert {row["change"] for row in wanted} == {"changed"}
    for step in some_steps(steps, seed=target.uri):
        assert export("killed", 21, kill={"before_step": step}) == {"killed": True}, step
        export("again", 21)
        assert without_time(target.read("again.jsonl")) == wanted, step
    export("next", 22)
    assert target.read("next.jsonl") == b""


def without_time(content):
    return [{**json.loads(line), "extracted_at": None} for line in content.splitlines()]


def export_here(name, *, campaign=LARGE, **options):
    path = f"s3://aws_default@{BUCKET}/{name}"
    return ExportOperator(task_id="export", flow_campaign_id=campaign, path=path, **options).execute({})


@pytest.mark.parametrize("kind", ["truncate", "truncate_json", "truncate_chunked"])
@pytest.mark.parametrize("options", [{}, {"max_rows_per_file": 20_000}, {"layout": "wide"}], ids=str)
def test_answer_cut_off_anywhere_leaves_nothing_on_s3(store, sandbox, kind, options):
    chosen = random.Random(f"{kind} {options}")
    for name in ("a.jsonl", "a.csv.gz"):
        sandbox.fault(kind, ENDPOINT, size=chosen.randrange(1, 6_000_000))
        with pytest.raises(CyTechBotTransportError):
            export_here(name, **options)
        assert (store.objects(), store.uploads()) == ({}, [])


class CuttingServer(ThreadingHTTPServer):
    """Answers with a body in some encoding and framing, of which it may leave out the end."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), CuttingHandler)
        answers = [{"id": str(q), "question": f"Question {q}?", "answer": f"}}]}}, {q}"} for q in range(5)]
        data = {str(10**16 + each): answers for each in range(3_000)}
        self.plain = json.dumps({"id": "1", "flow_name": "F", "data": data}).encode()
        self.connection = json.dumps(
            {
                "conn_type": "cytechbot",
                "host": f"http://127.0.0.1:{self.server_port}",
                "password": "1-key",
                "extra": {"max_retries": 0},
            }
        )

    def serve(self, *, encoding="", framing="length", left=1.0):
        """Choose what the next answers are: `left` is how much of the body is sent, the rest never is."""
        self.encoding, self.framing = encoding, framing
        self.body = gzip.compress(self.plain, 1) if encoding else self.plain
        self.sent = self.body[: int(len(self.body) * left)]


class CuttingHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        self.send_response(200)
        if server.encoding:
            self.send_header("Content-Encoding", server.encoding)
        if server.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif server.framing == "length":
            self.send_header("Content-Length", str(len(server.body)))
        elif server.framing == "wrong length":  # so that only the content shows that it is cut
            self.send_header("Content-Length", str(len(server.sent)))
        self.end_headers()
        self.close_connection = True
        if server.framing != "chunked":
            self.wfile.write(server.sent)
            return
        for at in range(0, len(server.sent), 10_000):
            chunk = server.sent[at : at + 10_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if len(server.sent) == len(server.body):
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        """Log nothing."""


@pytest.fixture(scope="module")
def cutting():
    with CuttingServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("framing", ["length", "wrong length", "chunked", "none"])
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_body_cut_off_anywhere_by_any_server_leaves_nothing(
    store, cutting, monkeypatch, tmp_path, framing, encoding
):
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", cutting.connection)
    chosen = random.Random(f"{framing} {encoding}")
    for left in (0, *(chosen.random() for _ in range(4)), 1 - 1e-9):
        cutting.serve(encoding=encoding, framing=framing, left=left)
        with pytest.raises(Exception, match=ENDPOINT) as caught:
            export_here(chosen.choice(["a.jsonl", "a.csv", "a.parquet", "a.json"]), campaign="1")
        assert not isinstance(caught.value, AirflowFailException), left
        assert (store.objects(), store.uploads()) == ({}, []), left
    cutting.serve(encoding=encoding, framing=framing)
    assert export_here("a.csv", campaign="1")["rows"] == 15_000


@pytest.mark.parametrize("options", [{}, {"max_rows_per_file": 10_000}], ids=str)
def test_full_disk_leaves_the_old_file(sandbox, tmp_path, options):
    (tmp_path / "a.csv").write_text("old")
    path = str(tmp_path / "a.csv")
    with (
        pytest.raises(CyTechBotStorageError, match=r"'path', .*no room left") as caught,
        files_of_at_most(2**20),
    ):
        ExportOperator(task_id="export", flow_campaign_id=LARGE, path=path, **options).execute({})
    assert caught.value.retryable
    assert [each.name for each in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "old"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layout": "wide"},
        {"subscriber_fields": ["email"]},
        {"export_mode": "changes", "state_path": "state"},
    ],
    ids=str,
)
def test_disk_that_is_full_already_costs_the_server_nothing(sandbox, tmp_path, monkeypatch, options):
    def checked_on_a_full_disk(file):  # not all of the task: that could write no log either
        with files_of_at_most(0):
            check_room(file)

    monkeypatch.setattr(staged_files, "check_room", checked_on_a_full_disk)
    monkeypatch.setattr(scratch_file, "check_room", checked_on_a_full_disk)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CyTechBotStorageError, match="no room left"):
        ExportOperator(task_id="export", flow_campaign_id=SMALL, path="out/a.csv", **options).execute({})
    assert sandbox.requests(ENDPOINT) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"layout": "wide"},
        {"subscriber_fields": ["email"]},
        {"export_mode": "changes", "state_path": f"s3://aws_default@{BUCKET}/state"},
    ],
    ids=["wide", "profiles", "changes"],
)
def test_full_disk_of_the_worker_leaves_nothing_on_s3(store, sandbox, options):
    with pytest.raises(CyTechBotStorageError, match=r"TMPDIR.*no room left"), files_of_at_most(2**20):
        export_here("a.csv", **options)
    assert (store.objects(), store.uploads()) == ({}, [])
