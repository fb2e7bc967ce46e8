"""Parquet: a typed schema with descriptions, compressed row groups."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any

from airflow_provider_cytechbot.formats.table import Column, Same, Table, Value

#: What is held in memory until it is written, twice. Readers prefer more, but 50,000 cost 10 MB more.
ROWS_IN_A_GROUP = 25_000
#: Of very long answers, fewer rows make a group.
BYTES_IN_A_GROUP = 16 * 1024 * 1024


class ParquetEncoder:
    """
    Turns rows into row groups.

    A second thread writes each group while the next one is filled: pyarrow works without Python's lock.

    :param columns: The columns, in order.
    :param codec: What the pages are compressed with, a name of pyarrow's.
    """

    def __init__(self, columns: Sequence[Column], *, codec: str = "zstd") -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {"time": pa.timestamp("us", tz="UTC"), "integer": pa.int64()}
        self._schema = pa.schema(
            pa.field(
                column.name,
                types.get(column.kind, pa.string()),
                metadata={"description": column.description},
            )
            for column in columns
        )
        self._file = _Taken()
        # A dictionary helps where values repeat; pyarrow gives it up by itself where they do not.
        self._writer = pq.ParquetWriter(self._file, self._schema, compression=codec)
        self._thread = ThreadPoolExecutor(1, "parquet")
        self._group_before: Future[bytes] | None = None
        self._waiting: list[Any] = []  # record batches
        self._rows_waiting = self._bytes_waiting = 0

    def header(self) -> bytes:
        """Return what stands at the beginning of the file."""
        return self._file.take()

    def encode(self, table: Table) -> bytes:
        """Return the row group before the one that these rows completed, if they did."""
        import pyarrow as pa

        if not table.rows:
            return b""
        # Made at once, while the texts are in the processor's cache: later takes twice as long.
        arrays = [_array(table.columns[field.name], table.rows, field.type) for field in self._schema]
        batch = pa.record_batch(arrays, schema=self._schema)
        self._waiting.append(batch)
        self._rows_waiting += batch.num_rows
        self._bytes_waiting += batch.nbytes
        is_full = self._rows_waiting >= ROWS_IN_A_GROUP or self._bytes_waiting >= BYTES_IN_A_GROUP
        return self._next_group() if is_full else b""

    def footer(self) -> bytes:
        """Return the last row groups, and what readers begin with."""
        groups = self._next_group() + self._written()
        self._thread.shutdown()
        self._writer.close()
        return groups + self._file.take()

    def _next_group(self) -> bytes:
        """Begin to write the rows that wait, and return the row group before."""
        written = self._written()
        if self._waiting:
            self._group_before = self._thread.submit(self._write, self._waiting)
            self._waiting = []
            self._rows_waiting = self._bytes_waiting = 0
        return written

    def _written(self) -> bytes:
        group, self._group_before = self._group_before, None
        return group.result() if group else b""

    def _write(self, batches: list[Any]) -> bytes:
        import pyarrow as pa

        group = pa.Table.from_batches(batches)
        self._writer.write_table(group, row_group_size=group.num_rows)
        return self._file.take()


def _array(values: Sequence[Value] | Same, rows: int, kind: Any) -> Any:
    import pyarrow as pa

    if not isinstance(values, Same):
        if pa.types.is_timestamp(kind):
            return pa.array(values, pa.string()).cast(kind)
        return pa.array(values, kind)
    value: Any = values.value
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
