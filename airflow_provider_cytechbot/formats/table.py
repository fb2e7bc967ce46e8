"""Rows as columns, the form that is fast to make and to write: what layouts return and encoders take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Literal, NamedTuple, TypeAlias

#: A cell. Only columns of the kind ``integer`` hold numbers.
Value: TypeAlias = str | int | None


class Column(NamedTuple):
    """
    A column of a file.

    :param name: Its name in the file.
    :param description: What it holds, for formats that store descriptions.
    :param kind: ``text``; ``id``, text that may look like a number; ``time``, an ISO 8601 text; or
        ``integer``, for counts.
    """

    name: str
    description: str
    kind: Literal["text", "id", "time", "integer"] = "text"

    @property
    def type(self) -> Literal["string", "timestamp", "integer"]:
        """The type of its values, as databases name it. Ids are strings."""
        if self.kind == "time":
            return "timestamp"
        return "integer" if self.kind == "integer" else "string"


class Same(NamedTuple):
    """The values of a column that holds one value in all rows."""

    value: Value


@dataclass(frozen=True)
class Table:
    """
    Some rows.

    :param rows: The number of rows.
    :param columns: The values by the column's name: one for each row, or one for all rows.
    """

    rows: int
    columns: Mapping[str, Sequence[Value] | Same]

    def values(self, name: str) -> Iterable[Value]:
        """Return a column's values, one for each row."""
        values = self.columns[name]
        return repeat(values.value, self.rows) if isinstance(values, Same) else values

    def part(self, start: int, end: int) -> Table:
        """Return the rows from one index up to another."""
        if start == 0 and end >= self.rows:
            return self
        return Table(
            min(end, self.rows) - start,
            {
                name: values if isinstance(values, Same) else values[start:end]
                for name, values in self.columns.items()
            },
        )
