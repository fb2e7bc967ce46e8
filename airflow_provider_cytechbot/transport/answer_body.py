"""The body of an answer that is not streamed, for both transports."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.api.http_status import is_success
from airflow_provider_cytechbot.transport.answer_limits import ERROR_PAGE_BYTES, MAX_TIMEOUTS, max_bytes
from airflow_provider_cytechbot.transport.failures import TransportFailures

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.transport.settings import Settings


class AnswerBody:
    """
    Collects the blocks of a body within limits of size and time; of an error page it keeps the beginning.

    :param call: The call that was answered.
    :param settings: The connection's settings.
    :param status: The answer's HTTP status.
    """

    def __init__(self, call: Call[Any], settings: Settings, status: int) -> None:
        self.content = bytearray()
        self._is_error_page = not is_success(status)
        self._limit = ERROR_PAGE_BYTES if self._is_error_page else max_bytes(call)
        self._deadline = time.monotonic() + MAX_TIMEOUTS * settings.timeout
        self._failures = TransportFailures(call, settings)

    @property
    def ignored_errors(self) -> tuple[type[CyTechBotTransportError], ...]:
        """The errors after which the content so far is used: an error page's status is enough."""
        return (CyTechBotTransportError,) if self._is_error_page else ()

    def add(self, block: bytes) -> bool:
        """
        Append a block, and return whether the next one is read.

        :param block: The next block, decompressed.
        :raises CyTechBotTransportError: The body is too large or too slow.
        """
        room = self._limit - len(self.content)
        self.content += block[:room]
        if len(block) > room:
            if not self._is_error_page:
                raise self._failures.too_large(self._limit)
            return False
        if time.monotonic() > self._deadline:
            raise self._failures.too_slow()
        return True
