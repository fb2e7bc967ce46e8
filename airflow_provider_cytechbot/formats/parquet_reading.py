"""Reading Parquet: a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any

from airflow_provider_cytechbot.formats.lines import UnreadableFileError

ROWS_AT_A_TIME = 2_000
#: A wide file is read in fewer rows at a time.
CELLS_AT_A_TIME = 50_000
_BUFFER_BYTES = 1024 * 1024
_DAMAGED_HINT = "Write the file again."


def read_parquet(file: IO[bytes]) -> Iterator[dict[str, object]]:
    """
    Yield the rows of a Parquet file. Whole numbers stay exact, also those of decimals without a scale.

    :param file: The file, which can be read from any position.
    :raises UnreadableFileError: The file is not Parquet, or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False) as parquet:
            names = parquet.schema_arrow.names
            if len(set(names)) < len(names):
                raise UnreadableFileError("has a column more than once", "Give each column its own name.")
            rows = max(1, min(ROWS_AT_A_TIME, CELLS_AT_A_TIME // max(1, len(names))))
            for batch in parquet.iter_batches(batch_size=rows, use_threads=False):
                columns = [_values(column) for column in batch.columns]
                for values in zip(*columns, strict=True):
                    yield dict(zip(names, values, strict=True))
    except pa.ArrowException as error:
        raise UnreadableFileError(f"is not valid Parquet ({_first_line(error)})", _DAMAGED_HINT) from None
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
