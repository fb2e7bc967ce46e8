"""When a wait polls next. Pure, so that it goes on where it was after a triggerer's restart."""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds before a trigger's first poll, even if it is overdue, and between any two; and before it gives up.
#: On Airflow 3.2 and 3.3 an event within 0.3 s of the deferral can find the task not yet deferred.
FIRST_WAIT = 1.0
#: Polls in a row that may fail for a passing reason, in the worker and deferred; with one more, the wait
#: fails.
MAX_FAILED_POLLS = 5
#: Failed polls are further and further apart, up to so many seconds, or the interval where that is longer.
MAX_BACKOFF = 300.0


@dataclass(frozen=True)
class Rhythm:
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
