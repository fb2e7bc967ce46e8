"""Files that appear at their place whole or not at all, on any object storage."""

from __future__ import annotations

import io
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow_provider_cytechbot.exports.disk_room import check_room
from airflow_provider_cytechbot.exports.storage_failures import StorageFailures

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

_LOCAL = frozenset({"", "file", "local"})
_AZURE = frozenset({"abfs", "abfss", "adl", "az"})
_S3 = frozenset({"s3", "s3a", "s3n"})
#: Where an object comes into being when its upload is completed. Anywhere else a file is seen while it grows.
_APPEARS_ON_COMMIT = _S3 | {"gs", "gcs"}

#: What an upload holds in memory before it sends it, in bytes. fsspec's own default costs ten times as much.
UPLOAD_BLOCK_SIZE = 5 * 1024 * 1024

_HALF_A_SCHEME = re.compile(r"[a-z][a-z0-9+-]*:/(?!/)")


class Place(NamedTuple):
    """
    Where a file or a folder of an export is.

    :param field: The operator's parameter that says so, for errors.
    :param path: The place.
    """

    field: str
    path: ObjectStoragePath

    @classmethod
    def of(cls, field: str, path: str) -> Place:
        """
        Return the place that a parameter names.

        :param field: The parameter.
        :param path: Anything that ``ObjectStoragePath`` opens. One without a scheme may be relative: what is
            returned means the same file to a task that runs in another folder.
        :raises CyTechBotStorageRefusedError: No filesystem opens it, or its connection is unknown.
        """
        from airflow.providers.common.compat.sdk import BaseHook, ObjectStoragePath

        failures = StorageFailures(f"Field {field!r}", path)
        if _HALF_A_SCHEME.match(path):
            raise failures.refused("has a scheme without two slashes.", "Write s3://bucket/… or file:///….")
        # Not left to ObjectStoragePath: before Airflow 3.2 it lets a relative path begin in the root folder.
        path = path if "://" in path else str(Path(path).absolute())
        with failures.told():
            try:
                place = cls(field, ObjectStoragePath(path))
                _ = place.path.fs
            except (ImportError, ValueError) as error:
                if isinstance(error, ImportError) or not _has_filesystem(path.partition("://")[0]):
                    raise failures.unknown_scheme(error) from None
                raise
            # The property is new in Airflow 3.2; before, the id is one of the options.
            conn_id = getattr(place.path, "conn_id", None) or place.path.storage_options.get("conn_id")
            if conn_id:
                # Without it some filesystems go on with the worker's own credentials, or with none.
                BaseHook.get_connection(conn_id)
        return place

    @property
    def failures(self) -> StorageFailures:
        """What can go wrong there."""
        return StorageFailures(f"Field {self.field!r}", str(self.path))

    def beside(self, name: str) -> Place:
        """Return the place of another file in the same folder."""
        return self._replace(path=self.path.with_name(name))

    def within(self, name: str) -> Place:
        """Return a place in this folder."""
        return self._replace(path=self.path / name)

    # Below, the filesystem is asked and not the path, which knows no filesystem that was attached by hand.

    def exists(self) -> bool:
        """Return whether something is there."""
        with self.failures.told():
            return bool(self.path.fs.exists(self.path.path))

    def refuse_existing(self) -> None:
        """
        Look whether the place is free.

        :raises CyTechBotStorageRefusedError: It is not.
        """
        if self.exists():
            raise self.failures.refused("is there already, and overwrite is false.", "Choose another place.")

    def names(self) -> list[str]:
        """Return the names of what is in this folder, sorted; none if it is missing."""
        fs = self.path.fs
        with self.failures.told():
            fs.invalidate_cache(self.path.path)  # another task may have written there since
            try:
                found = fs.ls(self.path.path, detail=False)
            except FileNotFoundError:
                found = []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def open(self) -> IO[bytes]:
        """Open the file for reading."""
        with self.failures.told():
            file: IO[bytes] = self.path.fs.open(self.path.path, "rb")
            return file

    def remove(self) -> None:
        """Remove the file, if it is there."""
        with self.failures.told(has_begun=True), suppress(FileNotFoundError):
            self.path.fs.rm_file(self.path.path)


def _has_filesystem(scheme: str) -> bool:
    try:
        from airflow.sdk.io import has_fs
    except ImportError:  # before Airflow 3.1
        from airflow.io import has_fs  # type: ignore[attr-defined,no-redef]
    return bool(has_fs(scheme))


class StagedFile:
    """
    A file on its way: what is written to it shows nowhere until it is committed.

    Trouble that can be known at the beginning, such as a missing bucket or a wrong key, is raised then.

    :param place: Where the file is to appear. Missing folders are made, missing buckets are not.
    :param overwrite: Whether a file that is there is replaced.
    :raises CyTechBotStorageError: The place cannot be written, or is taken.
    """

    def __init__(self, place: Place, *, overwrite: bool = True) -> None:
        self.size = 0
        self._is_there = False
        self._failures = place.failures
        if not overwrite:
            place.refuse_existing()
        with self._failures.told():
            self._way = _way_to(place.path)(place.path, overwrite)

    def write(self, data: bytes) -> int:
        """Write some more of it."""
        with self._failures.told(has_begun=True):
            self._way.file.write(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: what waits is sent when it fills a block, or in the end."""

    def finish(self) -> None:
        """Send what is left to send. The file takes no more then, but does not show yet."""
        with self._failures.told(has_begun=True):
            self._way.finish()

    def commit(self) -> None:
        """Let it appear, after :meth:`finish`."""
        with self._failures.told(has_begun=True):
            self._way.commit()
        self._is_there = True

    def discard(self) -> None:
        """Leave nothing of it behind, unless it is committed."""
        if not self._is_there:
            self._way.discard()


@contextmanager
def whole_or_nothing(place: Place, *, overwrite: bool = True) -> Iterator[StagedFile]:
    """
    Open a file for writing that appears at its place only if the block ends without an error.

    What was there before stays until then.

    :param place: Where the file is to appear.
    :param overwrite: Whether a file that is there is replaced.
    """
    staged = StagedFile(place, overwrite=overwrite)
    try:
        yield staged
        staged.finish()
        staged.commit()
    except BaseException:
        staged.discard()
        raise


class _Way(Protocol):
    """How a kind of storage lets a file appear as a whole."""

    file: Any

    def finish(self) -> None: ...

    def commit(self) -> None: ...

    def discard(self) -> None: ...


def _way_to(path: ObjectStoragePath) -> type[_Upload | _AzureUpload | _HiddenFile]:
    if path.protocol in _AZURE:
        return _AzureUpload
    return _Upload if path.protocol in _APPEARS_ON_COMMIT else _HiddenFile


class _Upload:
    """An upload to an object store, completed or aborted as a whole."""

    def __init__(self, path: ObjectStoragePath, overwrite: bool) -> None:
        self._path = path
        # The store itself refuses to complete an exclusive upload, if an object is there by then.
        self._mode = "wb" if overwrite else "xb"
        self.file: Any = path.fs.open(path.path, self._mode, block_size=UPLOAD_BLOCK_SIZE, autocommit=False)
        self.file.offset = 0
        try:
            # Begun now and not with the first block: the store says at once if it will not take it.
            self.file._initiate_upload()
        except BaseException:
            self.file.closed = True
            raise

    def finish(self) -> None:
        self.file.close()

    def commit(self) -> None:
        if self._mode == "xb" and self._path.protocol in _S3 and not self.file.tell():
            # s3fs would put an empty object there without the condition.
            self.file.discard()
            self._path.fs.pipe_file(self._path.path, b"", mode="create")
        else:
            self.file.commit()

    def discard(self) -> None:
        # Closing it, as its own context manager does even after an error, would send more.
        with suppress(Exception):
            self.file.discard()
        self.file.closed = True


class _AzureUpload:
    """Blocks of a blob, which shows when their list is committed: adlfs does so whenever it closes a file."""

    def __init__(self, path: ObjectStoragePath, overwrite: bool) -> None:
        mode = "wb" if overwrite else "xb"
        self.file: Any = path.fs.open(path.path, mode, block_size=UPLOAD_BLOCK_SIZE)
        self.file.offset = 0
        self.file._initiate_upload()
        # The store has been asked nothing so far. A block on no list, which it drops, tells if it takes more.
        self.file.write(b"?")
        self._send()
        self.file._block_list.clear()
        self.file.loc = 0

    def finish(self) -> None:
        self._send()

    def commit(self) -> None:
        self.file.close()

    def discard(self) -> None:
        self.file.closed = True  # what is on no list is dropped by the store after a week

    def _send(self) -> None:
        if self.file.buffer.tell():
            self.file._upload_chunk()
            self.file.buffer = io.BytesIO()


class _HiddenFile:
    """A file of another name beside its place, renamed in the end."""

    def __init__(self, path: ObjectStoragePath, overwrite: bool) -> None:
        self._path, self._fs, self._target = path, path.fs, path.path
        self._overwrite = overwrite
        self._is_local = path.protocol in _LOCAL
        if self._is_local:
            with suppress(FileNotFoundError):
                # Of a name that no file can have, exists() says no more than that it is not there.
                Path(self._target).lstat()
        if self._fs.exists(self._target) and not self._fs.isfile(self._target):
            # Moving the file there would put it into a folder, or in the place of a device.
            raise FileExistsError(f"{path} is there already and is not a file")
        folder, slash, _ = self._target.rpartition("/")
        self._made: list[Path] = []
        if folder:
            if self._is_local:
                self._made = [each for each in (Path(folder), *Path(folder).parents) if not each.exists()]
            self._fs.makedirs(folder, exist_ok=True)
        # Beside its target, so that the move is a rename. Not named after it: names have a limit.
        self._part = f"{folder}{slash}.{uuid.uuid4().hex}.part"
        self.file: Any = self._fs.open(self._part, "wb")
        if self._is_local:
            try:
                check_room(self.file)
            except BaseException:
                self.discard()
                raise

    def finish(self) -> None:
        self.file.close()

    def commit(self) -> None:
        if not self._overwrite:
            if self._is_local and self._is_linked():
                return
            if self._fs.exists(self._target):
                raise self._taken()
        if self._is_local:
            Path(self._part).replace(self._target)  # fsspec would move it into a folder that is there by now
        else:
            self._fs.mv(self._part, self._target)

    def _is_linked(self) -> bool:
        """Give the file its name as well, unless that is taken. A rename would replace what is there."""
        try:
            os.link(self._part, self._target)
        except FileExistsError:
            raise self._taken() from None
        except OSError:  # not every filesystem has hard links
            return False
        Path(self._part).unlink()
        return True

    def _taken(self) -> FileExistsError:
        return FileExistsError(f"{self._path} has appeared meanwhile")

    def discard(self) -> None:
        with suppress(Exception):
            self.file.close()
        with suppress(Exception):
            self._fs.rm_file(self._part)
        for folder in self._made:
            with suppress(OSError):  # of others, by now
                folder.rmdir()
