"""What waits on a flow campaign: when it polls next, and what a poll tells it. No I/O."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.errors import CyTechBotError
    from airflow_provider_cytechbot.api.flow_progress import Progress, ProgressCounts

log = logging.getLogger(__name__)

#: Seconds before a trigger's first poll, even if it is overdue, and between any two; and before it gives up.
#: On Airflow 3.2 and 3.3 an event within 0.3 s of the deferral can find the task not yet deferred.
FIRST_WAIT = 1.0
#: Polls in a row that may fail for a passing reason, in the worker and deferred; with one more, the wait
#: fails.
MAX_FAILED_POLLS = 5
#: Failed polls are further and further apart, up to so many seconds, or the interval where that is longer.
MAX_BACKOFF = 300.0


@dataclass(frozen=True)
class PollSchedule:
    """
    The times at which a wait asks to poll: after its start, at regular or at growing intervals.

    :param poke_interval: Seconds between polls.
    :param exponential_backoff: Whether each interval is twice the one before.
    :param max_wait: Seconds that an interval does not grow beyond; ``None``: as long as the wait lasts.
    :param started_at: When the wait began with its first check, as :func:`time.time` gives it.
    """

    poke_interval: float
    exponential_backoff: bool = False
    max_wait: float | None = None
    started_at: float = 0.0

    def first(self, now: float) -> float:
        """
        Return the seconds until the first poll of this process; one that a restart delayed is made up for.

        :param now: The time, as :func:`time.time` gives it.
        """
        return max(FIRST_WAIT, self.started_at + self.after(self.started_at) - now)

    def until_timeout(self, timeout: float, now: float) -> float:
        """
        Return the seconds until the wait is given up.

        :param timeout: Seconds from its start on.
        :param now: The time, as :func:`time.time` gives it.
        """
        return max(FIRST_WAIT, self.started_at + timeout - now)

    def after(self, now: float) -> float:
        """
        Return the seconds from one poll to the next.

        :param now: The time of the poll, as :func:`time.time` gives it.
        """
        wait = max(self.poke_interval, FIRST_WAIT)
        if self.exponential_backoff:
            # The intervals w, 2w, 4w ... end at w, 3w, 7w ...: at each such moment the next one is begun.
            longest = self.max_wait or float("inf")
            end = wait
            while self.started_at + end <= now + wait / 2 and wait < longest:
                wait *= 2
                end += wait
            wait = max(min(wait, longest), FIRST_WAIT)
        return wait


def backoff(interval: float, failed_polls: int, retry_after: float | None = None) -> float:
    """
    Return the seconds to wait after a failed poll.

    :param interval: Seconds between polls that do not fail.
    :param failed_polls: How many failed in a row.
    :param retry_after: Seconds that the server asked to wait.
    """
    return max(
        interval,
        min(interval * 2.0 ** min(failed_polls, 60), MAX_BACKOFF),
        min(retry_after or 0.0, MAX_BACKOFF),
    )


@dataclass
class PollResult:
    """
    What one poll found out, and no more than was asked for.

    :param flow_name: The campaign's name, where it is known.
    :param tally: How many subscribers have come how far; ``None`` where single subscribers were asked for.
    :param progress: How far those have come who were asked for; one who is missing has not begun.
    :param everyone: Whether ``progress`` holds all that have begun.
    """

    flow_name: str | None
    counts: ProgressCounts | None
    progress: Mapping[str, Progress] = field(repr=False)
    everyone: bool = False


class Waiter:
    """
    One that waits on a campaign. What it is told, it judges at once and without waiting for anything.

    :param rhythm: When it asks to poll.
    :param subscriber_id: The one subscriber whose progress it is about; ``None``: the campaign as a whole.
    :param counts_completed: Whether it must know who has answered every question.
    :param everyone: Whether it must know each subscriber's progress, and not just how many have come how far.
    """

    def __init__(
        self,
        schedule: PollSchedule,
        *,
        subscriber_id: str | None = None,
        counts_completed: bool = True,
        everyone: bool = False,
    ) -> None:
        self.schedule = schedule
        self.subscriber_id = subscriber_id
        self.counts_completed = counts_completed
        self.everyone = everyone
        #: When it wants the next poll, by the clock of :func:`time.monotonic`.
        self.due = time.monotonic() + schedule.first(time.time())

    def polled(self) -> None:
        """Ask for the next poll one interval from now: this one was for it too, whoever had asked."""
        self.due = time.monotonic() + self.schedule.after(time.time())

    def on_result(self, poll_result: PollResult) -> None:
        """
        Take note of what a poll found.

        :param census: It.
        """
        raise NotImplementedError

    def on_error(self, error: CyTechBotError) -> None:
        """
        Take note of a poll that failed.

        :param error: Why.
        """
        raise NotImplementedError


@dataclass
class NewAnswers:
    """
    Who has come as far as a trigger wants to know of.

    :param subscriber_ids: All of them.
    :param flow_name: The campaign's name.
    :param answered: How many subscribers have answered any question.
    :param completed: How many have answered every question.
    :param remember: Stores that they were seen; ``None`` where that is stored already.
    """

    subscriber_ids: list[str] = field(repr=False)
    flow_name: str | None
    answered: int
    completed: int
    remember: Callable[[], Awaitable[None]] | None = None


class EventWaiter(Waiter):
    """
    A wait without end. Of several sightings that nobody has looked at, the last one counts: it comprises all.

    :param rhythm: When it polls.
    :param wanted: How far the subscribers must have come.
    """

    def __init__(self, schedule: PollSchedule, wanted: Progress) -> None:
        super().__init__(schedule, everyone=True)
        self._wanted = wanted
        self._sighting: NewAnswers | None = None
        self._is_there = asyncio.Event()

    async def next(self) -> NewAnswers:
        """Wait for a poll, and return what it found."""
        while self._sighting is None:
            self._is_there.clear()
            await self._is_there.wait()
        sighting, self._sighting = self._sighting, None
        return sighting

    def on_result(self, poll_result: PollResult) -> None:
        """Keep what a poll found until it is asked for."""
        if poll_result.counts is None or not poll_result.everyone:
            return
        self._sighting = NewAnswers(
            [each for each, progress in poll_result.progress.items() if progress >= self._wanted],
            poll_result.flow_name,
            poll_result.counts.answered,
            poll_result.counts.completed,
        )
        self._is_there.set()

    def on_error(self, error: CyTechBotError) -> None:
        """Go on: there is no task that could fail, and a wrong key may be put right."""
        if not error.retryable:
            log.error("%s No event can come until this is put right.", error)
