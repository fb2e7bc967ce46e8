from __future__ import annotations

from contextlib import closing

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError
from airflow_provider_cytechbot.storage.spool import Spool

from ...full_disk import files_of_at_most

RECORDS = [{"a": 1}, ["ü", None, 2**60], "text", b"bytes", {}]


@pytest.fixture
def spool():
    with closing(Spool()) as spool:
        yield spool


def test_returns_records_in_their_order_as_often_as_needed(spool):
    for record in RECORDS:
        spool.append(record)
    assert list(spool) == list(spool) == RECORDS
    assert spool.count == len(RECORDS)


def test_reads_at_a_place(spool):
    places = list(map(spool.append, RECORDS))
    assert [spool.read(place) for place in reversed(places)] == RECORDS[::-1]


def test_reading_and_appending_can_alternate(spool):
    places = []
    found = []
    for record in RECORDS:
        places.append(spool.append(record))
        found.append(spool.read(places[0]))
    assert found == RECORDS[:1] * len(RECORDS)
    iterated = iter(spool)
    assert next(iterated) == RECORDS[0]
    spool.append("last")
    assert spool.read(places[2]) == RECORDS[2]
    assert [*iterated] == [*RECORDS[1:], "last"]


def test_records_have_the_type_that_was_named():
    with closing(Spool(tuple[str, int])) as spool:
        assert spool.read(spool.append(("a", 1))) == ("a", 1)


def test_full_disk_is_an_error_that_a_retry_may_help(spool):
    with (
        pytest.raises(CyTechBotStorageError, match=r"TMPDIR.*no room left") as caught,
        files_of_at_most(50_000),
    ):
        spool.append("x" * 100_000)
    assert caught.value.retryable


def test_is_closed_on_a_full_disk_without_another_error():
    spool = Spool()
    with files_of_at_most(100):
        spool.append("x" * 1_000)  # it is still in memory
        spool.close()
    assert spool._file.closed
