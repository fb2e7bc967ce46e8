"""Parquet, written and read: a typed schema with descriptions, compressed row groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import IO, Any

from airflow_provider_cytechbot.formats.lines import UnreadableFileError
from airflow_provider_cytechbot.formats.table import Column, Same, Table, Value

#: Two groups are held in memory. Readers prefer larger ones, but 50,000 rows cost 10 MB more.
ROWS_IN_A_GROUP = 25_000
#: A group of very long answers has fewer rows.
BYTES_IN_A_GROUP = 16 * 1024 * 1024
#: From this number of columns on, memory goes into arrays and column writers rather than into answers.
WIDE_COLUMNS = 1_000
#: Each group of a wide file costs about a kilobyte for each column, so that larger ones are better.
BYTES_IN_A_WIDE_GROUP = 48 * 1024 * 1024
#: How many cells of a wide file are gathered until arrays are made: one array costs as much as ten cells.
CELLS_IN_WIDE_ARRAYS = 500_000
#: How many rows and cells a reader holds in memory: a wide file is read in fewer rows at a time.
ROWS_AT_A_TIME = 2_000
CELLS_AT_A_TIME = 50_000
_BUFFER_BYTES = 1024 * 1024
_DAMAGED_HINT = "Write the file again."


class ParquetEncoder:
    """
    Encodes rows as row groups.

    A second thread writes each group while the next one is filled: pyarrow releases Python's lock.

    :param columns: The columns, in order.
    :param codec: The compression of the pages, by pyarrow's name.
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
        self._is_wide = len(columns) >= WIDE_COLUMNS
        self._max_bytes = BYTES_IN_A_WIDE_GROUP if self._is_wide else BYTES_IN_A_GROUP
        self._file = _MemoryFile()
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            compression=codec,
            # pyarrow drops a dictionary where values do not repeat.
            use_dictionary=not self._is_wide,
            write_statistics=not self._is_wide,
            write_page_checksum=True,
        )
        self._thread = ThreadPoolExecutor(1, "parquet")
        self._previous_group: Future[bytes] | None = None
        self._gathered: dict[str, list[Value]] = {}
        self._rows_gathered = 0
        self._waiting: list[Any] = []  # record batches
        self._rows_waiting = self._bytes_waiting = 0

    def header(self) -> bytes:
        """Return the beginning of the file."""
        return self._file.take()

    def encode(self, table: Table) -> bytes:
        """Return the previous row group if these rows complete one."""
        if not table.rows:
            return b""
        if self._is_wide:
            self._gather(table)
            if self._rows_gathered * len(self._schema) < CELLS_IN_WIDE_ARRAYS:
                return b""
            table = self._take_gathered()
        self._add(table)
        is_full = self._rows_waiting >= ROWS_IN_A_GROUP or self._bytes_waiting >= self._max_bytes
        return self._next_group() if is_full else b""

    def footer(self) -> bytes:
        """Return the last row groups and the footer."""
        if self._rows_gathered:
            self._add(self._take_gathered())
        groups = self._next_group() + self._written()
        self._thread.shutdown()
        self._writer.close()
        return groups + self._file.take()

    def _gather(self, table: Table) -> None:
        for name in self._schema.names:
            self._gathered.setdefault(name, []).extend(table.values(name))
        self._rows_gathered += table.rows

    def _take_gathered(self) -> Table:
        table = Table(self._rows_gathered, self._gathered)
        self._gathered, self._rows_gathered = {}, 0
        return table

    def _add(self, table: Table) -> None:
        import pyarrow as pa

        # Made at once, while the texts are in the processor's cache: later takes twice as long.
        arrays = [_array(table.columns[field.name], table.rows, field.type) for field in self._schema]
        batch = pa.record_batch(arrays, schema=self._schema)
        self._waiting.append(batch)
        self._rows_waiting += batch.num_rows
        self._bytes_waiting += batch.nbytes
        if self._is_wide and len(self._waiting) > 1:
            self._waiting = pa.Table.from_batches(self._waiting).combine_chunks().to_batches()

    def _next_group(self) -> bytes:
        """Begin to write the waiting rows, and return the previous row group."""
        written = self._written()
        if self._waiting:
            self._previous_group = self._thread.submit(self._write, self._waiting)
            self._waiting = []
            self._rows_waiting = self._bytes_waiting = 0
        return written

    def _written(self) -> bytes:
        group, self._previous_group = self._previous_group, None
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


class _MemoryFile:
    """A file for pyarrow, from which the bytes can be taken."""

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
        """Do nothing. pyarrow calls it."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        return taken


def read_parquet(file: IO[bytes]) -> Iterator[dict[str, object]]:
    """
    Yield the rows of a Parquet file. Whole numbers stay exact, also those of decimals without a scale.

    :param file: The file, which can be read from any position.
    :raises UnreadableFileError: The file is not Parquet, or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(
            file, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        ) as parquet:
            names = parquet.schema_arrow.names
            if len(set(names)) < len(names):
                raise UnreadableFileError("has a column more than once", "Give each column its own name.")
            rows = max(1, min(ROWS_AT_A_TIME, CELLS_AT_A_TIME // max(1, len(names))))
            left = parquet.metadata.num_rows
            for batch in parquet.iter_batches(batch_size=rows, use_threads=False):
                left -= batch.num_rows
                try:
                    columns = [_values(column) for column in batch.columns]
                except pa.ArrowException as error:  # its kind of error for a time zone, where pytz is missing
                    raise ValueError(error) from None
                for values in zip(*columns, strict=True):
                    yield dict(zip(names, values, strict=True))
            if left:  # checksums do not cover the headers of pages
                raise UnreadableFileError("is damaged (rows are missing or too many)", _DAMAGED_HINT)
    except pa.ArrowException as error:
        raise UnreadableFileError(f"is not valid Parquet ({_first_line(error)})", _DAMAGED_HINT) from None
    except (ArithmeticError, LookupError, ValueError) as error:
        # Python has no such value: an unknown time zone, the year 200000, text that is not UTF-8.
        problem = f"has values that cannot be read ({_first_line(error)})"
        raise UnreadableFileError(problem, _DAMAGED_HINT) from None
    except OSError as error:
        if type(error) is not OSError or error.errno is not None:
            raise
        # pyarrow raises a bare OSError for damaged pages.
        raise UnreadableFileError(f"is damaged ({_first_line(error)})", _DAMAGED_HINT) from None


def _values(column: Any) -> list[object]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        # Python's datetime has no nanoseconds.
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    values: list[object] = column.to_pylist()
    if pa.types.is_decimal(kind) and kind.scale <= 0:
        return [int(value) if isinstance(value, Decimal) else value for value in values]
    return values


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
