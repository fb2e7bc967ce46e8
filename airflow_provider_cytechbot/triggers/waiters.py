"""Waiters on a flow campaign: when each wants the next poll, and what it does with a result. No I/O."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.fields import field_error

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.errors import CyTechBotError
    from airflow_provider_cytechbot.api.flow_progress import Progress, ProgressCounts

log = logging.getLogger(__name__)

#: Seconds before a trigger's first poll, even an overdue one, between any two polls, and before a timeout.
#: On Airflow 3.2 and 3.3 an event within 0.3 s of the deferral can find the task not yet deferred.
FIRST_WAIT = 1.0
#: Polls in a row that may fail for a temporary reason, in the worker and deferred; one more fails the wait.
MAX_FAILED_POLLS = 5
#: The longest pause in seconds after a failed poll, unless the interval is longer.
MAX_BACKOFF = 300.0
#: The longest interval or timeout in seconds: ten years. Longer ones overflow Airflow's dates.
MAX_SECONDS = 10 * 366 * 86_400.0


def read_seconds(name: str, value: object) -> float:
    """
    Return a duration in seconds.

    :param name: The parameter, for the error.
    :param value: A number of seconds or a ``timedelta``.
    :raises CyTechBotFieldError: The value is of another type, negative, not finite, or over ten years.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise field_error(name, f"must be a number of seconds or a timedelta, not {type(value).__name__}")
    if not 0 <= value <= MAX_SECONDS:  # false for nan, too
        raise field_error(name, "must be a number of seconds from zero to ten years")
    return float(value)


@dataclass(frozen=True)
class PollSchedule:
    """
    The times at which a waiter wants a poll: after its start, at regular or at growing intervals.

    :param poke_interval: Seconds between polls.
    :param exponential_backoff: Whether each interval is twice the one before.
    :param max_wait: The longest interval in seconds; ``None``: no limit.
    :param started_at: The time of the first check, in seconds of the epoch.
    :param is_checked: Whether a worker has made the first check; otherwise, the first poll is due at once.
    :raises CyTechBotFieldError: A value cannot be used.
    """

    poke_interval: float
    exponential_backoff: bool = False
    max_wait: float | None = None
    started_at: float = 0.0
    is_checked: bool = True

    def __post_init__(self) -> None:
        """Refuse values that would break the poll that the waiter shares with others."""
        read_seconds("poke_interval", self.poke_interval)
        if self.max_wait is not None:
            read_seconds("max_wait", self.max_wait)
        exponential_backoff: object = self.exponential_backoff
        if not isinstance(exponential_backoff, bool):
            kind = type(exponential_backoff).__name__
            raise field_error("exponential_backoff", f"must be True or False, not {kind}")
        started_at: object = self.started_at
        if isinstance(started_at, bool) or not isinstance(started_at, int | float):
            raise field_error("started_at", f"must be a time in seconds, not {type(started_at).__name__}")
        if not math.isfinite(started_at) or abs(started_at) > 100 * MAX_SECONDS:
            raise field_error("started_at", "must be a time in seconds of the epoch")

    def first(self, now: float) -> float:
        """
        Return the seconds until this process's first poll. A poll missed during a restart is due at once.

        :param now: The time, as :func:`time.time` returns it.
        """
        if not self.is_checked:
            return FIRST_WAIT
        return max(FIRST_WAIT, self.started_at + self.after(self.started_at) - now)

    def until_timeout(self, timeout: float, now: float) -> float:
        """
        Return the seconds until the wait times out.

        :param timeout: The timeout in seconds, counted from the first check.
        :param now: The time, as :func:`time.time` returns it.
        """
        return max(FIRST_WAIT, self.started_at + timeout - now)

    def after(self, now: float) -> float:
        """
        Return the seconds from one poll to the next.

        :param now: The time of the poll, as :func:`time.time` returns it.
        """
        interval = max(self.poke_interval, FIRST_WAIT)
        if self.exponential_backoff:
            # The intervals w, 2w, 4w, ... end at w, 3w, 7w, ... after the start.
            longest = self.max_wait or float("inf")
            end = interval
            while self.started_at + end <= now + interval / 2 and interval < longest:
                interval *= 2
                end += interval
            interval = max(min(interval, longest), FIRST_WAIT)
        return interval


def backoff(interval: float, failed_polls: int, retry_after: float | None = None) -> float:
    """
    Return the seconds to wait after a failed poll.

    :param interval: Seconds between polls that succeed.
    :param failed_polls: The number of failed polls in a row.
    :param retry_after: The server's ``Retry-After`` in seconds.
    """
    return max(
        interval,
        min(interval * 2.0 ** min(failed_polls, 60), MAX_BACKOFF),
        min(retry_after or 0.0, MAX_BACKOFF),
    )


@dataclass
class PollResult:
    """
    The result of one poll, reduced to what its waiters need.

    :param flow_name: The campaign's name, if known.
    :param counts: The numbers of subscribers; ``None`` if single subscribers were requested.
    :param progress: The progress by subscriber id. A subscriber that is missing has not answered.
    :param has_all_subscribers: Whether ``progress`` covers all subscribers that have answered.
    """

    flow_name: str | None
    counts: ProgressCounts | None
    progress: Mapping[str, Progress] = field(repr=False)
    has_all_subscribers: bool = False

    def subscribers_with(self, required: Progress) -> list[str]:
        """
        Return the subscribers that have at least some progress.

        :param required: The progress.
        """
        return [each for each, reached in self.progress.items() if reached >= required]


class Waiter:
    """
    Base of the waiters. The methods that take results must neither block nor await.

    :param schedule: When it wants polls.
    :param subscriber_id: The one subscriber it waits for; ``None``: it waits for the campaign as a whole.
    :param counts_completed: Whether it needs the number of subscribers with all answers.
    :param needs_all_subscribers: Whether it needs each subscriber's progress, not only the counts.
    """

    def __init__(
        self,
        schedule: PollSchedule,
        *,
        subscriber_id: str | None = None,
        counts_completed: bool = True,
        needs_all_subscribers: bool = False,
    ) -> None:
        self.schedule = schedule
        self.subscriber_id = subscriber_id
        self.counts_completed = counts_completed
        self.needs_all_subscribers = needs_all_subscribers
        #: The time of the next poll, by the clock of :func:`time.monotonic`.
        self.due = time.monotonic() + schedule.first(time.time())

    def polled(self) -> None:
        """Set the next poll one interval from now, also if another waiter caused this poll."""
        self.due = time.monotonic() + self.schedule.after(time.time())

    def on_result(self, poll_result: PollResult) -> None:
        """
        Handle a poll that succeeded.

        :param poll_result: The result.
        """
        raise NotImplementedError

    def on_error(self, error: CyTechBotError) -> None:
        """
        Handle a poll that failed.

        :param error: The error.
        """
        raise NotImplementedError

    def abort(self, error: CyTechBotError) -> None:
        """
        End this wait, because one of the methods above raised an exception.

        :param error: The error to report.
        """
        raise NotImplementedError


@dataclass
class NewAnswers:
    """
    The subscribers with the progress that an event trigger watches for, after one poll.

    :param subscriber_ids: All of them, new or not.
    :param flow_name: The campaign's name.
    :param answered: The number of subscribers that have answered any question.
    :param completed: The number of subscribers that have answered every question.
    :param remember: Stores these subscribers as seen; ``None`` if they are stored already.
    """

    subscriber_ids: list[str] = field(repr=False)
    flow_name: str | None
    answered: int
    completed: int
    remember: Callable[[], Awaitable[None]] | None = None


class EventWaiter(Waiter):
    """
    A waiter of an event trigger, which waits for ever. A newer result replaces one that was not fetched.

    :param schedule: When it wants polls.
    :param required: The progress to watch for.
    """

    def __init__(self, schedule: PollSchedule, required: Progress) -> None:
        super().__init__(schedule, needs_all_subscribers=True)
        self._required = required
        self._result: tuple[PollResult, ProgressCounts] | None = None
        self._error: CyTechBotError | None = None
        self._changed = asyncio.Event()

    async def next(self) -> NewAnswers:
        """
        Wait for the next poll and return its result.

        :raises CyTechBotError: The waiter was aborted.
        """
        while self._result is None:
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()
        (result, counts), self._result = self._result, None
        # In a thread: the subscribers of a large campaign would block the event loop.
        subscriber_ids = await asyncio.to_thread(result.subscribers_with, self._required)
        return NewAnswers(subscriber_ids, result.flow_name, counts.answered, counts.completed)

    def on_result(self, poll_result: PollResult) -> None:
        """Keep the result until :meth:`next` fetches it."""
        if poll_result.counts is not None and poll_result.has_all_subscribers:
            self._result = poll_result, poll_result.counts
            self._changed.set()

    def on_error(self, error: CyTechBotError) -> None:
        """Go on: there is no task to fail, and somebody may correct the connection."""
        if not error.retryable:
            log.error("%s The trigger fires no event until this is corrected.", error)

    def abort(self, error: CyTechBotError) -> None:
        """Let :meth:`next` raise the error."""
        self._error = error
        self._changed.set()
