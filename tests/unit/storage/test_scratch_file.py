from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError
from airflow_provider_cytechbot.storage.scratch_file import check_room, open_scratch_file, scratch_errors

from ...full_disk import files_of_at_most


def test_room_check_leaves_an_empty_file():
    with tempfile.TemporaryFile() as file:
        check_room(file)
        assert (file.tell(), file.read()) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_room_check_fails_on_a_full_disk():
    with Path("/dev/full").open("r+b", buffering=0) as file, pytest.raises(OSError, match="space") as caught:
        check_room(file)
    assert caught.value.errno == errno.ENOSPC


def test_a_scratch_file_stores_bytes():
    with open_scratch_file() as file:
        file.write(b"a")
        file.seek(0)
        assert file.read() == b"a"


def test_full_disk_is_an_error_that_a_retry_may_help():
    problem = r"TMPDIR.*no room left.*Set TMPDIR"
    with pytest.raises(CyTechBotStorageError, match=problem) as caught, files_of_at_most(0):
        open_scratch_file()
    assert caught.value.retryable


@pytest.fixture
def no_folders(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/no/such/folder"])


@pytest.mark.usefixtures("no_folders")
def test_worker_without_a_folder_for_temporary_files():
    with pytest.raises(CyTechBotStorageError, match=r"TMPDIR \(No usable temporary.*Set TMPDIR") as caught:
        open_scratch_file()
    assert caught.value.retryable


def test_folder_that_was_removed_since(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    with pytest.raises(CyTechBotStorageError, match=r"TMPDIR, /no/such/folder, .*Set TMPDIR") as caught:
        open_scratch_file()
    assert caught.value.retryable


def test_errors_of_the_disk_are_converted():
    with pytest.raises(CyTechBotStorageError, match="TMPDIR"), scratch_errors():
        raise OSError(errno.EIO, "Input/output error")
