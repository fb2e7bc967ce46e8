"""How far a bulk write is, for the task log."""

from __future__ import annotations

import logging
import time
from collections import Counter

from airflow_provider_cytechbot.bulk.outcomes import describe

_log = logging.getLogger(__name__)


class Progress:
    """
    Counts rows by outcome and logs them with rate and remaining time.

    :param counts: The rows that have an outcome already.
    :param rows: How many rows there are.
    """

    def __init__(self, counts: Counter[str], rows: int) -> None:
        self.counts = Counter(counts)
        self._rows = rows
        self._done = self._done_before = counts.total()
        self._began = time.monotonic()

    def add(self, outcome: str, rows: int) -> None:
        """
        Count rows.

        :param outcome: Their outcome.
        :param rows: How many.
        """
        self.counts[outcome] += rows
        self._done += rows

    def log(self) -> None:
        """Log a line."""
        seconds = max(time.monotonic() - self._began, 0.001)
        rate = (self._done - self._done_before) / seconds
        if self._done >= self._rows:
            left = ""
        elif rate:
            left = f"; about {_duration((self._rows - self._done) / rate)} left"
        else:
            left = "; no row was answered yet"
        _log.info(
            "%s of %s rows, %.1f a second: %s%s.",
            f"{self._done:,}",
            f"{self._rows:,}",
            rate,
            describe(self.counts),
            left,
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
