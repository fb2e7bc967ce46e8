"""The files of one export: one, or numbered parts with a manifest that is written last."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError
from airflow_provider_cytechbot.exports.earlier_export import EarlierExport
from airflow_provider_cytechbot.formats.compression import compressor
from airflow_provider_cytechbot.storage.signals import HeldSignals
from airflow_provider_cytechbot.storage.staged_files import StagedFile, WriteOptions, whole_or_nothing

if TYPE_CHECKING:
    from airflow_provider_cytechbot.formats.file_types import Encoder, FileType
    from airflow_provider_cytechbot.formats.table import Table
    from airflow_provider_cytechbot.storage.locations import StorageLocation


class WrittenFile(NamedTuple):
    """
    A written file.

    :param uri: A path that ``ObjectStoragePath`` opens, with the storage's connection id if there was one.
    :param rows: The number of its rows.
    :param bytes: Its size.
    """

    uri: str
    rows: int
    bytes: int


class ExportFiles:
    """
    Writes rows to files, none of which appears before :meth:`commit`.

    :param location: The path of the file. Parts have a number before its suffixes.
    :param file_type: The type of the files.
    :param max_rows: The number of rows of a part; ``None`` for one file.
    :param overwrite: Whether to replace an earlier export at the path.
    :param storage_options: Further options of the store.
    :raises CyTechBotStorageError: The path cannot be written, or has an earlier export (from the methods).
    """

    def __init__(
        self,
        location: StorageLocation,
        file_type: FileType,
        *,
        max_rows: int | None = None,
        overwrite: bool = True,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.written: list[WrittenFile] = []
        self._location = location
        self._earlier = EarlierExport(location, file_type)
        self._file_type = file_type
        self._max_rows = max_rows
        self._overwrite = overwrite
        self._options = WriteOptions(
            file_type.content_type, file_type.content_encoding, storage_options or {}
        )
        self._staged: list[StagedFile] = []
        self._committed: list[str] = []

    def open(self) -> None:
        """Open the first file, so that storage errors come before the API call."""
        if not self._overwrite:
            self._earlier.refuse()
        self._next_file()

    def discard(self) -> None:
        """Remove everything that was written, except committed files. Signals wait until it is done."""
        with HeldSignals():
            for staged in reversed(self._staged):  # the first one made the folder
                staged.discard()

    @property
    def uris(self) -> list[str]:
        """The paths of the files written so far."""
        return [file.uri for file in self.written]

    @property
    def size(self) -> int:
        """The size of the files written so far."""
        return sum(file.bytes for file in self.written)

    def replaces_answers(self, subscriber_fields: Collection[str]) -> bool:
        """
        Return whether the earlier export that :meth:`commit` replaces has answers.

        :param subscriber_fields: The columns that hold fields of the subscriber.
        """
        return self._overwrite and self._earlier.has_answers(subscriber_fields)

    def start(self, make_encoder: Callable[[], Encoder]) -> None:
        """
        Write the beginning of the first file.

        :param make_encoder: Returns a new encoder for each file.
        """
        self._make_encoder = make_encoder
        self._current.start(make_encoder())

    def write_bytes(self, data: bytes) -> None:
        """Write a block of the API's body unchanged."""
        self._current.write_bytes(data)

    def count(self, rows: int) -> None:
        """Count rows of a body that is written unchanged."""
        self._current.rows += rows

    def write(self, table: Table) -> None:
        """Write some rows, and start the next part whenever one is full."""
        at = 0
        while at < table.rows:
            if self._max_rows and self._current.rows >= self._max_rows:
                self._finish_file()
                self._next_file()
                self._current.start(self._make_encoder())
            room = self._max_rows - self._current.rows if self._max_rows else table.rows
            self._current.write(table.part(at, at + room))
            at += room

    def finish(self) -> None:
        """Finish the last file; afterwards :attr:`written` is complete."""
        self._finish_file()

    def commit(self, manifest: Mapping[str, Any]) -> None:
        """
        Let the files appear and remove the earlier export, after :meth:`finish`.

        :param manifest: The content of the manifest of parts, which is written last.
        """
        # Only parts: one file is all there or not at all.
        is_first = not self._overwrite or bool(self._max_rows and not self._earlier.exists())
        try:
            self._commit(manifest)
        except BaseException:
            if is_first:  # then all committed files are new, and useless without the others
                with HeldSignals():
                    self._remove_committed()
            raise

    def _remove_committed(self) -> None:
        for uri in self._committed:
            with suppress(CyTechBotStorageError):
                self._sibling(uri).remove()

    def _commit(self, manifest: Mapping[str, Any]) -> None:
        # New files come before old ones are removed: a run that is killed in between loses nothing, and the
        # next one removes the rest. With overwrite=False, an existing file belongs to another export.
        if self._max_rows and self._overwrite:
            self._earlier.remove_manifest()
        for staged, uri in zip(self._staged, self.uris, strict=True):
            with HeldSignals():
                staged.commit()
                self._committed.append(uri)
        if self._overwrite:
            if self._max_rows:
                self._earlier.remove_file()
            else:
                self._earlier.remove_manifest()
            self._earlier.remove_parts(after=len(self.written) if self._max_rows else 0)
        if self._max_rows:
            options = self._options._replace(content_type="application/json", content_encoding=None)
            with whole_or_nothing(self._earlier.manifest, overwrite=self._overwrite, options=options) as file:
                file.write(json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n")

    def _sibling(self, uri: str) -> StorageLocation:
        return self._location.sibling(uri.rpartition("/")[2])

    def _next_file(self) -> None:
        location = self._earlier.part(len(self.written) + 1) if self._max_rows else self._location
        with HeldSignals():
            staged = StagedFile(location, overwrite=self._overwrite, options=self._options)
            self._staged.append(staged)
        self._current = _CurrentFile(str(location.path), staged, self._file_type.file_compression)

    def _finish_file(self) -> None:
        self.written.append(self._current.finish())


class _CurrentFile:
    """The file that is being written, with its encoder and its compression."""

    def __init__(self, uri: str, staged: StagedFile, compression: str) -> None:
        self.rows = 0
        self._uri = uri
        self._staged = staged
        self._compressor = compressor(compression)
        self._footer: Callable[[], bytes] = bytes

    def start(self, encoder: Encoder) -> None:
        self._encoder, self._footer = encoder, encoder.footer
        self.write_bytes(encoder.header())

    def write_bytes(self, data: bytes) -> None:
        if compressed := self._compressor.compress(data):
            self._staged.write(compressed)

    def write(self, table: Table) -> None:
        self.write_bytes(self._encoder.encode(table))
        self.rows += table.rows

    def finish(self) -> WrittenFile:
        self.write_bytes(self._footer())
        self._staged.write(self._compressor.flush())
        self._staged.finish()
        return WrittenFile(self._uri, self.rows, self._staged.size)
