"""Parquet: a typed schema with descriptions, compressed row groups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from airflow_provider_cytechbot.exports.table import Column, Same, Table

#: What is held in memory until it is written. Readers prefer more, of which 50,000 would cost 30 MB more.
ROWS_IN_A_GROUP = 20_000


class ParquetEncoder:
    """
    Turns rows into row groups.

    :param columns: The columns, in order.
    :param codec: What the pages are compressed with, a name of pyarrow's.
    """

    def __init__(self, columns: Sequence[Column], *, codec: str = "zstd") -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = pa.schema(
            pa.field(
                column.name,
                pa.timestamp("us", tz="UTC") if column.is_time else pa.string(),
                metadata={"description": column.description},
            )
            for column in columns
        )
        self._file = _Taken()
        # A dictionary helps where values repeat; pyarrow gives it up by itself where they do not.
        self._writer = pq.ParquetWriter(self._file, self._schema, compression=codec)
        self._waiting: list[Table] = []
        self._rows_waiting = 0

    def header(self) -> bytes:
        """Return what stands at the beginning of the file."""
        return self._file.take()

    def encode(self, table: Table) -> bytes:
        """Return the row group that these rows completed, if they did."""
        self._waiting.append(table)
        self._rows_waiting += table.rows
        return self._row_group() if self._rows_waiting >= ROWS_IN_A_GROUP else b""

    def footer(self) -> bytes:
        """Return the last row group, and what readers begin with."""
        rest = self._row_group() if self._rows_waiting else b""
        self._writer.close()
        return rest + self._file.take()

    def _row_group(self) -> bytes:
        import pyarrow as pa

        arrays = [self._array(field.name, field.type) for field in self._schema]
        self._writer.write_batch(
            pa.record_batch(arrays, schema=self._schema), row_group_size=self._rows_waiting
        )
        self._waiting.clear()
        self._rows_waiting = 0
        return self._file.take()

    def _array(self, name: str, kind: Any) -> Any:
        """Return a column of all rows that wait: one long list for pyarrow, not many short ones."""
        import pyarrow as pa

        values = [table.columns[name] for table in self._waiting]
        if not any(isinstance(each, Same) for each in values):
            return pa.array(list(chain.from_iterable(values)), kind)
        return pa.concat_arrays(
            _repeated(each.value, table.rows, kind) if isinstance(each, Same) else pa.array(each, kind)
            for each, table in zip(values, self._waiting, strict=True)
        )


def _repeated(value: Any, rows: int, kind: Any) -> Any:
    import pyarrow as pa

    if value is not None and pa.types.is_timestamp(kind):
        value = datetime.fromisoformat(value)
    return pa.repeat(pa.scalar(value, kind), rows)


class _Taken:
    """A file for pyarrow to write to, from which what was written can be taken away."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._position = 0

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        self._position += len(self._written[-1])
        return len(self._written[-1])

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Do nothing: pyarrow asks for it."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        return taken
