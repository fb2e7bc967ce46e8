"""Scratch files on the worker's disk: unnamed, so that they end with the process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError
from airflow_provider_cytechbot.storage.failures import StorageFailures

_HINT = "Set TMPDIR to a folder that the worker can write to, on a disk with room."


def open_scratch_file() -> IO[bytes]:
    """
    Open a new scratch file on a disk that has room.

    :raises CyTechBotStorageError: There is no folder for it, or no room.
    """
    with scratch_errors():
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        try:
            check_room(file)
        except BaseException:
            file.close()
            raise
        return file


@contextmanager
def scratch_errors() -> Iterator[None]:
    """Convert an error of the disk in the block into one that names the folder. A retry may help."""
    try:
        yield
    except OSError as error:
        raise scratch_error(error) from None


def scratch_error(error: OSError) -> CyTechBotStorageError:
    """
    Return the error for a scratch file that could not be opened, written or read.

    :param error: The error of the disk.
    """
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError as missing:
        return CyTechBotStorageError(f"The worker has no usable folder TMPDIR ({missing.strerror}).", _HINT)
    failure = StorageFailures("The worker's folder TMPDIR", folder).convert(error)
    return CyTechBotStorageError(failure.reason, _HINT)


def check_room(file: IO[bytes]) -> None:
    """
    Check that an empty file can grow. On a full disk, only writing fails, not opening.

    :param file: The file, which is empty again afterwards.
    :raises OSError: The disk has no room.
    """
    file.write(b"?")
    file.flush()
    file.seek(0)
    file.truncate()
