from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.formats.csv_records import CsvEncoder
from airflow_provider_cytechbot.formats.file_types import FileType
from airflow_provider_cytechbot.formats.json_lines import JsonLinesEncoder
from airflow_provider_cytechbot.formats.parquet import ParquetEncoder

from ..rows import COLUMNS


class TestFileType:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("s3://bucket/answers.jsonl", ("jsonl", "none")),
            ("s3://bucket/answers.ndjson", ("jsonl", "none")),
            ("s3://bucket/answers.csv", ("csv", "none")),
            ("s3://bucket/answers.jsonl.gz", ("jsonl", "gzip")),
            ("s3://bucket/answers.csv.gz", ("csv", "gzip")),
            ("s3://bucket/answers.csv.zst", ("csv", "zstd")),
            ("s3://bucket/answers.parquet", ("parquet", "zstd")),
            ("s3://bucket/answers.json.gz", ("raw", "gzip")),
            ("ANSWERS.CSV.GZ", ("csv", "gzip")),
            ("a.csv/b.jsonl", ("jsonl", "none")),
            ("/data/v1.2/answers.2026.csv", ("csv", "none")),
        ],
    )
    def test_suffixes_decide(self, path, expected):
        assert FileType.of(path, None, None) == expected
        assert FileType.of(path, "", "") == expected

    @pytest.mark.parametrize(
        ("path", "file_format", "compression", "expected"),
        [
            ("answers", "csv", None, ("csv", "none")),
            ("answers.gz", "csv", None, ("csv", "gzip")),
            ("answers.txt", "jsonl", "gzip", ("jsonl", "gzip")),
            ("answers.csv", "jsonl", None, ("jsonl", "none")),
            ("answers.csv.gz", None, "none", ("csv", "none")),
            ("answers.csv", None, "gzip", ("csv", "gzip")),
        ],
    )
    def test_names_outdo_suffixes(self, path, file_format, compression, expected):
        assert FileType.of(path, file_format, compression) == expected

    @pytest.mark.parametrize(
        ("path", "file_format", "compression", "message"),
        [
            (
                "s3://b/answers",
                None,
                None,
                r"Field 'path' has no suffix .*\.jsonl, \.ndjson, \.csv.* file_format",
            ),
            ("s3://b/answers.gz", None, None, "Field 'path' has no suffix"),
            ("s3://b/answers.csv.zip", None, None, "Field 'path' has no suffix"),
            ("s3://b.csv/answers", None, None, "Field 'path' has no suffix"),
            ("s3://b/folder.csv/", None, None, "'path' is empty, or ends in a slash"),
            ("", None, None, "'path' is empty, or ends in a slash"),
            ("", "csv", None, "Field 'path' "),
            (
                "a.csv",
                "xlsx",
                None,
                "'file_format' must be one of jsonl, csv, parquet, raw, not 'xlsx'",
            ),
            ("a.csv", "None", None, "Field 'file_format'"),
            ("a.csv", None, "rar", "Field 'compression' must be one of gzip, zstd, none, not 'rar'"),
        ],
    )
    def test_errors_name_the_field(self, path, file_format, compression, message):
        with pytest.raises(CyTechBotFieldError, match=message):
            FileType.of(path, file_format, compression)

    def test_encoder_is_that_of_the_format(self):
        assert isinstance(FileType("csv", "none").encoder(COLUMNS), CsvEncoder)
        assert isinstance(FileType("jsonl", "gzip").encoder(COLUMNS), JsonLinesEncoder)
        assert isinstance(FileType("parquet", "zstd").encoder(COLUMNS), ParquetEncoder)

    def test_parquet_is_compressed_inside(self):
        assert FileType("parquet", "zstd").file_compression == "none"
        assert FileType("csv", "zstd").file_compression == "zstd"

    def test_parquet_that_is_not_installed_is_an_error_that_says_how_to(self, monkeypatch):
        monkeypatch.setattr("airflow_provider_cytechbot.formats.file_types.find_spec", lambda name: None)
        with pytest.raises(CyTechBotFieldError, match=r"'file_format'.*pip install .*\[parquet\]"):
            FileType.of("a.parquet", None, None)
