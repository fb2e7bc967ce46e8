"""The lowest rate at which an answer may arrive, for both transports."""

from __future__ import annotations

#: Bytes that must arrive in each ``timeout`` seconds of waiting, once the first byte is there.
MIN_BYTES = 1024
#: How many times the ``timeout`` the waiting for an answer that is not streamed may add up to.
MAX_TIMEOUTS = 10


class SlowAnswerError(TimeoutError):
    """The answer arrives more slowly than the lowest rate allows."""


class ProgressWatch:
    """
    Measures how fast an answer arrives. Only time spent waiting for the server counts.

    The first byte may take as long as a single read may. After it, each ``timeout`` seconds of waiting must
    bring :data:`MIN_BYTES` bytes. The waiting as a whole is limited only where ``total`` is given.

    :param timeout: The connection's ``timeout`` in seconds.
    :param total: Seconds that the waiting after the first byte may add up to; ``None``: no limit.
    """

    def __init__(self, timeout: float, total: float | None = None) -> None:
        self._timeout = timeout
        self._total = total
        self._has_begun = False
        self._window_bytes = 0
        self._window_waited = 0.0
        self._waited = 0.0

    def received(self, size: int, waited: float) -> None:
        """
        Record one read.

        :param size: The number of bytes that it returned; 0 at the end of the answer.
        :param waited: The seconds that it took.
        :raises SlowAnswerError: Too little has arrived in the time that was spent waiting.
        """
        if not size:
            return
        if not self._has_begun:
            self._has_begun = True
            waited = 0.0
        self._waited += waited
        self._window_waited += waited
        self._window_bytes += size
        if self._window_bytes >= MIN_BYTES:
            self._window_bytes, self._window_waited = 0, 0.0
        if self._window_waited > self._timeout or (self._total is not None and self._waited > self._total):
            raise SlowAnswerError
