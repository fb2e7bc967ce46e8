from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError, CyTechBotStorageError
from airflow_provider_cytechbot.bulk.ledger import ReportLine
from airflow_provider_cytechbot.bulk.report import COLUMNS, Report

LINES = [
    ReportLine(
        1, "24994546734902201", "assign", "label_ids", "succeeded", None, None, "2026-01-01T00:00:00+00:00"
    ),
    ReportLine(3, None, "none", None, "invalid", 'wrote "no", again', None, None),
]


def write(path, lines=LINES):
    with Report(str(path)) as report:
        report.write(lines)


def test_csv(tmp_path):
    write(tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == [column.name for column in COLUMNS]
    assert (first["row"], first["key"], first["reason"]) == ("1", "24994546734902201", "")
    assert (second["row"], second["key"], second["reason"]) == ("3", "", 'wrote "no", again')


def test_compressed_json_lines(tmp_path):
    write(tmp_path / "report.jsonl.gz")
    with gzip.open(tmp_path / "report.jsonl.gz", "rt") as file:
        found = [json.loads(line) for line in file]
    assert [(line["row"], line["outcome"], line["attempted_at"]) for line in found] == [
        (1, "succeeded", "2026-01-01T00:00:00+00:00"),
        (3, "invalid", None),
    ]


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write(tmp_path / "report.parquet")
    table = parquet.read_table(tmp_path / "report.parquet")
    assert table.column_names == [column.name for column in COLUMNS]
    assert table.column("key").to_pylist() == ["24994546734902201", None]
    assert table.column("row").to_pylist() == [1, 3]
    assert table.column("attempted_at").to_pylist() == [datetime(2026, 1, 1, tzinfo=UTC), None]


@pytest.mark.parametrize("name", ["report.csv", "report.jsonl"])
def test_a_report_without_rows(tmp_path, name):
    write(tmp_path / name, [])
    assert (tmp_path / name).read_text().count("\n") == (1 if name.endswith("csv") else 0)


def test_many_lines_keep_their_order(tmp_path):
    write(tmp_path / "report.csv", (LINES[0]._replace(row=row) for row in range(1, 2_501)))
    with (tmp_path / "report.csv").open(newline="") as file:
        assert [int(line["row"]) for line in csv.DictReader(file)] == list(range(1, 2_501))


def test_nothing_appears_after_an_error(tmp_path):
    (tmp_path / "report.csv").write_text("old")

    def lines():
        yield LINES[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(tmp_path / "report.csv", lines())
    assert (tmp_path / "report.csv").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["report.csv"]


@pytest.mark.parametrize("name", ["report.json", "report", "report.xlsx"])
def test_an_unknown_format_is_refused(tmp_path, name):
    with pytest.raises(CyTechBotFieldError, match="report_path"):
        Report(str(tmp_path / name))


def test_a_location_that_cannot_be_written_fails_when_it_is_opened(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CyTechBotStorageError):
        Report(str(tmp_path / "file" / "report.csv"))
