from __future__ import annotations

import pytest

from airflow_provider_cytechbot.exports.manifest import MAX_NAMES, manifest_columns, urls_of
from airflow_provider_cytechbot.formats.table import Column

COLUMNS = [Column("a", "", "id"), Column("b", "", "time"), Column("c", "", "integer")]


def test_columns_have_names_and_types():
    assert manifest_columns(COLUMNS) == [
        {"name": "a", "type": "string"},
        {"name": "b", "type": "timestamp"},
        {"name": "c", "type": "integer"},
    ]


@pytest.mark.parametrize(
    ("earlier", "new"), [((), [True, True, True]), (("a", "c", "gone"), [False, True, False])]
)
def test_columns_that_the_export_before_did_not_have_are_new(earlier, new):
    assert [column["is_new"] for column in manifest_columns(COLUMNS, earlier)] == new


def test_columns_that_an_xcom_cannot_hold_are_left_out():
    assert manifest_columns([Column("x" * (MAX_NAMES // 2), "")] * 2) is not None
    assert manifest_columns([Column("x" * (MAX_NAMES // 2), "")] * 3) is None


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("s3://aws_default@bucket/a/b.csv", "s3://bucket/a/b.csv"),
        ("s3://bucket/a/b.csv", "s3://bucket/a/b.csv"),
        ("s3a://conn@bucket/a@b.csv", "s3://bucket/a@b.csv"),
        ("gcs://conn@bucket/ä 1?#%.csv", "gs://bucket/ä 1?#%.csv"),
        ("abfs://conn@container@account/a.csv", "abfs://account/a.csv"),
        ("sftp://user:password@host:22/a.csv", "sftp://host:22/a.csv"),
        ("file:///data/a.csv", "file:///data/a.csv"),
        ("/data/a@b.csv", "file:///data/a@b.csv"),
    ],
)
def test_urls_have_no_connection(uri, url):
    assert urls_of([uri]) == [url]
