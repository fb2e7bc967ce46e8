from __future__ import annotations

import pytest

from airflow_provider_cytechbot.bulk import outcomes


@pytest.mark.parametrize(
    ("counts", "is_complete", "can_be_retried"),
    [
        ({}, True, False),
        ({"succeeded": 1, "unchanged": 2, "refused": 0}, True, False),
        ({"succeeded": 1, "refused": 1}, False, False),
        ({"invalid": 1}, False, False),
        ({"ambiguous": 1}, False, False),
        ({"refused": 1, "failed": 1}, False, True),
        ({"not_attempted": 1}, False, True),
    ],
)
def test_counts_decide_how_a_task_ends(counts, is_complete, can_be_retried):
    assert outcomes.is_complete(counts) is is_complete
    assert outcomes.can_be_retried(counts) is can_be_retried


def test_every_outcome_has_one_place():
    assert len(set(outcomes.OUTCOMES)) == 7
    assert outcomes.DONE | outcomes.TAKEN_AGAIN | {outcomes.AMBIGUOUS} == set(outcomes.OUTCOMES)
    assert outcomes.RETRYABLE <= outcomes.TAKEN_AGAIN


def test_a_description_leaves_out_what_did_not_occur():
    assert outcomes.describe({"not_attempted": 1, "succeeded": 12_000, "failed": 0}) == (
        "12,000 succeeded, 1 not attempted"
    )
    assert outcomes.describe({}) == "no rows"
