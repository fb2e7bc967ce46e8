"""File formats of an export: which one a path asks for, and how rows become bytes in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

from airflow_provider_cytechbot.api.fields import refuse
from airflow_provider_cytechbot.api.records import FlowAnswerRow

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

COLUMNS = tuple(FlowAnswerRow.__annotations__)
NO_COMPRESSION = "none"

_FORMAT_OF_SUFFIX = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_COMPRESSION_OF_SUFFIX = {".gz": "gzip"}


class RowEncoder(Protocol):
    """Turns rows into the bytes of a file format."""

    #: What stands at the beginning of the file.
    header: bytes

    def encode(self, rows: Sequence[FlowAnswerRow]) -> bytes:
        """Return the bytes of some rows."""
        ...


class JsonLinesEncoder:
    """One JSON object a line, UTF-8."""

    header = b""

    def __init__(self) -> None:
        import msgspec  # thirteen times as fast as the standard library here

        self._encoder = msgspec.json.Encoder()

    def encode(self, rows: Sequence[FlowAnswerRow]) -> bytes:
        """Return a line for each row."""
        return self._encoder.encode_lines(rows)


class CsvEncoder:
    """RFC 4180, UTF-8, with a header. A missing answer is an empty field."""

    header = (",".join(COLUMNS) + "\r\n").encode()

    def encode(self, rows: Sequence[FlowAnswerRow]) -> bytes:
        """Return a record for each row."""
        text = io.StringIO(newline="")
        csv.DictWriter(text, COLUMNS).writerows(rows)
        return text.getvalue().encode()


_ENCODERS: dict[str, type[RowEncoder]] = {"jsonl": JsonLinesEncoder, "csv": CsvEncoder}


class FileType(NamedTuple):
    """
    What kind of file to write.

    :param file_format: ``jsonl`` or ``csv``.
    :param compression: ``gzip`` or ``none``.
    """

    file_format: str
    compression: str

    @classmethod
    def of(cls, path: str, file_format: str | None, compression: str | None) -> FileType:
        """
        Return the type that was asked for by name, or else by the suffixes of the path.

        :param path: Where the file is to be written.
        :param file_format: The format's name, if given.
        :param compression: The compression's name, if given; ``none`` for none whatever the suffix.
        :raises CyTechBotFieldError: The format or the compression is not known.
        """
        name = path.rsplit("/", 1)[-1].lower()
        compressed = next((suffix for suffix in _COMPRESSION_OF_SUFFIX if name.endswith(suffix)), "")
        suffix = next((s for s in _FORMAT_OF_SUFFIX if name.removesuffix(compressed).endswith(s)), "")
        file_format = file_format or _FORMAT_OF_SUFFIX.get(suffix)
        compression = compression or _COMPRESSION_OF_SUFFIX.get(compressed, NO_COMPRESSION)
        if not name:
            raise refuse("path", "ends in a slash", "Give the path of a file.")
        if file_format is None:
            known = ", ".join(_FORMAT_OF_SUFFIX)
            raise refuse("path", f"has no suffix that names a format ({known})", "Or give file_format.")
        if file_format not in _ENCODERS:
            raise refuse("file_format", f"must be one of {', '.join(_ENCODERS)}, not {file_format!r}")
        if compression not in (NO_COMPRESSION, *_COMPRESSION_OF_SUFFIX.values()):
            raise refuse("compression", f"must be gzip or none, not {compression!r}")
        return cls(file_format, compression)

    def encoder(self) -> RowEncoder:
        """Return what turns rows into bytes of this format."""
        return _ENCODERS[self.file_format]()

    @contextmanager
    def compressed(self, file: IO[bytes]) -> Iterator[SupportsWrite[bytes]]:
        """
        Give access to a file through the compression, finishing it at the end but leaving the file open.

        :param file: The file to write to.
        """
        if self.compression == NO_COMPRESSION:
            yield file
            return
        import gzip

        # Without name and time in its header, the same rows give the same file.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as sink:
            yield sink
