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
#: What an answer may have beside its body: headers, interim answers, chunk sizes, trailers.
MAX_FRAMING_BYTES = 256 * 1024
#: How many bytes may be received for each byte of body. A chunk of one byte takes six.
FRAMING_RATIO = 16
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


class SlowAnswerError(TimeoutError):
    """The answer arrives more slowly than the lowest allowed rate."""


class OversizedFramingError(OSError):
    """The answer has too much beside its body."""


class FramingAllowance:
    """
    Limits what one answer has beside its body, which the HTTP libraries read and drop without a limit.

    It may use up :data:`MAX_FRAMING_BYTES` bytes, which the body refills while it arrives.
    """

    def __init__(self) -> None:
        self._left = MAX_FRAMING_BYTES

    def count(self, *, received: int = 0, body: int = 0) -> None:
        """
        Record bytes of the answer.

        :param received: The number of bytes that were received.
        :param body: The number of bytes of the body among all that were received.
        :raises OversizedFramingError: Too many bytes are not part of the body.
        """
        left = self._left + FRAMING_RATIO * body - received
        if left < 0:
            raise OversizedFramingError
        self._left = min(left, MAX_FRAMING_BYTES)


class ProgressWatch:
    """
    Measures how fast the body of an answer arrives. Only time spent waiting for the server counts.

    The first byte may take as long as a single read may. After it, :data:`MIN_BYTES` bytes of the body must
    arrive each time the waiting has added up to :data:`WINDOW_TIMEOUTS` timeouts. Headers and all else that
    is not part of the body is no progress.

    :param timeout: The connection's ``timeout`` in seconds.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._has_begun = False
        self._bytes = 0
        self._waited = 0.0

    def waited(self, seconds: float) -> None:
        """
        Record one wait that some bytes have ended.

        :param seconds: How long it took.
        :raises SlowAnswerError: Too little of the body has arrived in the time that was spent waiting.
        """
        if self._has_begun:
            self._waited += seconds
        self._has_begun = True
        if self._waited > WINDOW_TIMEOUTS * self._timeout:
            raise SlowAnswerError

    def progressed(self, size: int) -> None:
        """
        Record some of the body.

        :param size: The number of its bytes.
        """
        self._bytes += size
        if self._bytes >= MIN_BYTES:
            self._bytes, self._waited = 0, 0.0
