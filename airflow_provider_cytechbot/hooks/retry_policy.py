"""The retry policy of all operators on Airflow 3.3 and newer: retries follow ``Retry-After``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.errors import CyTechBotError

try:
    from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "CyTechBotRetryPolicy needs Airflow 3.3 or newer: older versions have no retry policies. There, a "
        "task waits for at most a minute of a Retry-After, and is then retried after its retry_delay.",
        name=error.name,
    ) from None

if TYPE_CHECKING:
    from airflow.sdk import Context

#: The longest reason that is stored with a decision, in characters.
MAX_REASON = 500


class CyTechBotRetryPolicy(RetryPolicy):
    """
    Retry a task when the server accepts calls again, and fail it at once if no retry can help.

    It is the default of all operators and sensors of this provider. To replace it, pass another policy as
    ``retry_policy``, for instance ``ExceptionRetryPolicy(rules=[])`` for Airflow's own behaviour.

    After an answer with ``Retry-After`` (HTTP 429 or 503), the next try starts after this time. A
    ``Retry-After`` above a minute ends the call at once, so that the task holds no worker slot while it
    waits. On Airflow 3.4 and newer, such a task is rescheduled without using a retry. Errors without
    ``Retry-After`` are retried after the task's ``retry_delay``.

    :param max_delay: The longest time before the next try, whatever the server sends.
    :param max_reschedules: The most times that one try is rescheduled, on Airflow 3.4 and newer.
    """

    #: Hooks read these. A call ends at a long ``Retry-After`` if the task can be started again later.
    follows_retry_after = True
    needs_retries = not hasattr(RetryDecision, "reschedule")

    def __init__(self, *, max_delay: timedelta = timedelta(hours=1), max_reschedules: int = 10) -> None:
        self.max_delay = max_delay
        self.max_reschedules = max_reschedules

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """
        Return when and whether to retry.

        :param exception: The error of the task.
        :param try_number: The number of the try.
        :param max_tries: The most tries.
        :param context: The task's context.
        """
        if not isinstance(exception, CyTechBotError):
            return RetryDecision.default()
        reason = str(exception)[:MAX_REASON]
        if not exception.retryable:
            return RetryDecision.fail(reason)
        retry_after = getattr(exception, "retry_after", None)
        if retry_after is None:
            return RetryDecision.default()
        delay = timedelta(seconds=max(1.0, min(float(retry_after), self.max_delay.total_seconds())))
        if self.needs_retries:
            return RetryDecision.retry(delay, reason)
        reschedule: Any = RetryDecision.reschedule  # type: ignore[attr-defined]
        decision: RetryDecision = reschedule(delay, max_reschedules=self.max_reschedules, reason=reason)
        return decision

    def serialize(self) -> dict[str, Any]:
        """Return the parameters."""
        return {"max_delay": self.max_delay.total_seconds(), "max_reschedules": self.max_reschedules}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> CyTechBotRetryPolicy:
        """
        Return the policy with these parameters.

        :param data: A result of :meth:`serialize`.
        """
        return cls(max_delay=timedelta(seconds=data["max_delay"]), max_reschedules=data["max_reschedules"])
