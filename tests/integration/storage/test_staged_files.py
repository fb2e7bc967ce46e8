"""Staged files on a real S3 server, through the real library."""

from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotStorageRefusedError
from airflow_provider_cytechbot.storage.locations import StorageLocation
from airflow_provider_cytechbot.storage.staged_files import whole_or_nothing

from ..object_store import BUCKET

s3fs = pytest.importorskip("s3fs", reason="the extra s3 is not installed")
pytest.importorskip("airflow.providers.amazon", reason="the extra s3 is not installed")

COMPLETING = ("complete_multipart_upload", "put_object")


@pytest.fixture
def store(running_store, monkeypatch):
    running_store.clear()
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", running_store.connection())
    return running_store


@pytest.fixture
def location(store):
    return StorageLocation.from_parameter("path", f"s3://aws_default@{BUCKET}/a.csv")


@pytest.mark.parametrize("content", [b"", b"rows", b"x" * 11_000_000], ids=["empty", "small", "large"])
def test_lost_answer_to_the_completing_request_is_a_success(store, location, monkeypatch, content):
    call = s3fs.S3FileSystem._call_s3

    async def send_again_after_a_lost_answer(self, method, *args, **kwargs):
        answer = await call(self, method, *args, **kwargs)
        return await call(self, method, *args, **kwargs) if method in COMPLETING else answer

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", send_again_after_a_lost_answer)
    with whole_or_nothing(location, overwrite=False) as file:
        file.write(content)
    assert store.read("a.csv") == content
    assert store.uploads() == []


@pytest.mark.parametrize("content", [b"", b"rows"], ids=["empty", "small"])
def test_object_of_another_process_is_left(store, location, content):
    def write_late():
        with whole_or_nothing(location, overwrite=False) as file:
            file.write(content)
            store.client().put_object(Bucket=BUCKET, Key="a.csv", Body=content)

    with pytest.raises(CyTechBotStorageRefusedError, match="something is there"):
        write_late()
    assert store.objects() == {"a.csv": len(content)}
