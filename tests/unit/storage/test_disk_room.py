from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest

from airflow_provider_cytechbot.storage.disk_room import check_room


def test_leaves_an_empty_file():
    with tempfile.TemporaryFile() as file:
        check_room(file)
        assert (file.tell(), file.read()) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_no_room():
    with Path("/dev/full").open("r+b", buffering=0) as file, pytest.raises(OSError, match="space") as caught:
        check_room(file)
    assert caught.value.errno == errno.ENOSPC
