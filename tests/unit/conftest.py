"""What the unit tests of several packages share."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

from .stores import FakeAzure, FakeS3, Memory, store


class HookLineage:
    """What Airflow's own collector has recorded."""

    @property
    def inputs(self) -> list[str]:
        return self._uris("inputs")

    @property
    def outputs(self) -> list[str]:
        return self._uris("outputs")

    @staticmethod
    def _uris(kind: str) -> list[str]:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        return [each.asset.uri for each in getattr(get_hook_lineage_collector().collected_assets, kind)]


@pytest.fixture
def hook_lineage(monkeypatch):
    """Let Airflow collect, as it does in a task where some plugin reads hook lineage."""
    from airflow.providers.common.compat import sdk

    try:
        from airflow.sdk import lineage
    except ImportError:
        from airflow.lineage import hook as lineage
    collector = lineage.HookLineageCollector()
    for module in (lineage, sdk):  # ObjectStoragePath uses the one, providers the other
        monkeypatch.setattr(module, "get_hook_lineage_collector", lambda: collector, raising=False)
    monkeypatch.setattr(sdk, "get_current_context", dict, raising=False)
    return HookLineage()


class StoreFolder:
    """A folder on some store: what is in it, and its paths."""

    def __init__(self, base: str) -> None:
        self.base = base

    def path(self, name: str = "answers.jsonl") -> ObjectStoragePath:
        return ObjectStoragePath(f"{self.base}/{name}")

    def files(self) -> dict[str, bytes]:
        """Everything that is there, a hidden part too."""
        root = ObjectStoragePath(self.base)
        if root.protocol in ("s3", "abfs"):
            return {name.removeprefix("bucket/"): content for name, content in FakeS3.objects.items()}
        found = root.fs.find(root.path) if root.fs.exists(root.path) else []
        return {name.removeprefix(root.path.rstrip("/") + "/"): root.fs.cat_file(name) for name in found}


@pytest.fixture
def s3(monkeypatch):
    """Object stores under the protocols of the real ones."""
    stores = {"s3": FakeS3(), "abfs": FakeAzure()}
    cache = {scheme: store.ObjectStore(scheme, None, fs=fs) for scheme, fs in stores.items()}
    monkeypatch.setattr(store, "_STORE_CACHE", cache)
    for kept in (FakeS3.objects, FakeS3.uploads, FakeS3.metadata_of, FakeS3.failing, FakeS3.block_sizes):
        kept.clear()
    FakeS3.buckets.clear()
    FakeS3.buckets.add("bucket")
    return FakeS3


@pytest.fixture
def memory(monkeypatch):
    """A filesystem that has neither renames nor folders to speak of."""
    fs = Memory()
    monkeypatch.setitem(store._STORE_CACHE, "memory", store.ObjectStore("memory", None, fs=fs))
    return fs


@pytest.fixture(params=["file", "memory", "s3", "abfs"])
def folder(request, tmp_path):
    if request.param == "file":
        return StoreFolder(f"file://{tmp_path}")
    if request.param == "memory":
        request.getfixturevalue("memory")
        return StoreFolder("memory://bucket")
    request.getfixturevalue("s3")
    return StoreFolder(f"{request.param}://bucket")


@pytest.fixture
def connect(monkeypatch):
    """Define a connection in the environment and return a hook for it."""

    def connect(
        conn_id="cytechbot_default", *, host="https://cytechbot.com", password="1-the-api-key", **extra
    ):
        connection = {"conn_type": "cytechbot", "host": host, "password": password, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return CyTechBotHook(conn_id)

    return connect


@pytest.fixture
def waits(monkeypatch):
    """Replace all waits, and return their seconds."""
    seconds = []
    monkeypatch.setattr("time.sleep", lambda wait: seconds.append(wait) if wait else None)
    return seconds
