from __future__ import annotations

import pytest

from airflow_provider_cytechbot.transport.progress_watch import MIN_BYTES, ProgressWatch, SlowAnswerError


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
