"""The lowest rate at which an answer may arrive, for both transports."""

from __future__ import annotations

#: Bytes that must arrive while the waiting adds up to :data:`WINDOW_TIMEOUTS` times the ``timeout``.
MIN_BYTES = 1024
WINDOW_TIMEOUTS = 2
#: How many times the ``timeout`` an answer that is not streamed may take, from its first byte to its last.
MAX_TIMEOUTS = 10


class SlowAnswerError(TimeoutError):
    """The answer arrives more slowly than the lowest rate allows."""


class ProgressWatch:
    """
    Measures how fast an answer arrives. Only time spent waiting for the server counts.

    The first byte may take as long as a single read may. After it, :data:`MIN_BYTES` bytes must arrive
    each time the waiting has added up to :data:`WINDOW_TIMEOUTS` timeouts.

    :param timeout: The connection's ``timeout`` in seconds.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._has_begun = False
        self._bytes = 0
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
        if self._has_begun:
            self._waited += waited
        self._has_begun = True
        self._bytes += size
        if self._bytes >= MIN_BYTES:
            self._bytes, self._waited = 0, 0.0
        if self._waited > WINDOW_TIMEOUTS * self._timeout:
            raise SlowAnswerError
