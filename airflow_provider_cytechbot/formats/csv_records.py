"""CSV: RFC 4180 with a choice of separators, UTF-8, with a header; a missing answer is an empty field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat

from airflow_provider_cytechbot.formats.table import Column, Same, Table, Value

COMMA = ","
SEPARATORS = (COMMA, ";", "\t")
#: A formula begins with = + - @, also in full width, behind blanks or quotes.
_FORMULA_START = r"(?=(?:[^\S\t\r\n]|[\0\"'])*[=+\-@\uff1d\uff0b\uff0d\uff20])"
#: What some spreadsheets drop from the beginning of a field before they look for a formula.
_DROPPED_STARTS = ("\t", "\r", "\n", "\0")
_DIGITS = re.compile(r"\+?\d+", re.ASCII).fullmatch


class CsvEncoder:
    """
    Encodes rows as records.

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
