"""The report: a line for each row, in a file that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.formats.compression import compressor
from airflow_provider_cytechbot.formats.file_types import RAW, FileType
from airflow_provider_cytechbot.formats.table import Column, Table
from airflow_provider_cytechbot.storage.locations import StorageLocation
from airflow_provider_cytechbot.storage.staged_files import StagedFile

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.ledger import ReportLine

_LINES_AT_ONCE = 1_000

COLUMNS = (
    Column("row", "The number of the row in the source, from 1; none for a delete.", "integer"),
    Column("key", "What identifies the row: the id of a subscriber or user.", "id"),
    Column("operation", "What was done or was to be done."),
    Column("fields", "The names of the fields that were written."),
    Column("outcome", "succeeded, unchanged, refused, invalid, ambiguous, failed or not_attempted."),
    Column("reason", "Why the row is not done."),
    Column("id", "The id of what was written.", "id"),
    Column("attempted_at", "When the call was sent last.", "time"),
)


class Report:
    """
    A report file on its way. Opening it shows at once whether the location can be written.

    :param path: The report's path; its suffix names the format.
    :raises CyTechBotFieldError: The suffix names no format of tables.
    :raises CyTechBotStorageError: The location cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._type = FileType.of(path, None, None, field="report_path")
        if self._type.file_format == RAW:
            raise field_error("report_path", "ends in .json", "Use .jsonl, .csv or .parquet.")
        location = StorageLocation.from_parameter("report_path", path)
        self.uri = str(location.path)
        self._file = StagedFile(location)

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave nothing behind, unless the report was written."""
        self._file.discard()

    def write(self, lines: Iterable[ReportLine]) -> None:
        """
        Write all lines and let the file appear.

        :param lines: The lines.
        """
        encoder = self._type.encoder(COLUMNS)
        compress = compressor(self._type.file_compression)
        names = [column.name for column in COLUMNS]
        self._write(compress.compress(encoder.header()))
        lines = iter(lines)
        while batch := list(islice(lines, _LINES_AT_ONCE)):
            values: dict[str, Any] = dict(zip(names, zip(*batch, strict=True), strict=True))
            self._write(compress.compress(encoder.encode(Table(len(batch), values))))
        self._write(compress.compress(encoder.footer()))
        self._write(compress.flush())
        self._file.finish()
        self._file.commit()

    def _write(self, data: bytes) -> None:
        if data:
            self._file.write(data)
