"""Reading CSV: UTF-8, a header, quotes as RFC 4180 has them, any line ends."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import IO

from airflow_provider_cytechbot.formats.csv_records import COMMA, SEPARATORS
from airflow_provider_cytechbot.formats.lines import MAX_LINE_BYTES, Lines, UnreadableFileError

MAX_COLUMNS = 100_000

#: An id that was written as text for spreadsheets: ="24994546734902201".
_TEXT_ID = re.compile(r'="(\+?\d+)"', re.ASCII).fullmatch
#: A name in quotes, or the beginning of one that goes on in the next line.
_QUOTED = re.compile(r'"[^"]*(?:"|$)')
_QUOTE_HINT = 'Put fields with delimiters, quotes or line ends in quotes, and double each quote in them: "".'
_ENCODING_HINT = "Save the file as UTF-8."


def read_csv(file: IO[bytes], delimiter: str | None = None) -> Iterator[dict[str, object]]:
    """
    Yield the records of a CSV file as rows. Every value is text; an empty field is an empty text.

    :param file: The file, uncompressed.
    :param delimiter: What separates fields. By default a comma, or the semicolon or tab that the header has
        in its place.
    :raises UnreadableFileError: The file is not such a CSV file.
    """
    # The limit of the standard library is one for the whole process, and too low for long answers.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    lines = _TextLines(file)
    texts = iter(lines)
    first = next(texts, "")
    records = csv.reader(chain([first], texts), delimiter=delimiter or _delimiter_of(first), strict=True)
    header: list[str] = []
    start = 1
    try:
        for record in records:
            if record and not header:
                header = _checked_header(record)
            elif len(record) == len(header):
                values = map(_plain, record) if lines.may_have_text_ids else record
                yield dict(zip(header, values, strict=True))
            elif record:  # an empty line is no record
                raise UnreadableFileError(
                    f"has {len(record)} fields in line {start}, but {len(header)} in its header",
                    f"{_QUOTE_HINT} Write empty fields, too.",
                )
            start = lines.number + 1
            lines.record_bytes = 0
            lines.may_have_text_ids = False
    except csv.Error as error:
        raise UnreadableFileError(
            f"is not valid CSV in the record that begins in line {start} ({error})", _QUOTE_HINT
        ) from None
    if not header:
        raise UnreadableFileError("is empty", "A CSV file begins with a header, the names of its columns.")


class _TextLines(Lines):
    """
    Decoded lines.

    ``record_bytes`` is the size of the lines since it was set to 0, and ``may_have_text_ids`` whether one of
    them since then has an equals sign and a quote, as every field that :func:`_plain` changes.
    """

    record_bytes = 0
    may_have_text_ids = False

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        for line in super().__iter__():
            self.record_bytes += len(line)
            if self.record_bytes > MAX_LINE_BYTES:
                raise UnreadableFileError(
                    f"has a record of more than {MAX_LINE_BYTES:,} bytes that ends after line {self.number}",
                    "Perhaps a quote is not closed.",
                )
            try:
                text = line.decode()
            except UnicodeDecodeError:
                raise UnreadableFileError(
                    f"has a line that is not UTF-8, line {self.number}", _ENCODING_HINT
                ) from None
            if '="' in text:
                self.may_have_text_ids = True
            if text.find("\r", 0, -2) >= 0:  # a line end, too
                yield from io.StringIO(text, newline="")
            else:
                yield text


def _delimiter_of(header: str) -> str:
    outside_quotes = _QUOTED.sub("", header)
    return next((each for each in SEPARATORS if each in outside_quotes), COMMA)


def _checked_header(header: list[str]) -> list[str]:
    if len(header) > MAX_COLUMNS:
        raise UnreadableFileError(f"has more than {MAX_COLUMNS:,} columns", "Write fewer columns.")
    for at, name in enumerate(header, 1):
        if not name.strip():
            raise UnreadableFileError(f"has no name for column {at} in its header", "Name every column.")
    if doubled := next((name for name, count in Counter(header).items() if count > 1), None):
        raise UnreadableFileError(
            f"has the column {doubled[:100]!r} more than once in its header", "Give each column its own name."
        )
    return header


def _plain(value: str) -> str:
    if value.startswith('="') and (found := _TEXT_ID(value)):
        return found[1]
    return value
