"""Staged files: written out of sight, then committed whole or discarded, on any object storage."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow_provider_cytechbot.storage.scratch_file import check_room
from airflow_provider_cytechbot.storage.signals import HeldSignals

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_cytechbot.storage.locations import StorageLocation

_LOCAL = frozenset({"", "file", "local"})
_AZURE = frozenset({"abfs", "abfss", "adl", "az"})
_S3 = frozenset({"s3", "s3a", "s3n"})
#: Stores where an object appears when its upload is completed. Elsewhere a growing file is visible.
_APPEARS_ON_COMMIT = _S3 | {"gs", "gcs"}

#: How many bytes of an upload are held in memory until they are sent. fsspec's default is ten times as much.
UPLOAD_BLOCK_SIZE = 5 * 1024 * 1024
#: The name of the metadata by which an upload is recognized. Azure allows only letters and digits.
UPLOAD_ID = "cytechbotupload"


class WriteOptions(NamedTuple):
    """
    What a store keeps or demands with an object. Local files have none of it.

    :param content_type: The media type of the content, before it was encoded. S3 and Google Cloud Storage
        store it.
    :param content_encoding: How the content was encoded, such as ``gzip``. S3 stores it. Google Cloud Storage
        would decode the object for its readers, and gets the type of the encoding instead.
    :param storage_options: Further options of the store: parameters of S3's calls, such as
        ``ServerSideEncryption``, or arguments of the filesystem's ``open``.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    storage_options: Mapping[str, Any] = {}


_NO_OPTIONS = WriteOptions()


class StagedFile:
    """
    A file that is being written: it does not appear at its location until it is committed.

    Errors that can be found at the beginning, such as a missing bucket or a wrong key, are raised then.

    :param location: Where the file is to appear. Missing folders are made, missing buckets are not.
    :param overwrite: Whether an existing file is replaced.
    :param options: What the store keeps with the file.
    :raises CyTechBotStorageError: The location cannot be written, or has a file already.
    """

    def __init__(
        self, location: StorageLocation, *, overwrite: bool = True, options: WriteOptions = _NO_OPTIONS
    ) -> None:
        self.size = 0
        self._is_committed = False
        self._failures = location.failures
        if not overwrite:
            location.refuse_existing()
        writer = None
        try:
            with self._failures.translate_errors(), HeldSignals():
                writer = _writer_for(location.path)(location.path, overwrite, options)
        except BaseException:
            if writer:
                writer.discard()
            raise
        self._writer: _Writer = writer

    def write(self, data: bytes) -> int:
        """Write the next bytes."""
        with self._failures.translate_errors(has_begun=True):
            self._writer.write(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: bytes are sent when they fill a block, and by :meth:`finish`."""

    def finish(self) -> None:
        """Send the remaining bytes. Afterwards the file takes no more, but has not appeared yet."""
        with self._failures.translate_errors(has_begun=True):
            self._writer.finish()

    def commit(self) -> None:
        """Let the file appear, after :meth:`finish`."""
        with self._failures.translate_errors(has_begun=True):
            self._writer.commit()
        self._is_committed = True

    def discard(self) -> None:
        """Remove everything that was written, unless it is committed. Signals wait until it is done."""
        if not self._is_committed:
            with HeldSignals():
                self._writer.discard()


@contextmanager
def whole_or_nothing(
    location: StorageLocation, *, overwrite: bool = True, options: WriteOptions = _NO_OPTIONS
) -> Iterator[StagedFile]:
    """
    Open a file for writing that appears at its location only if the block ends without an error.

    An existing file stays until then.

    :param location: Where the file is to appear.
    :param overwrite: Whether an existing file is replaced.
    :param options: What the store keeps with the file.
    """
    staged = None
    try:
        with HeldSignals():
            staged = StagedFile(location, overwrite=overwrite, options=options)
        yield staged
        staged.finish()
        staged.commit()
    except BaseException:
        if staged:
            try:
                staged.discard()
            except BaseException:  # a second signal, before it was held
                staged.discard()
                raise
        raise


class _Writer(Protocol):
    """How a kind of storage lets a file appear as a whole."""

    def write(self, data: bytes) -> None: ...

    def finish(self) -> None: ...

    def commit(self) -> None: ...

    def discard(self) -> None: ...


def _writer_for(path: ObjectStoragePath) -> type[_Upload | _AzureUpload | _HiddenFile]:
    if path.protocol in _AZURE:
        return _AzureUpload
    return _Upload if path.protocol in _APPEARS_ON_COMMIT else _HiddenFile


class _UploadId:
    """
    An id in the metadata of an upload. It shows whose object is there when the answer to a commit was lost.

    Libraries send a request again after a lost answer. With a condition that no object exists, the second one
    is refused because of the object that the first one made.

    :param path: The object.
    :param file: The file of the filesystem, before its upload begins.
    """

    def __init__(self, path: ObjectStoragePath, file: Any) -> None:
        self._path = path
        self._id = {UPLOAD_ID: uuid.uuid4().hex}
        if path.protocol in _S3:
            parameters = file.s3_additional_kwargs
            parameters["Metadata"] = {**parameters.get("Metadata", {}), **self._id}
        else:
            file.metadata = {**(getattr(file, "metadata", None) or {}), **self._id}

    def is_there(self) -> bool:
        """Return whether the object is the one of this upload."""
        fs, name = self._path.fs, self._path.path
        with suppress(Exception):  # then it is not known, and the error of the commit counts
            fs.invalidate_cache(name)
            metadata = fs.metadata(name) if self._path.protocol in _S3 else fs.info(name)["metadata"]
            return bool(metadata[UPLOAD_ID] == self._id[UPLOAD_ID])
        return False


def _s3_parameters(options: WriteOptions) -> dict[str, Any]:
    named = {"ContentType": options.content_type, "ContentEncoding": options.content_encoding}
    return {**{name: value for name, value in named.items() if value}, **options.storage_options}


def _check_s3_parameters(fs: Any, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that S3 does not have: s3fs would leave them out."""
    known = fs._kwargs_helper.filter_dict("create_multipart_upload", parameters)
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"storage_options has parameters that S3 does not have: {', '.join(unknown)}")


def _type_of_encoded(options: WriteOptions) -> str | None:
    encoding = options.content_encoding
    return f"application/{encoding}" if encoding else options.content_type


class _Upload:
    """An upload to an object store, which is completed or aborted as a whole."""

    def __init__(self, path: ObjectStoragePath, overwrite: bool, options: WriteOptions) -> None:
        self._path = path
        # The store itself refuses to complete an exclusive upload if an object exists at that moment.
        self._mode = "wb" if overwrite else "xb"
        is_s3 = path.protocol in _S3
        arguments = {} if is_s3 else options.storage_options
        self.file: Any = path.fs.open(
            path.path, self._mode, block_size=UPLOAD_BLOCK_SIZE, autocommit=False, **arguments
        )
        self.file.offset = 0
        if is_s3:
            self.file.s3_additional_kwargs.update(_s3_parameters(options))
        elif "content_type" not in arguments:
            self.file.content_type = _type_of_encoded(options)
        self._id = _UploadId(path, self.file)
        try:
            # Begun before the first block, so that a store that refuses it does so at once.
            self.file._initiate_upload()
            if is_s3:
                _check_s3_parameters(path.fs, options.storage_options)
        except BaseException:
            self.discard()
            raise

    def write(self, data: bytes) -> None:
        # The thread that sends a part would go on after an interruption, and send it to an aborted upload.
        with HeldSignals():
            self.file.write(data)

    def finish(self) -> None:
        with HeldSignals():
            self.file.close()

    def commit(self) -> None:
        try:
            self._complete()
        except Exception:
            if not self._id.is_there():
                raise

    def _complete(self) -> None:
        if self._path.protocol in _S3 and not self.file.tell():
            # s3fs would write an empty object without the condition and the parameters.
            self.file.discard()
            mode = "create" if self._mode == "xb" else "overwrite"
            self._path.fs.pipe_file(self._path.path, b"", mode=mode, **self.file.s3_additional_kwargs)
        else:
            self.file.commit()

    def discard(self) -> None:
        # Closing it, as its own context manager does even after an error, would send more.
        with suppress(Exception):
            self.file.discard()
        self.file.closed = True


class _AzureUpload:
    """Blocks of a blob, which appears when their list is committed. adlfs does so when it closes a file."""

    def __init__(self, path: ObjectStoragePath, overwrite: bool, options: WriteOptions) -> None:
        mode = "wb" if overwrite else "xb"
        self.file: Any = path.fs.open(
            path.path, mode, block_size=UPLOAD_BLOCK_SIZE, **options.storage_options
        )
        self.file.offset = 0
        self._id = _UploadId(path, self.file)
        self.file._initiate_upload()
        # Nothing was sent so far. This block, which stays on no list, fails if the store refuses uploads.
        self.file.write(b"?")
        self._send()
        self.file._block_list.clear()
        self.file.loc = 0

    def write(self, data: bytes) -> None:
        self.file.write(data)

    def finish(self) -> None:
        self._send()

    def commit(self) -> None:
        try:
            self.file.close()
        except Exception:
            if not self._id.is_there():
                raise
            self.file.closed = True

    def discard(self) -> None:
        self.file.closed = True  # the store drops blocks on no list after a week

    def _send(self) -> None:
        if self.file.buffer.tell():
            self.file._upload_chunk()
            self.file.buffer = io.BytesIO()


class _HiddenFile:
    """A file with a hidden name in the same folder, which is renamed at the end."""

    def __init__(self, path: ObjectStoragePath, overwrite: bool, options: WriteOptions) -> None:
        self._path, self._fs, self._target = path, path.fs, path.path
        self._overwrite = overwrite
        self._is_local = path.protocol in _LOCAL
        if self._is_local:
            with suppress(FileNotFoundError):
                # For a name that no file can have, exists() only returns false; lstat() raises the reason.
                Path(self._target).lstat()
        if self._fs.exists(self._target) and not self._fs.isfile(self._target):
            # Moving the file there would put it into a folder, or replace a device.
            raise FileExistsError(f"{path} is there already and is not a file")
        folder, slash, _ = self._target.rpartition("/")
        self._made: list[Path] = []
        if folder:
            if self._is_local:
                self._made = [each for each in (Path(folder), *Path(folder).parents) if not each.exists()]
            self._fs.makedirs(folder, exist_ok=True)
        # In the folder of its target, so that the move is a rename. Not named after it: names have a limit.
        self._part = f"{folder}{slash}.{uuid.uuid4().hex}.part"
        arguments = {} if self._is_local else options.storage_options
        self.file: Any = self._fs.open(self._part, "wb", **arguments)
        if self._is_local:
            try:
                check_room(self.file)
            except BaseException:
                self.discard()
                raise

    def write(self, data: bytes) -> None:
        self.file.write(data)

    def finish(self) -> None:
        self.file.close()

    def commit(self) -> None:
        if not self._overwrite:
            if self._is_local and self._is_linked():
                return
            if self._fs.exists(self._target):
                raise FileExistsError(f"{self._path} has appeared meanwhile")
        if self._is_local:
            self._rename()
        else:
            self._move()

    def _rename(self) -> None:
        part = Path(self._part).stat()
        try:
            Path(self._part).replace(self._target)  # fsspec would move it into a folder of that name
        except OSError:
            # A network filesystem sends a rename again after a lost answer, and then misses the file.
            if not (os.path.lexists(self._target) and os.path.samestat(part, os.lstat(self._target))):
                raise

    def _move(self) -> None:
        try:
            self._fs.mv(self._part, self._target)
        except Exception:
            # Without overwrite there was no file, and no other process moves this one.
            if self._overwrite or self._fs.exists(self._part) or not self._fs.isfile(self._target):
                raise

    def _is_linked(self) -> bool:
        """Give the file its name unless a file has it. A rename would replace that one."""
        try:
            os.link(self._part, self._target)
        except FileExistsError:
            # A network filesystem sends a link again after a lost answer.
            if not Path(self._part).samefile(self._target):
                raise FileExistsError(f"{self._path} has appeared meanwhile") from None
        except OSError:  # not every filesystem has hard links
            return False
        with suppress(FileNotFoundError):
            Path(self._part).unlink()
        return True

    def discard(self) -> None:
        with suppress(Exception):
            self.file.close()
        with suppress(Exception):
            self._fs.rm_file(self._part)
        for folder in self._made:
            with suppress(OSError):  # other processes may use it
                folder.rmdir()
