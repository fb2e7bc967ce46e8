"""The files of one export: one, or numbered parts with a manifest that is written last."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError
from airflow_provider_cytechbot.formats.compression import compressor
from airflow_provider_cytechbot.storage.staged_files import StagedFile, whole_or_nothing

if TYPE_CHECKING:
    from airflow_provider_cytechbot.formats.file_types import Encoder, FileType
    from airflow_provider_cytechbot.formats.table import Table
    from airflow_provider_cytechbot.storage.locations import StorageLocation


class WrittenFile(NamedTuple):
    """
    A file that was written.

    :param uri: A path that ``ObjectStoragePath`` opens, with the storage's connection id if there was one.
    :param rows: How many rows are in it.
    :param bytes: Its size.
    """

    uri: str
    rows: int
    bytes: int


class ExportFiles(AbstractContextManager["ExportFiles"]):
    """
    Takes rows and writes them to files, none of which shows before :meth:`commit`.

    Entering the context opens the first file, so that trouble with the place shows before the API is asked.

    :param place: Where the file is to appear. Parts have a number before its suffixes.
    :param file_type: What kind of file it is.
    :param max_rows: How many rows a part takes; ``None`` for one file.
    :param overwrite: Whether what is there is replaced.
    :raises CyTechBotStorageError: The place cannot be written, or is taken.
    """

    def __init__(
        self,
        place: StorageLocation,
        file_type: FileType,
        *,
        max_rows: int | None = None,
        overwrite: bool = True,
    ) -> None:
        self.written: list[WrittenFile] = []
        self._place = place
        self._file_type = file_type
        self._max_rows = max_rows
        self._overwrite = overwrite
        self._staged: list[StagedFile] = []
        self._shown: list[str] = []

    def __enter__(self) -> ExportFiles:
        if self._max_rows and not self._overwrite:
            self._manifest.refuse_existing()
        self._next_file()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for staged in reversed(self._staged):  # the first one made the folder
            staged.discard()

    @property
    def uris(self) -> list[str]:
        """Where the files are that were written so far."""
        return [file.uri for file in self.written]

    @property
    def size(self) -> int:
        """The size of the files that were written so far."""
        return sum(file.bytes for file in self.written)

    def start(self, make_encoder: Callable[[], Encoder]) -> None:
        """
        Begin with the rows.

        :param make_encoder: Makes an encoder for each file.
        """
        self._make_encoder = make_encoder
        self._current.start(make_encoder())

    def write_bytes(self, data: bytes) -> None:
        """Write part of a body as it is."""
        self._current.write_bytes(data)

    def count(self, rows: int) -> None:
        """Take note of rows that are in a body which is written as it is."""
        self._current.rows += rows

    def write(self, table: Table) -> None:
        """Write some rows, beginning the next part where one is full."""
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
        """Send what is left to send; only then is all :attr:`written`."""
        self._finish_file()

    def commit(self, manifest: Mapping[str, Any]) -> None:
        """
        Let the files appear, after :meth:`finish`.

        :param manifest: What is written beside parts, last.
        """
        try:
            self._commit(manifest)
        except BaseException:
            if not self._overwrite:  # then all that shows by now is new, and of no use without the rest
                for uri in self._shown:
                    with suppress(CyTechBotStorageError):
                        self._beside(uri).remove()
            raise

    def _commit(self, manifest: Mapping[str, Any]) -> None:
        # What is not to be overwritten is another's by now, its manifest too.
        if self._max_rows and self._overwrite and self._manifest.exists():
            # From here on, until the new one is there, nobody takes old and new parts for one export.
            self._manifest.remove()
        for staged, uri in zip(self._staged, self.uris, strict=True):
            staged.commit()
            self._shown.append(uri)
        if not self._max_rows:
            return
        for part in reversed(self._parts_of_the_export_before()):
            part.remove()
        with whole_or_nothing(self._manifest, overwrite=self._overwrite) as file:
            file.write(json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n")

    def _beside(self, uri: str) -> StorageLocation:
        return self._place.sibling(uri.rpartition("/")[2])

    @property
    def _manifest(self) -> StorageLocation:
        return self._place.sibling(f"{self._place.path.name}.manifest.json")

    def _parts_of_the_export_before(self) -> Sequence[StorageLocation]:
        """
        Return the parts that go on where the new ones end.

        Not those of the old manifest: a run that was killed among its parts has left none. Parts appear from
        the first on and are removed from the last on, so that whenever that ends, their numbers have no gap.
        """
        found: list[StorageLocation] = []
        while self._overwrite and (part := self._part(len(self.written) + len(found) + 1)).exists():
            found.append(part)
        return found

    def _next_file(self) -> None:
        place = self._part(len(self.written) + 1) if self._max_rows else self._place
        staged = StagedFile(place, overwrite=self._overwrite)
        self._staged.append(staged)
        self._current = _CurrentFile(str(place.path), staged, self._file_type.file_compression)

    def _finish_file(self) -> None:
        self.written.append(self._current.finish())

    def _part(self, number: int) -> StorageLocation:
        stem, dot, suffixes = self._place.path.name.partition(".")
        return self._place.sibling(f"{stem}-{number:05d}{dot}{suffixes}")


class _CurrentFile:
    """The file that is being written: its encoder, its compression, and how far it is."""

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
