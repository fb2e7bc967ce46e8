from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.transport.answer_limits import (
    MAX_FRAMING_BYTES,
    MIN_BYTES,
    FramingAllowance,
    OversizedFramingError,
    ProgressWatch,
    SlowAnswerError,
    max_bytes,
)


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
        watch.progressed(size)
        watch.waited(waited)


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


def test_what_is_not_part_of_the_body_is_no_progress():
    with pytest.raises(SlowAnswerError):
        feed(*[(0, 59)] * 10)  # headers, trailers or extensions of chunks


class TestFramingAllowance:
    def test_chunks_of_one_byte_are_allowed(self):
        allowance = FramingAllowance()
        for _ in range(MAX_FRAMING_BYTES):
            allowance.count(received=len("1\r\nx\r\n"), body=1)

    @pytest.mark.parametrize("body", [0, 1, 100])
    def test_what_is_not_part_of_the_body_is_limited(self, body):
        allowance = FramingAllowance()

        def receive():
            for _ in range(500):
                allowance.count(received=4000, body=body)

        with pytest.raises(OversizedFramingError):
            receive()

    def test_a_large_body_saves_up_no_more(self):
        allowance = FramingAllowance()
        allowance.count(received=10**8, body=10**8)
        with pytest.raises(OversizedFramingError):
            allowance.count(received=MAX_FRAMING_BYTES + 1)
