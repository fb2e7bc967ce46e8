from __future__ import annotations

import gzip

import pytest
import zstandard
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_cytechbot.api.errors import (
    CyTechBotFieldError,
    CyTechBotStorageError,
    CyTechBotStorageRefusedError,
)
from airflow_provider_cytechbot.formats.file_types import FileType
from airflow_provider_cytechbot.formats.reading import read_folder, read_rows
from airflow_provider_cytechbot.storage.locations import StorageLocation

from ..rows import COLUMNS, ODD_ANSWERS, rows_of, table
from ..stores import FakeS3File

CSV = b"subscriber_id,name\r\n24994546734902201,Ada\r\n24994546734902202,\r\n"
ROWS = [
    {"subscriber_id": "24994546734902201", "name": "Ada"},
    {"subscriber_id": "24994546734902202", "name": ""},
]
COMPRESS = {".gz": gzip.compress, ".zst": zstandard.compress, "": bytes}


@pytest.fixture
def folder(tmp_path):
    return StorageLocation("path", ObjectStoragePath(f"file://{tmp_path}"))


def put(folder, name, content):
    with folder.child(name).path.open("wb") as file:
        file.write(content)
    return folder.child(name)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_suffixes_name_format_and_compression(folder, suffix):
    assert list(read_rows(put(folder, f"a.csv{suffix}", COMPRESS[suffix](CSV)))) == ROWS


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_reads_what_the_encoders_write(folder, file_format, compression):
    from airflow_provider_cytechbot.formats.compression import compressor

    rows = rows_of(ODD_ANSWERS)
    file_type = FileType(file_format, compression)
    encoder = file_type.encoder(COLUMNS)
    compressing = compressor(file_type.file_compression)
    content = compressing.compress(encoder.header() + encoder.encode(table(rows)) + encoder.footer())
    location = put(folder, "answers", content + compressing.flush())
    found = list(read_rows(location, file_format, compression=compression))
    if file_format == "parquet":  # the only one with times
        found = [row | {"extracted_at": row["extracted_at"].isoformat()} for row in found]
    assert found == rows


def test_given_names_outdo_a_missing_suffix(folder):
    location = put(folder, "a", gzip.compress(CSV.replace(b",", b"|")))
    assert list(read_rows(location, "csv", compression="gzip", delimiter="|")) == ROWS


def test_reads_from_an_object_store(s3):
    s3.objects["bucket/a.csv"] = CSV
    location = StorageLocation("path", ObjectStoragePath("s3://bucket/a.csv"))
    assert list(read_rows(location)) == ROWS


def test_format_errors_come_before_the_first_row(folder):
    for name, message in (("a.xlsx", "no suffix"), ("a.json", "'raw'")):
        with pytest.raises(CyTechBotFieldError, match=f"Field 'path' .*{message}"):
            read_rows(folder.child(name))


def test_missing_file_is_refused(folder):
    with pytest.raises(CyTechBotStorageRefusedError, match="not there"):
        list(read_rows(folder.child("a.csv")))


def test_error_names_field_file_and_line(folder):
    location = put(folder, "a.csv", CSV + b"1,2,3\r\n")
    rows = read_rows(location)
    assert [next(rows), next(rows)] == ROWS
    with pytest.raises(CyTechBotStorageRefusedError, match=r"^Field 'path', file://.*a\.csv, has 3 .*line 4"):
        next(rows)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("cut", [1, 5, 9, 40])
def test_compressed_file_that_was_cut_short_is_refused(folder, suffix, cut):
    location = put(folder, f"a.csv{suffix}", COMPRESS[suffix](CSV)[:-cut])
    with pytest.raises(CyTechBotStorageRefusedError, match="cannot be decompressed"):
        list(read_rows(location))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_wrong_suffix_is_refused(folder, suffix):
    with pytest.raises(CyTechBotStorageRefusedError, match="cannot be decompressed"):
        list(read_rows(put(folder, f"a.csv{suffix}", CSV)))


def test_storage_that_fails_while_reading_may_be_read_again(s3, monkeypatch):
    s3.objects["bucket/a.csv"] = CSV

    def fail(*_):
        raise TimeoutError("too late")

    monkeypatch.setattr(FakeS3File, "_fetch_range", fail)
    with pytest.raises(CyTechBotStorageError, match="too late") as caught:
        list(read_rows(StorageLocation("path", ObjectStoragePath("s3://bucket/a.csv"))))
    assert caught.value.retryable


class TestFolder:
    def test_files_are_read_in_the_order_of_their_names(self, folder):
        for number in (2, 10, 1):
            put(folder, f"part-{number:05d}.csv.gz", gzip.compress(b"id\n%d\n" % number))
        put(folder, "_manifest.json", b"{}")
        put(folder, ".hidden.csv", b"x")
        assert [row["id"] for row in read_folder(folder)] == ["1", "2", "10"]

    def test_mixed_formats_are_refused(self, folder):
        put(folder, "a.csv", CSV)
        put(folder, "b.jsonl", b"{}")
        with pytest.raises(CyTechBotStorageRefusedError, match=r"a\.csv \(csv\), b\.jsonl \(jsonl\)"):
            read_folder(folder)

    def test_file_without_a_known_suffix_is_refused(self, folder):
        put(folder, "a.csv", CSV)
        put(folder, "notes.txt", b"")
        with pytest.raises(CyTechBotFieldError, match="no suffix"):
            read_folder(folder)

    def test_folder_in_the_folder_is_refused(self, folder, tmp_path):
        put(folder, "a.csv", CSV)
        (tmp_path / "b").mkdir()
        with pytest.raises(CyTechBotStorageRefusedError, match=r"/b, is a folder inside"):
            read_folder(folder)

    @pytest.mark.parametrize("name", ["", "missing"])
    def test_folder_without_data_files_is_refused(self, folder, name):
        with pytest.raises(CyTechBotStorageRefusedError, match="has no data files"):
            read_folder(folder.child(name) if name else folder)
