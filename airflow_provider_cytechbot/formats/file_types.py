"""What kind of file an export writes: which one a path or a parameter asks for, and who encodes it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple, Protocol

from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.formats import compression as compressions

if TYPE_CHECKING:
    from airflow_provider_cytechbot.formats.table import Column, Table

#: The body as it came, checked but not changed.
RAW = "raw"
FORMATS = ("jsonl", "csv", "parquet", RAW)

_FORMAT_OF_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".json": RAW,
}


class Encoder(Protocol):
    """Turns rows into the bytes of a file format. It writes nothing itself."""

    def header(self) -> bytes:
        """Return what stands at the beginning of the file."""
        ...

    def encode(self, table: Table) -> bytes:
        """Return the bytes of some rows, or of those that waited until now."""
        ...

    def footer(self) -> bytes:
        """Return what stands at the end of the file."""
        ...


class FileType(NamedTuple):
    """
    What kind of file to write.

    :param file_format: One of :data:`FORMATS`.
    :param compression: One of :data:`.compression.KNOWN`. In Parquet it is that of the pages.
    """

    file_format: str
    compression: str

    @classmethod
    def of(
        cls, path: str, file_format: str | None, compression: str | None, *, field: str = "path"
    ) -> FileType:
        """
        Return the type that was asked for by name, or else by the suffixes of the path.

        :param path: Where the file is to be written.
        :param file_format: The format's name, if given.
        :param compression: The compression's name, if given; ``none`` for none whatever the suffix.
        :param field: The parameter that names the path, for errors.
        :raises CyTechBotFieldError: The format or the compression is not known, or not installed.
        """
        name = path.rsplit("/", 1)[-1].lower()
        compressed = next((suffix for suffix in compressions.SUFFIXES if name.endswith(suffix)), "")
        suffix = next((s for s in _FORMAT_OF_SUFFIX if name.removesuffix(compressed).endswith(s)), "")
        file_format = file_format or _FORMAT_OF_SUFFIX.get(suffix)
        if not name:
            raise field_error(field, "is empty, or ends in a slash", "Give the path of a file.")
        if file_format is None:
            known = ", ".join(_FORMAT_OF_SUFFIX)
            raise field_error(field, f"has no suffix that names a format ({known})", "Or give file_format.")
        if file_format not in FORMATS:
            raise field_error("file_format", f"must be one of {', '.join(FORMATS)}, not {file_format!r}")
        default = "zstd" if file_format == "parquet" else compressions.NONE
        compression = compression or compressions.SUFFIXES.get(compressed, default)
        if compression not in compressions.KNOWN:
            raise field_error(
                "compression", f"must be one of {', '.join(compressions.KNOWN)}, not {compression!r}"
            )
        if file_format == "parquet" and not find_spec("pyarrow"):
            raise field_error(
                "file_format",
                "is 'parquet', which needs pyarrow",
                "Install it: pip install 'airflow-provider-cytechbot[parquet]'.",
            )
        if file_format != "parquet":
            compressions.check_installed(compression)
        return cls(file_format, compression)

    @property
    def file_compression(self) -> str:
        """The compression of the file as a whole, which Parquet, compressed inside, has none of."""
        return compressions.NONE if self.file_format == "parquet" else self.compression

    @property
    def gathers_rows(self) -> bool:
        """Whether the encoder gathers rows by itself: then smaller tables cost it time and save no memory."""
        return self.file_format == "parquet"

    def encoder(
        self,
        columns: Sequence[Column],
        *,
        byte_order_mark: bool = False,
        escape_formulas: bool = False,
        text_ids: bool = False,
    ) -> Encoder:
        """
        Return what turns rows into bytes of this format.

        :param columns: The columns, in order.
        :param byte_order_mark: Begin a CSV file with one.
        :param escape_formulas: Keep spreadsheets from taking a CSV field for a formula.
        :param text_ids: Keep spreadsheets from rounding ids in a CSV file.
        """
        if self.file_format == "parquet":
            from airflow_provider_cytechbot.formats.parquet import ParquetEncoder

            return ParquetEncoder(columns, codec=self.compression)
        if self.file_format == "csv":
            from airflow_provider_cytechbot.formats.csv_records import CsvEncoder

            return CsvEncoder(
                columns,
                byte_order_mark=byte_order_mark,
                escape_formulas=escape_formulas,
                text_ids=text_ids,
            )
        from airflow_provider_cytechbot.formats.json_lines import JsonLinesEncoder

        return JsonLinesEncoder(columns)
