"""CSV: RFC 4180, UTF-8, with a header; a missing answer is an empty field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain, repeat

from airflow_provider_cytechbot.formats.table import Column, Same, Table

_NEEDS_QUOTES = re.compile(r'[",\r\n]').search
#: What makes a spreadsheet take a field for a formula: the last four are = + - @ in their full width.
#: Answers are strangers' text.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class CsvEncoder:
    """
    Turns rows into records.

    :param columns: The columns, in order.
    :param byte_order_mark: Begin with one: without it, some spreadsheets do not take the file for UTF-8.
    :param escape_formulas: Put an apostrophe before a field that a spreadsheet would take for a formula.
    """

    def __init__(
        self, columns: Sequence[Column], *, byte_order_mark: bool = False, escape_formulas: bool = False
    ) -> None:
        self._columns = [column.name for column in columns]
        self._byte_order_mark = byte_order_mark
        self._escape_formulas = escape_formulas

    def header(self) -> bytes:
        """Return the names of the columns."""
        mark = "\ufeff" if self._byte_order_mark else ""
        return (mark + ",".join(map(self._field, self._columns)) + "\r\n").encode()

    def encode(self, table: Table) -> bytes:
        """Return a record for each row."""
        pieces: list[Iterable[str]] = []
        before = ""  # commas, and what is the same in all rows
        for at, name in enumerate(self._columns):
            before += "," if at else ""
            values = table.columns[name]
            if isinstance(values, Same):
                before += self._field(values.value)
            else:
                # Many answers are given often: each text is looked at once.
                fields = {value: before + self._field(value) for value in set(values)}
                pieces.append(map(fields.__getitem__, values))
                before = ""
        pieces.append(repeat(f"{before}\r\n", table.rows))
        return "".join(chain.from_iterable(zip(*pieces, strict=True))).encode()

    def footer(self) -> bytes:
        """Return what stands at the end of the file."""
        return b""

    def _field(self, value: str | None) -> str:
        if value is None:
            return ""
        if self._escape_formulas and value.startswith(_FORMULA_STARTS):
            value = f"'{value}"
        return '"' + value.replace('"', '""') + '"' if _NEEDS_QUOTES(value) else value
