"""How large an answer may be, and how slowly it may arrive, for both transports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call

#: All answers of a campaign; larger ones can be streamed.
FLOW_ANSWERS_BYTES = 64 * 2**20
READ_BYTES = 16 * 2**20
WRITE_BYTES = 2**20
#: An error page is read as far as its title.
ERROR_PAGE_BYTES = 32 * 1024
#: The bytes that must arrive within :data:`WINDOW_TIMEOUTS` times the ``timeout`` of waiting.
MIN_BYTES = 1024
WINDOW_TIMEOUTS = 2
#: How many times the ``timeout`` an answer that is not streamed may take, from its first byte to its last.
MAX_TIMEOUTS = 10


def max_bytes(call: Call[Any]) -> int:
    """
    Return the limit for the answer to a call.

    :param call: The call.
    """
    if call.endpoint.slow:
        return FLOW_ANSWERS_BYTES
    return READ_BYTES if call.endpoint.verb == "GET" else WRITE_BYTES


def collect(body: bytearray, block: bytes, limit: int) -> bool:
    """
    Append a block to a body; return whether the body is within the limit.

    :param body: The body so far.
    :param block: The next block.
    :param limit: The maximum size of the body in bytes. The rest is dropped.
    """
    room = limit - len(body)
    body += block[:room]
    return len(block) <= room


class SlowAnswerError(TimeoutError):
    """The answer arrives more slowly than the lowest allowed rate."""


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
