"""CSV, written and read: RFC 4180 with a choice of separators, UTF-8, with a header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import IO

from airflow_provider_cytechbot.formats.lines import MAX_LINE_BYTES, Lines, UnreadableFileError
from airflow_provider_cytechbot.formats.table import Column, Same, Table, Value

COMMA = ","
SEPARATORS = (COMMA, ";", "\t")
#: A formula begins with = + - @, also in full width, behind blanks or quotes.
_FORMULA_START = r"(?=(?:[^\S\t\r\n]|[\0\"'\u00ad\u200b-\u200f\u2060\ufeff])*[=+\-@\uff1d\uff0b\uff0d\uff20])"
#: What some spreadsheets drop from the beginning of a field before they look for a formula.
_DROPPED_STARTS = ("\t", "\r", "\n", "\0")
_DIGITS = re.compile(r"\+?\d+", re.ASCII).fullmatch
MAX_COLUMNS = 100_000

#: An id that was written as text for spreadsheets: ="24994546734902201".
_TEXT_ID = re.compile(r'="(\+?\d+)"', re.ASCII).fullmatch
#: A name in quotes, or the beginning of one that goes on in the next line.
_QUOTED = re.compile(r'"[^"]*(?:"|$)')
_QUOTE_HINT = 'Put fields with delimiters, quotes or line ends in quotes, and double each quote in them: "".'
_ENCODING_HINT = "Save the file as UTF-8."


class CsvEncoder:
    """
    Encodes rows as records. A missing answer is an empty field.

    :param columns: The columns, in order.
    :param byte_order_mark: Whether to begin with one. Without it, some spreadsheets do not expect UTF-8.
    :param escape_formulas: Whether to put an apostrophe before everything that a spreadsheet would take for a
        formula, and quotes around every field.
    :param separator: What stands between fields: one of :data:`SEPARATORS`.
    :param text_ids: Whether to write digits in columns of ids as ``="24994546734902201"``, which spreadsheets
        show as text. They would round a number of more than 15 digits.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        byte_order_mark: bool = False,
        escape_formulas: bool = False,
        text_ids: bool = False,
        separator: str = COMMA,
    ) -> None:
        # Fields are in quotes, so that only another separator can end a field early: that of a reader which
        # expects this one. A line break or a tab can be dropped with all that stands before it.
        others = "".join(each for each in (COMMA, *";|\t\r\n") if each != separator or each == "\t")
        self._formula = re.compile(rf"(?:^|(?<=[{others}])){_FORMULA_START}")
        self._needs_quotes = re.compile(rf'["\r\n{separator}]').search
        self._separator = separator
        self._columns = [column.name for column in columns]
        self._byte_order_mark = byte_order_mark
        self._text = self._escaped if escape_formulas else self._quoted_if_needed
        self._fields = [self._id if text_ids and column.kind == "id" else self._text for column in columns]

    def header(self) -> bytes:
        """Return the names of the columns."""
        mark = "\ufeff" if self._byte_order_mark else ""
        # Always in quotes: some readers look for quotes in the beginning of the file only.
        return (mark + self._separator.join(map(self._header_field, self._columns)) + "\r\n").encode()

    def encode(self, table: Table) -> bytes:
        """Return a record for each row."""
        pieces: list[Iterable[str]] = []
        constant = ""  # separators, and fields with the same value in all rows
        for at, (name, field) in enumerate(zip(self._columns, self._fields, strict=True)):
            constant += self._separator if at else ""
            values = table.columns[name]
            if isinstance(values, Same):
                constant += _field(values.value, field)
            else:
                # Many answers occur often: each text is encoded once.
                fields = {value: constant + _field(value, field) for value in set(values)}
                pieces.append(map(fields.__getitem__, values))
                constant = ""
        pieces.append(repeat(f"{constant}\r\n", table.rows))
        return "".join(chain.from_iterable(zip(*pieces, strict=True))).encode()

    def footer(self) -> bytes:
        """Return the end of the file, which is empty."""
        return b""

    def _header_field(self, name: str) -> str:
        field = self._text(name)
        return field if field.startswith('"') else _quoted(name)

    def _id(self, value: str) -> str:
        return f'"=""{value}"""' if _DIGITS(value) else self._text(value)

    def _quoted_if_needed(self, value: str) -> str:
        return _quoted(value) if self._needs_quotes(value) else value

    def _escaped(self, value: str) -> str:
        escaped = self._formula.sub("'", value)
        if value.startswith(_DROPPED_STARTS) and not escaped.startswith("'"):
            escaped = f"'{escaped}"
        return _quoted(escaped)


def _field(value: Value, encode_text: Callable[[str], str]) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else encode_text(value)


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


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
            elif record:  # an empty line is not a record
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
            has_records = text.find("\r", 0, -2) >= 0  # a line end, too
            for each in io.StringIO(text, newline="") if has_records else (text,):
                if '="' in each:
                    self.may_have_text_ids = True
                yield each


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
