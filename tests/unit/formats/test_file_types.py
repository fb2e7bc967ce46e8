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
            ("answers.json", "jsonl", None, ("jsonl", "none")),
            ("answers.json.gz", "jsonl", "gzip", ("jsonl", "gzip")),
            ("answers.csv", "csv", "none", ("csv", "none")),
            ("answers.csv.gz", "csv", "gzip", ("csv", "gzip")),
            ("answers.parquet", None, "gzip", ("parquet", "gzip")),
            ("answers.parquet", None, "none", ("parquet", "none")),
        ],
    )
    def test_parameters_name_what_suffixes_do_not(self, path, file_format, compression, expected):
        assert FileType.of(path, file_format, compression) == expected

    @pytest.mark.parametrize(
        ("path", "file_format", "compression", "message"),
        [
            (
                "a.csv",
                "jsonl",
                None,
                r"is 'jsonl', but the suffix \.csv of the file means 'csv'",
            ),
            ("a.jsonl.gz", "csv", None, r"'file_format' is 'csv', but the suffix \.jsonl"),
            ("a.csv", "parquet", None, "'file_format' is 'parquet'"),
            ("a.parquet", "csv", None, "'file_format' is 'csv'"),
            ("a.json", "csv", None, "'file_format' is 'csv'"),
            ("a.jsonl", "raw", None, "'file_format' is 'raw'"),
            (
                "a.csv.gz",
                None,
                "none",
                r"is 'none', but the suffix \.gz of the file means 'gzip'",
            ),
            ("a.csv.gz", None, "zstd", r"'compression' is 'zstd', but the suffix \.gz"),
            ("a.jsonl.zst", None, "gzip", r"'compression' is 'gzip', but the suffix \.zst"),
            ("a.gz", "csv", "zstd", r"'compression' is 'zstd', but the suffix \.gz"),
            (
                "A.CSV",
                None,
                "gzip",
                r"is 'gzip', but the suffix \.csv of the file means 'none'",
            ),
            ("a.json", None, "gzip", "'compression' is 'gzip'"),
            ("a.parquet.gz", None, "zstd", "'compression' is 'zstd'"),
            ("a.csv.bz2", "csv", None, r"ends in \.bz2"),
            ("a.jsonl.xz", "jsonl", "gzip", r"ends in \.xz"),
            ("a.csv.GZIP", "csv", "gzip", r"ends in \.gzip"),
            ("a.xlsx", "csv", None, r"ends in \.xlsx"),
            ("a.orc.gz", "jsonl", None, r"ends in \.orc"),
        ],
    )
    def test_contradictions_are_refused(self, path, file_format, compression, message):
        with pytest.raises(CyTechBotFieldError, match=message):
            FileType.of(path, file_format, compression)

    def test_errors_name_the_parameter_of_the_path(self):
        with pytest.raises(CyTechBotFieldError, match="Field 'retry_report' has no suffix"):
            FileType.of("a", None, None, field="retry_report")

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

    def test_parquet_that_is_not_installed_is_an_error_with_the_extra_to_install(self, monkeypatch):
        monkeypatch.setattr("airflow_provider_cytechbot.formats.file_types.find_spec", lambda name: None)
        with pytest.raises(CyTechBotFieldError, match=r"'file_format'.*pip install .*\[parquet\]"):
            FileType.of("a.parquet", None, None)
