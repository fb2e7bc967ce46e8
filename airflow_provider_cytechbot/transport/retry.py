"""The one retry policy: what is repeated, how often, after which wait. For tenacity, synchronous or not."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotUnansweredError

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)

#: Seconds before the first repeat; each further wait is about twice as long.
FIRST_WAIT = 0.5
MAX_WAIT = 30.0
#: A server that asks for a longer wait is asked again all the same: the task holds a slot meanwhile.
MAX_RETRY_AFTER = 60.0


def repeat(ask: Callable[[Call[T], bool], R], call: Call[T], max_retries: int) -> R:
    """
    Ask, and ask again as often as the policy allows.

    :param ask: Sends a call and returns what came of it. Its second argument says whether an earlier
        attempt may have acted without our hearing of it.
    :param call: The call.
    :param max_retries: How often a call is repeated at the most.
    :raises CyTechBotError: What the last attempt ended with.
    """
    attempts = _Attempts(call)

    def once() -> R:
        try:
            return ask(call, attempts.answer_was_lost)
        except CyTechBotError as error:
            failure = attempts.failed(error)
        raise failure

    return Retrying(**_policy(call, max_retries))(once)


async def repeat_async(ask: Callable[[Call[T], bool], Awaitable[R]], call: Call[T], max_retries: int) -> R:
    """
    Ask without blocking, and ask again as often as the policy allows.

    :param ask: As for :func:`repeat`.
    :param call: The call.
    :param max_retries: How often a call is repeated at the most.
    :raises CyTechBotError: What the last attempt ended with.
    """
    attempts = _Attempts(call)

    async def once() -> R:
        try:
            return await ask(call, attempts.answer_was_lost)
        except CyTechBotError as error:
            failure = attempts.failed(error)
        raise failure

    if not max_retries:  # without tenacity, which takes a fifth of the time of a call
        return await once()
    return await AsyncRetrying(**_policy(call, max_retries))(once)


class _Attempts:
    """What the attempts of one call know of each other."""

    def __init__(self, call: Call[Any]) -> None:
        self.answer_was_lost = False
        self._call = call

    def failed(self, error: CyTechBotError) -> CyTechBotError:
        """Return what a failed attempt means for its call. To be raised outside the ``except``."""
        failure = error
        if isinstance(error, CyTechBotUnansweredError):
            self.answer_was_lost = self.answer_was_lost or error.may_have_acted
            if self.answer_was_lost and not error.may_have_acted:
                # This attempt reached nobody, but an earlier one may have acted, and the caller must know.
                error = copy(error)
                error.was_sent, error.was_rejected = True, False
            failure = self._call.as_unanswered(error)
        failure.request = self._call.request
        return failure


def _policy(call: Call[Any], max_retries: int) -> dict[str, Any]:
    """
    Return the arguments of ``tenacity.Retrying`` or ``tenacity.AsyncRetrying`` for a call.

    :param call: The call; a create is repeated only where it cannot have been sent.
    :param max_retries: How often a call is repeated at the most.
    """

    def may_repeat(error: BaseException) -> bool:
        return (
            isinstance(error, CyTechBotUnansweredError)
            and error.is_transient
            and (call.is_repeatable or not error.was_sent)
        )

    return {
        "retry": retry_if_exception(may_repeat),
        "stop": stop_after_attempt(max_retries + 1),
        "wait": _wait,
        "before_sleep": _tell,
        "reraise": True,
    }


def _wait(state: RetryCallState) -> float:
    retry_after = getattr(_error(state), "retry_after", None)
    if retry_after is not None:
        return min(float(retry_after), MAX_RETRY_AFTER)
    return (wait_exponential(FIRST_WAIT, max=MAX_WAIT) + wait_random(0, FIRST_WAIT))(state)


def _tell(state: RetryCallState) -> None:
    wait = state.next_action.sleep if state.next_action else 0.0
    log.warning("%s Asking again in %.1f s (attempt %d failed).", _error(state), wait, state.attempt_number)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
