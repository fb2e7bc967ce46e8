"""File types: which one a path or a parameter names, and its encoder."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple, Protocol

from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.formats import compression as compressions

if TYPE_CHECKING:
    from airflow_provider_cytechbot.formats.table import Column, Table

#: The body of the API's answer, unchanged.
RAW = "raw"
FORMATS = ("jsonl", "csv", "parquet", RAW)

_FORMAT_OF_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".json": RAW,
}
#: Suffixes of compressions and formats that are not written.
_OTHER_SUFFIXES = (
    *(".bz2", ".xz", ".lzma", ".lz4", ".lzo", ".snappy", ".sz", ".br", ".zip", ".7z", ".z", ".tgz", ".tar"),
    *(".deflate", ".gzip", ".zstd", ".xlsx", ".xls", ".ods", ".orc", ".avro", ".arrow", ".feather", ".xml"),
)
_CONTENT_TYPES = {
    "jsonl": "application/jsonl",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    RAW: "application/json",
}


class Encoder(Protocol):
    """Encodes rows in a file format. It writes nothing itself."""

    def header(self) -> bytes:
        """Return the beginning of the file."""
        ...

    def encode(self, table: Table) -> bytes:
        """Return the bytes of these rows, or of earlier rows that were held back."""
        ...

    def footer(self) -> bytes:
        """Return the end of the file."""
        ...


class FileType(NamedTuple):
    """
    The type of a file.

    :param file_format: One of :data:`FORMATS`.
    :param compression: One of :data:`.compression.KNOWN`. Parquet compresses its pages with it.
    """

    file_format: str
    compression: str

    @classmethod
    def of(
        cls, path: str, file_format: str | None, compression: str | None, *, field: str = "path"
    ) -> FileType:
        """
        Return the type that the parameters name, or else the suffixes of the path.

        :param path: The path of the file.
        :param file_format: The name of the format, if given. It must agree with the suffix; only a file
            ``.json`` may also hold JSON Lines.
        :param compression: The name of the compression, if given. It must agree with the suffix: a file
            ``.csv`` is not compressed, a file ``.csv.gz`` is. For Parquet it is the codec.
        :param field: The parameter that names the path, for errors.
        :raises CyTechBotFieldError: The format or the compression is unknown, not installed, or does not
            agree with the suffix.
        """
        name = path.rsplit("/", 1)[-1].lower()
        if not name:
            raise field_error(field, "is empty, or ends in a slash", "Give the path of a file.")
        compressed = next((suffix for suffix in compressions.SUFFIXES if name.endswith(suffix)), "")
        suffix = next((s for s in _FORMAT_OF_SUFFIX if name.removesuffix(compressed).endswith(s)), "")
        file_format = _format(field, name.removesuffix(compressed), suffix, file_format)
        compression = _compression(suffix, compressed, file_format, compression)
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
        """The compression of the whole file. Parquet files have none: they are compressed inside."""
        return compressions.NONE if self.file_format == "parquet" else self.compression

    @property
    def content_type(self) -> str:
        """The media type of the content, before the whole file was compressed."""
        return _CONTENT_TYPES[self.file_format]

    @property
    def content_encoding(self) -> str | None:
        """The compression of the whole file, as HTTP names it."""
        return None if self.file_compression == compressions.NONE else self.file_compression

    @property
    def gathers_rows(self) -> bool:
        """Whether the encoder gathers rows itself, so that small tables cost time and save no memory."""
        return self.file_format == "parquet"

    def encoder(
        self,
        columns: Sequence[Column],
        *,
        byte_order_mark: bool = False,
        escape_formulas: bool = False,
        text_ids: bool = False,
        separator: str = ",",
    ) -> Encoder:
        """
        Return an encoder for this format.

        :param columns: The columns, in order.
        :param byte_order_mark: Whether to begin a CSV file with one.
        :param escape_formulas: Whether to keep spreadsheets from taking a CSV field for a formula.
        :param text_ids: Whether to keep spreadsheets from rounding ids in a CSV file.
        :param separator: What stands between the fields of a CSV file.
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
                separator=separator,
            )
        from airflow_provider_cytechbot.formats.json_lines import JsonLinesEncoder

        return JsonLinesEncoder(columns)


def _format(field: str, name: str, suffix: str, file_format: str | None) -> str:
    named = _FORMAT_OF_SUFFIX.get(suffix)
    if file_format and not named and (other := next(filter(name.endswith, _OTHER_SUFFIXES), None)):
        raise field_error(
            field, f"ends in {other}, which means another type of file", "Readers go by the suffix."
        )
    if not (file_format or named):
        known = ", ".join(_FORMAT_OF_SUFFIX)
        raise field_error(field, f"has no suffix that names a format ({known})", "Or give file_format.")
    file_format = file_format or str(named)
    if file_format not in FORMATS:
        raise field_error("file_format", f"must be one of {', '.join(FORMATS)}, not {file_format!r}")
    if named and file_format != named and (suffix, file_format) != (".json", "jsonl"):
        raise field_error(
            "file_format",
            f"is {file_format!r}, but the suffix {suffix} of the file means {named!r}",
            "Give one of them, or make them agree: readers go by the suffix.",
        )
    return file_format


def _compression(suffix: str, compressed: str, file_format: str, compression: str | None) -> str:
    """Return the compression; ``compressed`` is the suffix that names one, such as ``.gz``."""
    default = "zstd" if file_format == "parquet" else compressions.NONE
    named = compressions.SUFFIXES.get(compressed)
    if not compression:
        return named or default
    if compression not in compressions.KNOWN:
        raise field_error(
            "compression", f"must be one of {', '.join(compressions.KNOWN)}, not {compression!r}"
        )
    if named is None and suffix and file_format != "parquet":
        named = compressions.NONE  # a file such as a.csv
    if named and compression != named:
        raise field_error(
            "compression",
            f"is {compression!r}, but the suffix {compressed or suffix} of the file means {named!r}",
            "Give one of them, or make them agree: readers go by the suffix.",
        )
    return compression
