from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.transport.answer_limits import (
    MIN_BYTES,
    ProgressWatch,
    SlowAnswerError,
    collect,
    max_bytes,
)


def test_a_body_is_collected_up_to_its_limit():
    body = bytearray()
    assert collect(body, b"abc", 5)
    assert collect(body, b"de", 5)
    assert not collect(body, b"f", 5)
    assert body == b"abcde"


def test_answers_of_a_whole_campaign_may_be_largest():
    calls = (
        build(endpoints.CREATE_CONTACT_GROUP, name="Riders"),
        build(endpoints.GET_FLOW_CAMPAIGNS),
        build(endpoints.GET_FLOW_ANSWERS, flow_campaign_id=1),
    )
    limits = [max_bytes(call) for call in calls]
    assert limits == sorted(set(limits))


def feed(*reads, timeout=60):
    watch = ProgressWatch(timeout)
    for size, waited in reads:
        watch.received(size, waited)


def test_the_first_byte_may_take_long():
    feed((1, 10_000), (1, 1))


def test_a_byte_every_half_second_is_too_slow():
    with pytest.raises(SlowAnswerError):
        feed(*[(1, 0.5)] * 500)


def test_the_lowest_rate_is_enough():
    feed(*[(MIN_BYTES, 119)] * 100)


def test_one_slow_window_after_a_fast_one_fails():
    with pytest.raises(SlowAnswerError):
        feed((10**6, 0), (10**6, 1), (1, 59), (1, 59), (1, 59))


def test_the_end_of_an_answer_never_counts_as_slow():
    feed((1, 0), (0, 10_000))
