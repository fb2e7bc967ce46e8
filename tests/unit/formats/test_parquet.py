from __future__ import annotations

import io
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from decimal import Decimal
from unittest.mock import Mock

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_cytechbot.formats import parquet as module
from airflow_provider_cytechbot.formats.lines import UnreadableFileError
from airflow_provider_cytechbot.formats.parquet import ParquetEncoder, read_parquet
from airflow_provider_cytechbot.formats.table import Column, Table

from ..rows import COLUMNS, NAMES, ODD_ANSWERS, row, rows_of, table


def write(*tables, codec="zstd"):
    encoder = ParquetEncoder(COLUMNS, codec=codec)
    return encoder.header() + b"".join(map(encoder.encode, tables)) + encoder.footer()


def as_read(rows):
    return [each | {"extracted_at": datetime.fromisoformat(each["extracted_at"])} for each in rows]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text() | st.none()))
def test_any_text_comes_back(answers):
    rows = rows_of([*answers, *ODD_ANSWERS])
    assert pq.read_table(io.BytesIO(write(table(rows)))).to_pylist() == as_read(rows)


def test_schema_is_typed_and_described():
    schema = pq.read_schema(io.BytesIO(write(table([row()]))))
    assert schema.names == NAMES
    assert str(schema.field("extracted_at").type) == "timestamp[us, tz=UTC]"
    assert {str(schema.field(name).type) for name in NAMES[:-1]} == {"string"}
    assert all(schema.field(name).metadata[b"description"] for name in NAMES)


def test_no_rows_are_a_file_with_the_schema():
    assert pq.read_table(io.BytesIO(write())).column_names == NAMES
    assert pq.read_table(io.BytesIO(write(table([])))).num_rows == 0


@pytest.mark.parametrize("codec", ["zstd", "gzip", "none"])
def test_codecs(codec):
    column = pq.ParquetFile(io.BytesIO(write(table([row()]), codec=codec))).metadata.row_group(0).column(0)
    assert column.compression == {"zstd": "ZSTD", "gzip": "GZIP", "none": "UNCOMPRESSED"}[codec]


def test_rows_are_written_in_groups_of_some_size(monkeypatch):
    monkeypatch.setattr(module, "ROWS_IN_A_GROUP", 10)
    encoder = ParquetEncoder(COLUMNS)
    start = encoder.header()
    written = [encoder.encode(table(rows_of(["a"] * 4))) for _ in range(7)]
    # Each comes when the next one is complete: it is written meanwhile.
    assert [bool(each) for each in written] == [False, False, False, False, False, True, False]
    metadata = pq.ParquetFile(io.BytesIO(start + b"".join(written) + encoder.footer())).metadata
    assert [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)] == [12, 12, 4]


def test_long_answers_make_smaller_groups(monkeypatch):
    monkeypatch.setattr(module, "BYTES_IN_A_GROUP", 100_000)
    encoder = ParquetEncoder(COLUMNS)
    start = encoder.header()
    written = [encoder.encode(table(rows_of(["a" * 30_000]))) for _ in range(7)]
    metadata = pq.ParquetFile(io.BytesIO(start + b"".join(written) + encoder.footer())).metadata
    assert [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)] == [4, 3]


def test_an_error_of_the_writer_is_not_lost(monkeypatch):
    encoder = ParquetEncoder(COLUMNS)
    encoder.header()
    monkeypatch.setattr(encoder._file, "write", Mock(side_effect=OSError("no room")))
    encoder.encode(table(rows_of(["a"])))
    with pytest.raises(OSError, match="no room"):
        encoder.footer()


def test_duckdb_reads_it(tmp_path):
    (tmp_path / "a.parquet").write_bytes(write(table(rows_of(ODD_ANSWERS))))
    found = duckdb.sql(
        f"SELECT subscriber_id, answer, epoch(extracted_at) FROM '{tmp_path}/a.parquet'"
    ).fetchall()
    moment = datetime(2026, 11, 22, 15, 14, 40, tzinfo=UTC).timestamp()
    assert found == [(str(10**16 + at), each, moment) for at, each in enumerate(ODD_ANSWERS)]


def test_integers_and_times_that_differ_from_row_to_row():
    columns = [Column("row", "", "integer"), Column("at", "", "time"), Column("id", "", "id")]
    encoder = ParquetEncoder(columns)
    times = ["2026-11-22T15:14:40+00:00", None, "2026-11-22T15:14:40.250000Z"]
    rows = Table(3, {"row": [1, None, 2**40], "at": times, "id": ["24994546734902201", "a", None]})
    read = pq.read_table(io.BytesIO(encoder.header() + encoder.encode(rows) + encoder.footer()))
    assert [str(field.type) for field in read.schema] == ["int64", "timestamp[us, tz=UTC]", "string"]
    assert read["row"].to_pylist() == [1, None, 2**40]
    assert read["at"].to_pylist() == [datetime.fromisoformat(each) if each else None for each in times]


@pytest.mark.parametrize("sizes", [[1] * 7, [3, 3, 1], [7], [1, 6]])
@pytest.mark.parametrize(("cells", "group"), [(1, 10**6), (15, 10**6), (10**6, 10**6), (1, 100)])
def test_rows_of_a_wide_file_come_back(monkeypatch, sizes, cells, group):
    monkeypatch.setattr(module, "WIDE_COLUMNS", len(COLUMNS))
    monkeypatch.setattr(module, "CELLS_IN_WIDE_ARRAYS", cells)
    monkeypatch.setattr(module, "BYTES_IN_A_WIDE_GROUP", group)
    rows = rows_of(ODD_ANSWERS[:7])
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    tables = [table(rows[start : start + size]) for start, size in zip(starts, sizes, strict=True)]
    assert pq.read_table(io.BytesIO(write(*tables))).to_pylist() == as_read(rows)


def test_memory_of_a_wide_file_does_not_grow_with_each_table():
    program = """
        import resource
        from airflow_provider_cytechbot.formats.parquet import ParquetEncoder
        from airflow_provider_cytechbot.formats.table import Column, Table

        names = [f"Question {number}" for number in range(10_000)]
        encoder = ParquetEncoder([Column(name, f"Answer to {name}") for name in names])
        encoder.header()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for row in range(60):
            encoder.encode(Table(1, {name: [f"{row} {name}"] for name in names}))
        encoder.footer()
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, check=True)
    assert int(run.stdout) < 150  # MB; an array for each cell takes 300


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
    monkeypatch.setattr(module, "ROWS_AT_A_TIME", 3)
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


@pytest.mark.parametrize(
    ("values", "width", "kind"),
    [
        ([2**62], pa.int64(), pa.timestamp("us", "UTC")),
        ([0], pa.int64(), pa.timestamp("us", "Atlantis/City")),
        ([2**30], pa.int32(), pa.date32()),
    ],
)
def test_values_that_python_does_not_have_are_refused(values, width, kind):
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read(written(pa.table({"a": pa.array(values, width).cast(kind)})))


def test_text_that_is_not_utf_8_is_refused():
    text = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read(written(pa.table({"a": text})))


def test_a_changed_byte_of_a_written_page_is_found():
    rows = rows_of([f"answer {number}" for number in range(50)])
    content = write(table(rows))
    found = 0
    for at in range(4, len(content) - 8):
        try:
            changed = read(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        except UnreadableFileError:
            found += 1
        else:
            # What is described twice, or that nobody reads, and the names of columns.
            assert [list(row.values()) for row in changed] == [list(row.values()) for row in as_read(rows)], (
                at
            )
    assert found > len(content) / 3
