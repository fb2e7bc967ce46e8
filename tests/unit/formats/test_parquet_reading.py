from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_cytechbot.formats import parquet_reading
from airflow_provider_cytechbot.formats.lines import UnreadableFileError
from airflow_provider_cytechbot.formats.parquet_reading import read_parquet


def written(table, **options):
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def read(content):
    return list(read_parquet(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([24994546734902201, None], pa.int64(), [24994546734902201, None]),
        ([2**64 - 1], pa.uint64(), [2**64 - 1]),
        ([Decimal(24994546734902201), None], pa.decimal128(38, 0), [24994546734902201, None]),
        ([Decimal("1.50")], pa.decimal128(10, 2), [Decimal("1.50")]),
        (["a", None, ""], pa.string(), ["a", None, ""]),
        (["a", "a"], pa.dictionary(pa.int32(), pa.string()), ["a", "a"]),
        ([["a", "b"]], pa.list_(pa.string()), [["a", "b"]]),
        ([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("ns", "UTC"), [datetime(2026, 1, 1, tzinfo=UTC)]),
        ([2.5], pa.float64(), [2.5]),
    ],
)
def test_values_are_exact(values, kind, expected):
    found = [row["a"] for row in read(written(pa.table({"a": pa.array(values, kind)})))]
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


def test_nanoseconds_are_cut_off():
    content = written(pa.table({"a": pa.array([1_000_000_001], pa.timestamp("ns"))}))
    assert read(content) == [{"a": datetime(1970, 1, 1, 0, 0, 1)}]  # noqa: DTZ001 - it has no zone


def test_rows_are_read_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(parquet_reading, "ROWS_AT_A_TIME", 3)
    content = written(pa.table({"a": list(range(10))}), row_group_size=4)
    assert [row["a"] for row in read(content)] == list(range(10))


def test_column_that_comes_twice_is_refused():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(UnreadableFileError, match="more than once"):
        read(written(table))


@pytest.mark.parametrize("content", [written(pa.table({"a": [1]}))[:-10], b"id,name\n1,2\n", b""])
def test_file_that_is_not_parquet_is_refused(content):
    with pytest.raises(UnreadableFileError, match="not valid Parquet"):
        read(content)


def test_damaged_page_is_refused():
    table = pa.table({"a": ["x" * 100] * 1000})
    content = bytearray(written(table, compression="zstd", use_dictionary=False))
    content[20:60] = b"\xff" * 40
    with pytest.raises(UnreadableFileError):
        read(bytes(content))
