"""The pause that all calls of a bulk write take together when the server limits their rate."""

from __future__ import annotations

import asyncio
import time

#: Seconds of the first pause, where the server names none; each further one is twice as long.
FIRST_PAUSE = 1.0
MAX_PAUSE = 60.0


class SharedPause:
    """
    Holds back all calls for a while.

    :param stopped: Set when nothing is to be sent any more; it ends each wait.
    """

    def __init__(self, stopped: asyncio.Event) -> None:
        self._stopped = stopped
        self._next = FIRST_PAUSE
        self._began = 0.0
        self._ends = 0.0

    def begin(self, sent_at: float, retry_after: float | None) -> float:
        """
        Begin a pause because of a response, and return how many seconds are left of it.

        Several calls under way are refused for the same reason: only the first of them makes the next pause
        longer.

        :param sent_at: When the call was sent, of ``time.monotonic``.
        :param retry_after: Seconds that the server requires.
        """
        now = time.monotonic()
        is_new = sent_at >= self._began
        if is_new or retry_after is not None:
            pause = retry_after or 0.0
            # A server that refuses again after its own time, perhaps 0 s, gets no calls at full speed.
            if retry_after is None or (is_new and self._next > FIRST_PAUSE):
                pause = max(pause, self._next)
            self._ends = max(self._ends, now + pause)
        if is_new:
            self._began = now
            self._next = min(2 * self._next, MAX_PAUSE)
        return max(0.0, self._ends - now)

    def reset(self) -> None:
        """Let the next pause be a short one: a call was answered."""
        self._next = FIRST_PAUSE

    async def over(self) -> None:
        """Wait until no pause is left, or nothing is to be sent any more."""
        while (left := self._ends - time.monotonic()) > 0 and not self._stopped.is_set():
            await self.sleep(left)

    async def sleep(self, seconds: float) -> None:
        """
        Wait, at most until nothing is to be sent any more.

        :param seconds: How long.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            pass
