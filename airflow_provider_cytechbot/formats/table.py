"""Rows as columns, which is how they are made and written quickly: what layouts return and formats take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple


class Column(NamedTuple):
    """
    A column of an export.

    :param name: Its name in the file.
    :param description: What it holds, for formats that can say so.
    :param is_time: Whether its values are ISO 8601 times.
    """

    name: str
    description: str
    is_time: bool = False


class Same(NamedTuple):
    """The values of a column that holds one value in all rows."""

    value: str | None


@dataclass(frozen=True)
class Table:
    """
    Some rows.

    :param rows: How many.
    :param columns: The values by the column's name: one a row, or one for all rows.
    """

    rows: int
    columns: Mapping[str, Sequence[str | None] | Same]

    def values(self, name: str) -> Iterable[str | None]:
        """Return a column's values, one for each row."""
        values = self.columns[name]
        return repeat(values.value, self.rows) if isinstance(values, Same) else values

    def part(self, start: int, end: int) -> Table:
        """Return the rows from one place up to another."""
        if start == 0 and end >= self.rows:
            return self
        return Table(
            min(end, self.rows) - start,
            {
                name: values if isinstance(values, Same) else values[start:end]
                for name, values in self.columns.items()
            },
        )
