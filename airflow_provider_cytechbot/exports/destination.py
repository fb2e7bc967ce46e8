"""Files that appear at their place whole or not at all, on any object storage."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

#: Where an object comes into being when its upload is completed. Anywhere else a file is seen while it grows.
_APPEARS_ON_COMMIT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
_S3 = frozenset({"s3", "s3a"})

#: What an upload holds in memory before it sends it, in bytes. fsspec's own default costs ten times as much.
UPLOAD_BLOCK_SIZE = 5 * 1024 * 1024


class StagedFile(Protocol):
    """A file on its way: what is written to it shows nowhere until it is committed."""

    file: IO[bytes]

    def finish(self) -> None:
        """Send what is left to send. The file takes no more then, but does not show yet."""
        ...

    def commit(self) -> None:
        """Let it appear, after :meth:`finish`."""
        ...

    def discard(self) -> None:
        """Leave nothing of it behind, at any time before it is committed."""
        ...


def stage(path: ObjectStoragePath, *, overwrite: bool = True) -> StagedFile:
    """
    Begin a file.

    Trouble that can be known already, such as a missing bucket or a wrong key, is raised here.

    :param path: Where the file is to appear. Missing folders are made, missing buckets are not.
    :param overwrite: Whether a file that is there is replaced.
    :raises FileExistsError: Something is at the path that is not a file, such as a folder, or must stay.
    """
    return (_Upload if path.protocol in _APPEARS_ON_COMMIT else _HiddenFile)(path, overwrite)


def absolute(path: str) -> ObjectStoragePath:
    """
    Return a path that means the same file to a task that runs in another folder.

    :param path: Anything that ``ObjectStoragePath`` opens. One without a scheme may be relative.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    # Not left to ObjectStoragePath, which before Airflow 3.2 lets a relative path begin in the root folder.
    return ObjectStoragePath(path if "://" in path else str(Path(path).absolute()))


@contextmanager
def whole_or_nothing(path: ObjectStoragePath, *, overwrite: bool = True) -> Iterator[IO[bytes]]:
    """
    Open a file for writing that appears at its path only if the block ends without an error.

    What was at the path before stays there until then.

    :param path: Where the file is to appear.
    :param overwrite: Whether a file that is there is replaced.
    """
    staged = stage(path, overwrite=overwrite)
    try:
        yield staged.file
        staged.finish()
        staged.commit()
    except BaseException:
        staged.discard()
        raise


def _refuse_existing(path: ObjectStoragePath) -> None:
    if path.exists():
        raise FileExistsError(f"{path} is there already, and overwrite is false")


class _Upload:
    """An upload to an object store, completed or aborted as a whole."""

    def __init__(self, path: ObjectStoragePath, overwrite: bool) -> None:
        if not overwrite:
            _refuse_existing(path)
        # S3 itself refuses to complete an upload that was begun as exclusive, if an object is there by then.
        mode = "xb" if not overwrite and path.protocol in _S3 else "wb"
        self.file: Any = path.fs.open(path.path, mode, block_size=UPLOAD_BLOCK_SIZE, autocommit=False)
        if path.protocol in _S3:
            # Begun now and not with the first block: the store says at once if it will not take it.
            self.file.offset = 0
            self.file._initiate_upload()

    def finish(self) -> None:
        self.file.close()

    def commit(self) -> None:
        self.file.commit()

    def discard(self) -> None:
        # Closing it, as its own context manager does even after an error, would send more.
        with suppress(Exception):
            self.file.discard()
        self.file.closed = True


class _HiddenFile:
    """A file of another name beside its place, renamed in the end."""

    def __init__(self, path: ObjectStoragePath, overwrite: bool) -> None:
        self._fs, self._target = path.fs, path.path
        if not overwrite:
            _refuse_existing(path)
        if self._fs.exists(self._target) and not self._fs.isfile(self._target):
            # Moving the file there would put it into a folder, or in the place of a device.
            raise FileExistsError(f"{path} is there already and is not a file")
        folder, slash, _ = self._target.rpartition("/")
        if folder:
            self._fs.makedirs(folder, exist_ok=True)
        # Beside its target, so that the move is a rename. Not named after it: names have a limit.
        self._part = f"{folder}{slash}.{uuid.uuid4().hex}.part"
        self.file: Any = self._fs.open(self._part, "wb")

    def finish(self) -> None:
        self.file.close()

    def commit(self) -> None:
        self._fs.mv(self._part, self._target)

    def discard(self) -> None:
        with suppress(Exception):
            self.file.close()
        with suppress(Exception):
            self._fs.rm_file(self._part)
