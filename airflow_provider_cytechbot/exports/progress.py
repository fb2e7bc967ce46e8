"""What a reader of the task log sees of a running export."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_cytechbot.hooks.flow_answers import FlowAnswersStream

#: Seconds between two lines: often enough to see that it lives, rarely enough to read.
INTERVAL = 5.0
MEGABYTE = 1_000_000


class Progress:
    """
    Counts what was exported, and says so in the log every few seconds and at the end.

    :param stream: The answers that are being exported.
    :param tell: Writes a line to the log, such as a logger's ``info``.
    """

    def __init__(self, stream: FlowAnswersStream, tell: Callable[..., object]) -> None:
        self.subscribers = 0
        self.rows = 0
        self._stream = stream
        self._tell = tell
        self._started = self._last_told = time.monotonic()

    def add(self, subscribers: int, rows: int) -> None:
        """Count some more, and tell if it is time."""
        self.subscribers += subscribers
        self.rows += rows
        if time.monotonic() - self._last_told >= INTERVAL:
            self._last_told = time.monotonic()
            self._line("Exporting")

    def finish(self) -> None:
        """Tell the sum."""
        self._line("Exported")

    def _line(self, verb: str) -> None:
        seconds = time.monotonic() - self._started
        read = self._stream.bytes_read / MEGABYTE
        self._tell(
            "%s flow campaign %s: %d subscribers, %d rows, %.1f MB read in %.1f s (%.1f MB/s)",
            verb,
            self._stream.flow_campaign_id,
            self.subscribers,
            self.rows,
            read,
            seconds,
            read / max(seconds, 0.001),
        )
