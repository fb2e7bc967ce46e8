"""A staged file: written out of sight, then committed whole or discarded, on any object storage."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_cytechbot.storage.scratch_file import check_room

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_cytechbot.storage.locations import StorageLocation

_LOCAL = frozenset({"", "file", "local"})
_AZURE = frozenset({"abfs", "abfss", "adl", "az"})
_S3 = frozenset({"s3", "s3a", "s3n"})
#: Stores where an object appears when its upload is completed. Elsewhere a file is visible while it grows.
_APPEARS_ON_COMMIT = _S3 | {"gs", "gcs"}

#: What an upload holds in memory before it sends it, in bytes. fsspec's own default costs ten times as much.
UPLOAD_BLOCK_SIZE = 5 * 1024 * 1024


class StagedFile:
    """
    A file on its way: what is written to it shows nowhere until it is committed.

    Trouble that can be known at the beginning, such as a missing bucket or a wrong key, is raised then.

    :param place: Where the file is to appear. Missing folders are made, missing buckets are not.
    :param overwrite: Whether a file that is there is replaced.
    :raises CyTechBotStorageError: The place cannot be written, or is taken.
    """

    def __init__(self, place: StorageLocation, *, overwrite: bool = True) -> None:
        self.size = 0
        self._is_there = False
        self._failures = place.failures
        if not overwrite:
            place.refuse_existing()
        with self._failures.translate_errors():
            self._writer = _writer_for(place.path)(place.path, overwrite)

    def write(self, data: bytes) -> int:
        """Write some more of it."""
        with self._failures.translate_errors(has_begun=True):
            self._writer.file.write(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: what waits is sent when it fills a block, or in the end."""

    def finish(self) -> None:
        """Send what is left to send. The file takes no more then, but does not show yet."""
        with self._failures.translate_errors(has_begun=True):
            self._writer.finish()

    def commit(self) -> None:
        """Let it appear, after :meth:`finish`."""
        with self._failures.translate_errors(has_begun=True):
            self._writer.commit()
        self._is_there = True

    def discard(self) -> None:
        """Leave nothing of it behind, unless it is committed."""
        if not self._is_there:
            self._writer.discard()


@contextmanager
def whole_or_nothing(place: StorageLocation, *, overwrite: bool = True) -> Iterator[StagedFile]:
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


class _Writer(Protocol):
    """How a kind of storage lets a file appear as a whole."""

    file: Any

    def finish(self) -> None: ...

    def commit(self) -> None: ...

    def discard(self) -> None: ...


def _writer_for(path: ObjectStoragePath) -> type[_Upload | _AzureUpload | _HiddenFile]:
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
