from __future__ import annotations

import subprocess
import sys

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError, CyTechBotStorageRefusedError
from airflow_provider_cytechbot.storage import locations
from airflow_provider_cytechbot.storage.locations import StorageLocation, path_text

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
    with pytest.raises(CyTechBotStorageRefusedError, match="'no_such', which does not exist in Airflow"):
        StorageLocation.from_parameter("state_path", "file://no_such@/tmp/state")


def test_password_in_a_path_is_masked():
    with pytest.raises(CyTechBotStorageRefusedError) as caught:
        StorageLocation.from_parameter("path", "ftp://me:hunter2@host/a.csv")
    assert "hunter2" not in str(caught.value)
    assert "ftp://me:***@host/a.csv" in str(caught.value)


@pytest.mark.parametrize("path", ["s3:/bucket/a.csv", "file:/tmp/a.csv"])
def test_scheme_with_one_slash_is_refused(path):
    with pytest.raises(CyTechBotStorageRefusedError, match="two slashes"):
        StorageLocation.from_parameter("path", path)


@pytest.mark.parametrize("name", ["a.csv", "a/b.csv", "12:30/a.csv"])
def test_relative_path_is_the_same_to_a_task_in_another_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert str(StorageLocation.from_parameter("path", name).path) == str(tmp_path / name)


def test_names_in_a_folder(tmp_path):
    location = StorageLocation.from_parameter("state_path", str(tmp_path / "state"))
    assert location.names() == []
    (tmp_path / "state").mkdir()
    for name in ("b", "a"):
        (tmp_path / "state" / name).write_text(name)
    assert location.names() == ["a", "b"]
    with location.child("b").open() as file:
        assert file.read() == b"b"
    location.child("b").remove()
    location.child("b").remove()
    assert location.names() == ["a"]


@pytest.mark.parametrize("field", ["path", "state_path"])
@pytest.mark.parametrize(
    "options",
    [{"endpoint_url": "http://127.0.0.1:1"}, {"key": "a-key", "secret": "a-secret"}, {"anon": False}],
)
def test_options_of_a_path_are_refused_without_their_values(field, options):
    path = ObjectStoragePath("s3://bucket/a.csv", **options)
    for refuse in (path_text, StorageLocation.from_parameter):
        with pytest.raises(
            CyTechBotStorageRefusedError, match=rf"^Field '{field}', s3://.*connection"
        ) as caught:
            refuse(field, path)
        assert all(name in str(caught.value) for name in options)
        assert not any(str(value) in str(caught.value) for value in options.values())


def test_path_object_keeps_its_connection(s3, monkeypatch):
    monkeypatch.setattr(store, "_STORE_CACHE", {"s3-mine": store._STORE_CACHE["s3"]})
    monkeypatch.setenv("AIRFLOW_CONN_MINE", '{"conn_type": "aws"}')
    for path in (
        ObjectStoragePath("s3://mine@bucket/a.csv"),
        ObjectStoragePath("s3://bucket/a.csv", conn_id="mine"),
    ):
        location = StorageLocation.from_parameter("path", path)
        assert str(location.path) == "s3://mine@bucket/a.csv"
        assert str(location.sibling("b").path) == "s3://mine@bucket/b"
        assert str(location.child("b").path) == "s3://mine@bucket/a.csv/b"


@pytest.mark.parametrize("name", ["~/a.csv", "~/a/b.csv"])
def test_home_folder_is_expanded(monkeypatch, tmp_path, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(StorageLocation.from_parameter("path", name).path) == str(tmp_path / name[2:])


def test_home_folder_of_an_unknown_user_is_refused():
    with pytest.raises(CyTechBotStorageRefusedError, match="unknown user's home folder"):
        StorageLocation.from_parameter("path", "~no-such-user-here/a.csv")


def test_folders_and_files_differ(tmp_path):
    (tmp_path / "a.csv").write_text("")
    location = StorageLocation.from_parameter("path", str(tmp_path))
    assert location.is_folder()
    assert not location.child("a.csv").is_folder()
    assert not location.child("missing").is_folder()


@pytest.mark.parametrize("path", ["", " ", "\t\n"])
def test_an_empty_path_is_not_the_current_folder(path):
    with pytest.raises(CyTechBotFieldError, match="'state_path' is empty"):
        StorageLocation.from_parameter("state_path", path)


def test_a_local_path_imports_no_filesystem_of_a_provider():
    code = (
        "import sys; from airflow_provider_cytechbot.storage.locations import StorageLocation;"
        "StorageLocation.from_parameter('path', '/tmp/answers.csv').exists();"
        "print([name for name in sys.modules if name.split('.')[0] in ('boto3', 'botocore', 's3fs')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
