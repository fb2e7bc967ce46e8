from __future__ import annotations

from contextlib import closing

import pytest

from airflow_provider_cytechbot.storage import bucketed_spool
from airflow_provider_cytechbot.storage.bucketed_spool import BucketedSpool, bucket_of


@pytest.mark.parametrize("max_waiting_bytes", [1, 500, 10**6])
def test_each_record_is_in_the_bucket_of_its_key_in_the_order_of_appending(monkeypatch, max_waiting_bytes):
    monkeypatch.setattr(bucketed_spool, "_MAX_WAITING_BYTES", max_waiting_bytes)
    records = [[f"key-{number % 40}", number] for number in range(200)]
    with closing(BucketedSpool(8)) as spool:
        for key, number in records:
            spool.append(key, [key, number])
        assert spool.count == 200
        for found in (list(spool), list(spool)):
            assert len(found) == 8
            for number, bucket in enumerate(found):
                assert bucket == [record for record in records if bucket_of(record[0], 8) == number]
                assert bucket


def test_buckets_are_the_same_in_every_process():
    assert [bucket_of(key) for key in ("1", "24994546734902201", "ü", "\ud800", "")] == [
        163,
        121,
        157,
        148,
        127,
    ]


def test_records_have_the_type_that_was_named():
    with closing(BucketedSpool(2, tuple[str, int])) as spool:
        spool.append("a", ("a", 1))
        assert [*spool.bucket(bucket_of("a", 2))] == [("a", 1)]


def test_empty_buckets():
    with closing(BucketedSpool(4)) as spool:
        assert list(spool) == [[], [], [], []]
