"""A machine that stands still: a virtual one may be left without a processor for a minute.

Then everything is late by that much: servers are given up, heartbeats missed, patience lost. None of it shows
anything of what is tested, so a test that fails meanwhile, and no other, is tried again. Its failure and
the repetition are shown in the summary.
"""

from __future__ import annotations

import threading
import time

#: Seconds. A thread of a busy process waits for fractions of one; it takes a still machine to lose more.
LATE = 2.0
#: Seconds that may be lost without a test's failing for it.
BEARABLE = 5.0


class StandstillWatch:
    """Sleeps by the second, and counts by how much more it slept."""

    def __init__(self) -> None:
        self._lost = 0.0
        threading.Thread(target=self._watch, name="standstill-watch", daemon=True).start()

    def begin(self) -> None:
        """Start to count again."""
        self._lost = 0.0

    def has_stood_still(self) -> bool:
        """Whether the machine has lost more time than is bearable since :meth:`begin`."""
        return self._lost > BEARABLE

    def slept(self, wanted: float, took: float) -> None:
        """Note how long a sleep took that should have taken `wanted` seconds."""
        if took - wanted > LATE:
            self._lost += took - wanted

    def _watch(self) -> None:
        while True:
            start = time.monotonic()
            time.sleep(1)
            self.slept(1, time.monotonic() - start)
