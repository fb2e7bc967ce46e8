"""The outcomes that a row of a bulk write can have."""

from __future__ import annotations

from collections.abc import Mapping

SUCCEEDED = "succeeded"
UNCHANGED = "unchanged"
REFUSED = "refused"
INVALID = "invalid"
AMBIGUOUS = "ambiguous"
FAILED = "failed"
NOT_ATTEMPTED = "not_attempted"

#: All outcomes, in the order in which counts show them.
OUTCOMES = (SUCCEEDED, UNCHANGED, REFUSED, INVALID, AMBIGUOUS, FAILED, NOT_ATTEMPTED)
#: Outcomes that leave nothing to do.
DONE = frozenset({SUCCEEDED, UNCHANGED})
#: Outcomes that another try of the same task can change.
RETRYABLE = frozenset({FAILED, NOT_ATTEMPTED})
#: Outcomes after which ``retry_report`` takes a row from the source again.
TAKEN_AGAIN = frozenset({REFUSED, INVALID, FAILED, NOT_ATTEMPTED})


def is_complete(counts: Mapping[str, int]) -> bool:
    """
    Return whether every row is done.

    :param counts: The number of rows by outcome.
    """
    return not any(number for outcome, number in counts.items() if outcome not in DONE)


def can_be_retried(counts: Mapping[str, int]) -> bool:
    """
    Return whether a retry of the task can change the outcome of a row.

    :param counts: The number of rows by outcome.
    """
    return any(counts.get(outcome) for outcome in RETRYABLE)


def describe(counts: Mapping[str, int]) -> str:
    """
    Return the counts as a text for logs and errors, without the outcomes that did not occur.

    :param counts: The number of rows by outcome.
    """
    found = [f"{counts[each]:,} {each.replace('_', ' ')}" for each in OUTCOMES if counts.get(each)]
    return ", ".join(found) or "no rows"
