"""Files that appear at their place whole or not at all, on any object storage."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

#: Where an object comes into being when its upload is completed. Anywhere else a file is seen while it grows.
_APPEARS_ON_CLOSE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})

#: What an upload holds in memory before it sends it, in bytes. fsspec's own default costs ten times as much.
UPLOAD_BLOCK_SIZE = 5 * 1024 * 1024


@contextmanager
def whole_or_nothing(path: ObjectStoragePath) -> Iterator[IO[bytes]]:
    """
    Open a file for writing that appears at its path only if the block ends without an error.

    What was at the path before stays there until then.

    :param path: Where the file is to appear. Missing folders are made, missing buckets are not.
    :raises FileExistsError: Something is at the path that is not a file, such as a folder.
    """
    if path.protocol in _APPEARS_ON_CLOSE:
        yield from _complete_or_abort(path)
    else:
        yield from _rename_or_remove(path)


def _complete_or_abort(path: ObjectStoragePath) -> Iterator[IO[bytes]]:
    file = path.fs.open(path.path, "wb", block_size=UPLOAD_BLOCK_SIZE)
    try:
        yield file
        file.close()
    except BaseException:
        # Closing it, as its own context manager does even after an error, would complete the upload.
        with suppress(Exception):
            file.discard()
        file.closed = True
        raise


def _rename_or_remove(path: ObjectStoragePath) -> Iterator[IO[bytes]]:
    fs, target = path.fs, path.path
    if fs.exists(target) and not fs.isfile(target):
        # Moving the file there would put it into a folder, or in the place of a device.
        raise FileExistsError(f"{path} is there already and is not a file")
    folder, slash, _ = target.rpartition("/")
    if folder:
        fs.makedirs(folder, exist_ok=True)
    # Beside its target, so that the move is a rename. Not named after it: names have a limit.
    part = f"{folder}{slash}.{uuid.uuid4().hex}.part"
    file: Any = fs.open(part, "wb")
    try:
        yield file
        file.close()
        fs.mv(part, target)
    except BaseException:
        with suppress(Exception):
            file.close()
        with suppress(Exception):
            fs.rm_file(part)
        raise
