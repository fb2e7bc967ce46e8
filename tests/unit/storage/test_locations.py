from __future__ import annotations

import sys

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotStorageRefusedError
from airflow_provider_cytechbot.storage import locations
from airflow_provider_cytechbot.storage.locations import StorageLocation

from ..stores import store


@pytest.mark.parametrize("scheme", ["gs", "abfs", "adl"])
def test_filesystem_that_is_not_installed(monkeypatch, scheme):
    monkeypatch.setattr(locations, "_has_filesystem", lambda _: False)
    extra = {"gs": "gcs"}.get(scheme, "azure")
    with pytest.raises(CyTechBotStorageRefusedError, match=rf"^Field 'path', {scheme}://.*\[{extra}\]"):
        StorageLocation.from_parameter("path", f"{scheme}://bucket/a.csv")


def test_library_of_the_filesystem_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(store, "_STORE_CACHE", {})
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(CyTechBotStorageRefusedError, match=r"airflow-provider-cytechbot\[s3\]"):
        StorageLocation.from_parameter("path", "s3://other-bucket/a.csv")


@pytest.mark.parametrize("path", ["nowhere://bucket/a.csv", "http://127.0.0.1:1/a.csv"])
def test_scheme_that_nothing_opens(path):
    with pytest.raises(CyTechBotStorageRefusedError, match=r"not installed.*Known are file, s3"):
        StorageLocation.from_parameter("path", path)


def test_unknown_connection():
    with pytest.raises(CyTechBotStorageRefusedError, match="'no_such', which Airflow does not know"):
        StorageLocation.from_parameter("state_path", "file://no_such@/tmp/state")


def test_password_in_a_path_is_not_told():
    with pytest.raises(CyTechBotStorageRefusedError) as caught:
        StorageLocation.from_parameter("path", "ftp://me:hunter2@host/a.csv")
    assert "hunter2" not in str(caught.value)
    assert "ftp://me:***@host/a.csv" in str(caught.value)


@pytest.mark.parametrize("path", ["s3:/bucket/a.csv", "file:/tmp/a.csv"])
def test_half_a_scheme_is_no_folder(path):
    with pytest.raises(CyTechBotStorageRefusedError, match="two slashes"):
        StorageLocation.from_parameter("path", path)


@pytest.mark.parametrize("name", ["a.csv", "a/b.csv", "12:30/a.csv"])
def test_relative_path_is_the_same_to_a_task_in_another_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert str(StorageLocation.from_parameter("path", name).path) == str(tmp_path / name)


def test_names_in_a_folder(tmp_path):
    place = StorageLocation.from_parameter("state_path", str(tmp_path / "state"))
    assert place.names() == []
    (tmp_path / "state").mkdir()
    for name in ("b", "a"):
        (tmp_path / "state" / name).write_text(name)
    assert place.names() == ["a", "b"]
    with place.child("b").open() as file:
        assert file.read() == b"b"
    place.child("b").remove()
    place.child("b").remove()
    assert place.names() == ["a"]
