from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.flow_answer_batches import Answer
from airflow_provider_cytechbot.storage.spool import Spool

FIRST = [("1", [Answer("1", "Why?", "a"), Answer("2", None, None)]), ("2", [])]
SECOND = [("ü", [Answer("1", "Why?", ""), Answer(None, "Why?", "👍")])]


@pytest.fixture
def spool():
    spool = Spool()
    yield spool
    spool.close()


def test_gives_back_what_it_took_as_often_as_asked(spool):
    spool.fill([FIRST, SECOND])
    assert list(spool) == list(spool) == [FIRST, SECOND]


def test_reads_at_a_place(spool):
    places = [spool.add(FIRST), spool.add(SECOND)]
    assert [spool.read(place) for place in reversed(places)] == [SECOND, FIRST]


def test_knows_the_questions_in_the_order_in_which_they_were_met(spool):
    spool.fill([FIRST, SECOND])
    assert spool.questions == [("1", "Why?"), ("2", None), (None, "Why?")]


def test_nothing(spool):
    assert list(spool.fill([])) == []
