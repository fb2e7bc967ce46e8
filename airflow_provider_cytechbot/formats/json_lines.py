"""JSON Lines: one object a line, UTF-8."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_cytechbot.formats.table import Column, Table

_NEEDS_ESCAPES = re.compile(r'["\\\x00-\x1f]').search


class JsonLinesEncoder:
    """
    Encodes rows as lines.

    :param columns: The columns, in order.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        import msgspec  # thirteen times faster than the standard library

        self._columns = [column.name for column in columns]
        self._json = msgspec.json.Encoder()
        self._row: Callable[..., object]
        if any(map(_NEEDS_ESCAPES, self._columns)):
            # msgspec accepts such a name as a key of a dictionary, but not as the name of a field.
            self._row = lambda *values: dict(zip(self._columns, values, strict=True))
            return
        # Most names of columns are not valid names of attributes.
        attributes = [f"column_{at}" for at in range(len(columns))]
        self._row = msgspec.defstruct(
            "Row", attributes, rename=dict(zip(attributes, self._columns, strict=True)), gc=False
        )

    def header(self) -> bytes:
        """Return the beginning of the file, which is empty."""
        return b""

    def encode(self, table: Table) -> bytes:
        """Return a line for each row."""
        rows = map(self._row, *(table.values(name) for name in self._columns))
        return self._json.encode_lines(list(rows))

    def footer(self) -> bytes:
        """Return the end of the file, which is empty."""
        return b""
