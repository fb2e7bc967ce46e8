"""Exports to a real S3 server, read back by readers that did not write them."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import duckdb
import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.api.errors import (
    CyTechBotStorageError,
    CyTechBotStorageRefusedError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.exports.files import ExportFiles
from airflow_provider_cytechbot.sandbox.server import SandboxServer
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
)

from ..object_store import BUCKET, READER_KEY, READER_SECRET

pytest.importorskip("s3fs", reason="the extra s3 is not installed")
pytest.importorskip("airflow.providers.amazon", reason="the extra s3 is not installed")

ENDPOINT = "get_all_subscriber_flow_info"
SUBSCRIBERS = 40_000  # 20 MB, more than one part of an upload
ROWS = 5 * SUBSCRIBERS

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture(scope="module")
def server():
    with SandboxServer(subscribers=SUBSCRIBERS) as server:
        yield server


@pytest.fixture(autouse=True)
def store(running_store, monkeypatch):
    running_store.clear()
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", running_store.connection())
    monkeypatch.setenv("AIRFLOW_CONN_AWS_READER", running_store.connection(READER_KEY, READER_SECRET))
    monkeypatch.setenv("AIRFLOW_CONN_AWS_WRONG", running_store.connection("who", "no-such-secret-key"))
    return running_store


def export(key, *, campaign="100", connection="aws_default", bucket=BUCKET, **options):
    path = f"s3://{connection}@{bucket}/{key}"
    return ExportOperator(task_id="export", flow_campaign_id=campaign, path=path, **options).execute({})


def test_parquet_is_read_by_duckdb_and_pyarrow(store, tmp_path):
    manifest = export("day=1/a.parquet")
    content = store.read("day=1/a.parquet")
    assert manifest["bytes"] == len(content)
    assert pq.read_metadata(io.BytesIO(content)).num_rows == manifest["rows"] == ROWS
    (tmp_path / "a.parquet").write_bytes(content)
    found = duckdb.sql(
        f"SELECT count(*), count(DISTINCT subscriber_id), min(subscriber_id) FROM '{tmp_path}/a.parquet'"
    ).fetchall()
    assert found == [(ROWS, SUBSCRIBERS, "24994546734000000")]


def test_large_file_comes_in_parts_and_is_whole(store, tmp_path):
    export("a.jsonl")
    content = store.read("a.jsonl")
    assert len(content) > 40_000_000
    (tmp_path / "a.jsonl").write_bytes(content)
    assert duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/a.jsonl'").fetchall() == [(ROWS,)]
    assert store.uploads() == []


def test_empty_export(store, sandbox):
    sandbox.fault("body", ENDPOINT, body='{"id":null,"flow_name":null,"data":[]}')
    assert export("a.jsonl", campaign="1")["rows"] == 0
    assert store.objects() == {"a.jsonl": 0}


@pytest.mark.parametrize("kind", ["truncate", "truncate_json", "truncate_chunked"])
@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl.gz", "a.json"])
def test_answer_that_ends_early_leaves_nothing(store, sandbox, kind, name):
    sandbox.fault(kind, ENDPOINT, size=15_000_000)
    with pytest.raises(CyTechBotTransportError):
        export(name)
    assert (store.objects(), store.uploads()) == ({}, [])


@pytest.mark.parametrize("field", ["path", "state_path"])
@pytest.mark.parametrize(
    ("connection", "bucket", "reason"),
    [
        ("aws_wrong", BUCKET, "'aws_wrong': its keys"),
        ("aws_reader", BUCKET, "'aws_reader': its keys"),
        ("aws_default", "no-such-bucket", "make the bucket"),
        ("aws_default", "No_Bucket!", "Invalid bucket name"),
        ("aws_unknown", BUCKET, "'aws_unknown', which does not exist in Airflow"),
    ],
)
def test_a_location_that_cannot_be_written_fails_before_the_api_is_called(
    store, sandbox, tmp_path, field, connection, bucket, reason
):
    places = {"path": str(tmp_path / "a.csv"), "state_path": str(tmp_path / "state")}
    places[field] = f"s3://{connection}@{bucket}/a.csv"
    operator = ExportOperator(task_id="export", flow_campaign_id="1", export_mode="changes", **places)
    with pytest.raises(AirflowFailException, match=rf"^Field '{field}', .*{reason}") as caught:
        operator.execute({})
    assert isinstance(caught.value, CyTechBotStorageRefusedError)
    assert "no-such-secret-key" not in str(caught.value)
    assert caught.value.__context__ is None
    assert sandbox.requests() == []
    assert (store.objects(), store.uploads(), list(tmp_path.iterdir())) == ({}, [], [])
    assert store.buckets() == [BUCKET]


def test_store_that_is_not_there_may_be_the_next_time(store, sandbox, monkeypatch):
    connection = json.loads(store.connection())
    connection["extra"]["endpoint_url"] = "http://127.0.0.1:1"
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DOWN", json.dumps(connection))
    with pytest.raises(CyTechBotStorageError, match=r"'path', .*Could not connect") as caught:
        export("a.csv", connection="aws_down")
    assert not isinstance(caught.value, AirflowFailException)
    assert sandbox.requests() == []


def test_parts_and_their_manifest(store):
    manifest = export("day=1/a.jsonl.gz", max_rows_per_file=90_000)
    names = [f"day=1/a-0000{number}.jsonl.gz" for number in (1, 2, 3)]
    assert manifest["uris"] == [f"s3://aws_default@{BUCKET}/{name}" for name in names]
    assert json.loads(store.read("day=1/_a.jsonl.gz.manifest.json")) == manifest
    lines = [gzip.decompress(store.read(name)).count(b"\n") for name in names]
    assert lines == [90_000, 90_000, 20_000]
    assert sorted(store.objects()) == ["day=1/_a.jsonl.gz.manifest.json", *names]


def test_fewer_parts_than_before(store):
    export("a.csv", max_rows_per_file=60_000)
    assert len(store.objects()) == 5
    export("a.csv", max_rows_per_file=150_000)
    assert sorted(store.objects()) == ["_a.csv.manifest.json", "a-00001.csv", "a-00002.csv"]


def test_parts_of_an_answer_that_ends_early_leave_the_old_ones(store, sandbox):
    export("a.csv", max_rows_per_file=60_000)
    before = store.objects()
    sandbox.fault("truncate", ENDPOINT, size=15_000_000)
    with pytest.raises(CyTechBotTransportError):
        export("a.csv", max_rows_per_file=60_000)
    assert (store.objects(), store.uploads()) == (before, [])


def test_overwrite_false_finds_an_existing_file_before_the_api_is_called(store, sandbox):
    store.client().put_object(Bucket=BUCKET, Key="a.csv", Body=b"old")
    with pytest.raises(CyTechBotStorageRefusedError, match="is there already"):
        export("a.csv", overwrite=False)
    assert store.read("a.csv") == b"old"
    assert sandbox.requests(ENDPOINT) == []


@pytest.fixture
def let_appear_meanwhile(store, monkeypatch):
    """Return a function that has an object of another appear when all is sent and nothing shows yet."""
    finish = ExportFiles.finish

    def let_appear(name):
        def finish_late(files):
            finish(files)
            store.client().put_object(Bucket=BUCKET, Key=name, Body=b"of another")

        monkeypatch.setattr(ExportFiles, "finish", finish_late)

    return let_appear


@pytest.mark.parametrize("name", ["a.csv", "empty.jsonl"])
def test_an_object_that_appeared_meanwhile_is_not_overwritten(store, sandbox, let_appear_meanwhile, name):
    if name == "empty.jsonl":
        sandbox.fault("body", ENDPOINT, body='{"id":"100","flow_name":"F","data":[]}')
    let_appear_meanwhile(name)
    with pytest.raises(CyTechBotStorageRefusedError, match="something is there"):
        export(name, overwrite=False)
    assert store.read(name) == b"of another"
    assert store.uploads() == []


@pytest.mark.parametrize("name", ["a-00002.csv", "_a.csv.manifest.json"])
def test_parts_leave_what_appeared_meanwhile_and_none_of_themselves(store, let_appear_meanwhile, name):
    let_appear_meanwhile(name)
    with pytest.raises(CyTechBotStorageRefusedError, match="is there"):
        export("a.csv", overwrite=False, max_rows_per_file=90_000)
    assert list(store.objects()) == [name]
    assert store.read(name) == b"of another"
    assert store.uploads() == []


def test_killed_in_the_middle_leaves_no_object(store, sandbox):
    store.client().put_object(Bucket=BUCKET, Key="a.jsonl", Body=b"old")
    sandbox.fault("trickle", ENDPOINT, size=1_000_000, seconds=0.2)
    code = f"""
        from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
            CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
        )
        ExportOperator(task_id="e", flow_campaign_id="100", path="s3://aws_default@{BUCKET}/a.jsonl").execute({{}})
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=os.environ)
    deadline = time.monotonic() + 60
    while not (sandbox.requests(ENDPOINT) and store.uploads()) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert store.objects() == {"a.jsonl": 3}
    sandbox.clear_faults()
    assert export("a.jsonl")["rows"] == ROWS


def test_changes_keep_their_state_on_s3(store):
    options = {"export_mode": "changes", "state_path": f"s3://aws_default@{BUCKET}/state"}
    assert export("first.jsonl", campaign="1", **options)["rows"] == 24
    assert export("second.jsonl", campaign="1", **options)["rows"] == 0
    assert len([key for key in store.objects() if key.startswith("state/_flow_campaign_1/")]) == 2


@pytest.mark.parametrize(
    ("name", "content_type", "encoding"),
    [
        ("a.csv", "text/csv; charset=utf-8", None),
        ("a.csv.gz", "text/csv; charset=utf-8", "gzip"),
        ("a.jsonl", "application/jsonl", None),
    ],
)
@pytest.mark.parametrize("campaign", ["1", "2"])
def test_objects_have_their_type_and_the_options_of_the_store(store, name, content_type, encoding, campaign):
    options = {"Metadata": {"owner": "marketing"}, "ACL": "private"}
    manifest = export(name, campaign=campaign, storage_options=options)
    found = store.client().head_object(Bucket=BUCKET, Key=name)
    assert (found["ContentType"], found.get("ContentEncoding")) == (content_type, encoding)
    assert found["Metadata"]["owner"] == "marketing"
    assert found["ContentLength"] == manifest["bytes"]  # it is stored as it was written
    assert manifest["urls"] == [f"s3://{BUCKET}/{name}"]


def test_options_that_s3_does_not_have_leave_nothing(store, sandbox):
    with pytest.raises(CyTechBotStorageRefusedError, match=r"storage_options has .*: Encryption"):
        export("a.csv", storage_options={"Encryption": "yes"})
    assert (sandbox.requests(ENDPOINT), store.objects(), store.uploads()) == ([], {}, [])
