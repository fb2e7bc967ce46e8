"""The retry policy of both transports: which calls are retried, how often, after which wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from copy import copy
from functools import partial
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
from airflow_provider_cytechbot.transport import metrics

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.transport.rate_limiter import RateLimiter

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)

#: Seconds before the first retry; each further wait is about twice as long.
FIRST_WAIT = 0.5
MAX_WAIT = 30.0
#: The longest ``Retry-After`` that is honoured, because the task holds a slot while it waits.
MAX_RETRY_AFTER = 60.0


def send_with_retries(
    send: Callable[[Call[T], bool], R],
    call: Call[T],
    max_retries: int,
    limiter: RateLimiter | None = None,
    ends_before_long_wait: Callable[[], bool] | None = None,
) -> R:
    """
    Send a call, and send it again as often as the policy allows.

    :param send: Sends a call and returns the result. Its second argument is whether an earlier attempt
        may have acted although its answer was lost.
    :param call: The call.
    :param max_retries: How often a call is repeated at most.
    :param limiter: Is paused when the server answers that there are too many requests.
    :param ends_before_long_wait: Returns whether the caller waits for a ``Retry-After`` above
        :data:`MAX_RETRY_AFTER` itself. Then the call ends with the error.
    :raises CyTechBotError: The error of the last attempt.
    """
    attempts = _Attempts(call, limiter)

    def once() -> R:
        try:
            return attempts.succeeded(send(call, attempts.begin()))
        except CyTechBotError as error:
            failure = attempts.failed(error)
        raise failure

    return Retrying(**_policy(call, max_retries, ends_before_long_wait))(once)


async def send_with_retries_async(
    send: Callable[[Call[T], bool], Awaitable[R]],
    call: Call[T],
    max_retries: int,
    limiter: RateLimiter | None = None,
) -> R:
    """
    Send a call without blocking, and send it again as often as the policy allows.

    :param send: As for :func:`send_with_retries`.
    :param call: The call.
    :param max_retries: How often a call is repeated at most.
    :param limiter: As for :func:`send_with_retries`.
    :raises CyTechBotError: The error of the last attempt.
    """
    attempts = _Attempts(call, limiter)

    async def once() -> R:
        try:
            return attempts.succeeded(await send(call, attempts.begin()))
        except CyTechBotError as error:
            failure = attempts.failed(error)
        raise failure

    if not max_retries:  # without tenacity, which takes a fifth of the time of a call
        return await once()
    return await AsyncRetrying(**_policy(call, max_retries))(once)


class _Attempts:
    """The attempts of one call."""

    def __init__(self, call: Call[Any], limiter: RateLimiter | None) -> None:
        self.answer_was_lost = False
        self._call = call
        self._limiter = limiter
        self._rate_limited = 0
        self._begun_at = 0.0

    def begin(self) -> bool:
        """Begin an attempt, and return whether an earlier one may have acted although its answer was lost."""
        self._begun_at = time.monotonic()
        return self.answer_was_lost

    def succeeded(self, result: R) -> R:
        """Return the result of an attempt."""
        metrics.count_call(self._call.endpoint.name, time.monotonic() - self._begun_at)
        return result

    def failed(self, error: CyTechBotError) -> CyTechBotError:
        """Return the error of the call for the error of an attempt. To be raised outside the ``except``."""
        metrics.count_call(self._call.endpoint.name, time.monotonic() - self._begun_at, error)
        failure = error
        if isinstance(error, CyTechBotUnansweredError):
            self._pause_all_calls(error)
            self.answer_was_lost = self.answer_was_lost or error.may_have_acted
            if self.answer_was_lost and not error.may_have_acted:
                # This attempt was not sent, but an earlier one may have acted, which the caller needs.
                error = copy(error)
                error.was_sent, error.was_rejected = True, False
            failure = self._call.as_unanswered(error)
        failure.request, failure.endpoint = self._call.request, self._call.endpoint.name
        return failure

    def _pause_all_calls(self, error: CyTechBotUnansweredError) -> None:
        """Pause the calls of the whole process: each of them would meet the same limit."""
        if self._limiter is None or not error.is_rate_limit:
            return
        wait = min(FIRST_WAIT * 2**self._rate_limited, MAX_WAIT)
        self._rate_limited += 1
        self._limiter.pause(wait if error.retry_after is None else min(error.retry_after, MAX_RETRY_AFTER))


def _policy(
    call: Call[Any], max_retries: int, ends_before_long_wait: Callable[[], bool] | None = None
) -> dict[str, Any]:
    """
    Return the arguments of ``tenacity.Retrying`` or ``tenacity.AsyncRetrying`` for a call.

    :param call: The call; a create is repeated only if surely nothing was done.
    :param max_retries: How often a call is repeated at most.
    :param ends_before_long_wait: As for :func:`send_with_retries`.
    """

    def may_repeat(error: BaseException) -> bool:
        if (
            not isinstance(error, CyTechBotUnansweredError)
            or not error.is_transient
            or (error.may_have_acted and not call.is_repeatable)
        ):
            return False
        is_long = (error.retry_after or 0.0) > MAX_RETRY_AFTER
        return not (is_long and ends_before_long_wait is not None and ends_before_long_wait())

    return {
        "retry": retry_if_exception(may_repeat),
        "stop": stop_after_attempt(max_retries + 1),
        "wait": _wait,
        "before_sleep": partial(_log_retry, call.endpoint.name),
        "reraise": True,
    }


def _wait(state: RetryCallState) -> float:
    retry_after = getattr(_error(state), "retry_after", None)
    if retry_after is not None:
        return min(float(retry_after), MAX_RETRY_AFTER)
    return (wait_exponential(FIRST_WAIT, max=MAX_WAIT) + wait_random(0, FIRST_WAIT))(state)


def _log_retry(endpoint: str, state: RetryCallState) -> None:
    metrics.count_retry(endpoint)
    wait = state.next_action.sleep if state.next_action else 0.0
    log.warning("%s Retrying in %.1f s (attempt %d failed).", _error(state), wait, state.attempt_number)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
