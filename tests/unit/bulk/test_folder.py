from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError, CyTechBotStorageRefusedError


def test_a_missing_folder_is_empty(folder):
    assert folder.names() == []


def test_a_file_is_created_once(folder):
    assert folder.create("a", b"first")
    assert not folder.create("a", b"second")
    assert folder.create("a", b"first")  # as after a lost response
    assert folder.read("a") == b"first"
    assert folder.names() == ["a"]


def test_a_file_is_replaced(folder):
    folder.write("a", b"first")
    folder.write("a", b"second")
    assert folder.read("a") == b"second"


def test_files_are_removed(folder):
    for name in ("a", "b", "c"):
        folder.write(name, b"")
    folder.remove(["a", "c"])
    folder.remove(["a"])
    folder.remove([])
    assert folder.names() == ["b"]


def test_children_are_folders(folder):
    folder.child("shard-0").write("a", b"x")
    assert folder.child("shard-0").names() == ["a"]
    assert str(folder.child("shard-0")).endswith("/state/shard-0")


def test_a_file_that_cannot_be_written_is_an_error(folder, tmp_path):
    (tmp_path / "state").touch()
    with pytest.raises(CyTechBotStorageError):
        folder.create("a", b"")
    with pytest.raises(CyTechBotStorageError):
        folder.write("a", b"")


def test_the_error_of_a_damaged_file_has_a_hint(folder):
    error = folder.damaged("a")
    assert isinstance(error, CyTechBotStorageRefusedError)
    assert "a, is damaged" in str(error)
    assert "remove the whole folder" in str(error)


@pytest.mark.parametrize(
    ("protocol", "expected"), [("file", True), ("s3", True), ("memory", False), ("sftp", False)]
)
def test_not_every_storage_creates_exclusively(folder, monkeypatch, protocol, expected):
    monkeypatch.setattr(folder, "_protocol", protocol)
    assert folder.creates_exclusively is expected


def test_objects_of_a_store_are_written_with_one_request(folder, monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(folder, "_protocol", "s3")
    monkeypatch.setattr(
        type(folder.location_of("a").path.fs), "pipe_file", lambda self, *args: written.append(args)
    )
    folder.write("a", b"x")
    assert written == [(str(tmp_path / "state" / "a"), b"x")]
