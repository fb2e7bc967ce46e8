from __future__ import annotations

from contextlib import closing

import pytest

from airflow_provider_cytechbot.api.flow_answer_batches import Answer
from airflow_provider_cytechbot.exports.answer_spool import AnswerSpool

FIRST = [("1", [Answer("1", "Why?", "a"), Answer("2", None, None)]), ("2", [])]
SECOND = [("ü", [Answer("1", "Why?", ""), Answer(None, "Why?", "👍")])]


@pytest.fixture
def spool():
    with closing(AnswerSpool()) as spool:
        yield spool


def test_returns_batches_as_often_as_needed(spool):
    spool.fill([FIRST, SECOND])
    assert list(spool) == list(spool) == [FIRST, SECOND]


def test_reads_at_a_place(spool):
    places = [spool.add(FIRST), spool.add(SECOND)]
    assert [spool.read(place) for place in reversed(places)] == [SECOND, FIRST]
    assert spool.read_numbered(places[1]) == [("ü", [(0, ""), (2, "👍")])]


def test_lists_the_questions_in_the_order_in_which_they_first_occur(spool):
    spool.fill([FIRST, SECOND])
    assert spool.questions == [("1", "Why?"), ("2", None), (None, "Why?")]


def test_no_batches(spool):
    assert list(spool.fill([])) == []
