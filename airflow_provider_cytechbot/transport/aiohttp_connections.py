"""Connections for ``aiohttp`` with a limit for what an answer has beside its body."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

from airflow_provider_cytechbot.transport.answer_limits import FramingAllowance, OversizedFramingError


class _LimitedHandler(ResponseHandler):
    """Reads the answers of one connection, each within a `FramingAllowance`."""

    def set_response_params(self, *args: Any, **kwargs: Any) -> None:
        """Prepare for the answer to a request."""
        self._allowance = FramingAllowance()
        self._body_bytes = 0
        super().set_response_params(*args, **kwargs)

    def data_received(self, data: bytes) -> None:
        """Read some of an answer."""
        payload = self._payload
        super().data_received(data)
        if self.exception() and payload and not payload.is_eof() and not payload.exception():
            # After trailers that cannot be read, aiohttp lets a reader of the body wait.
            payload.set_exception(aiohttp.ClientPayloadError())
        total = getattr(self._payload, "total_bytes", self._body_bytes)
        body, self._body_bytes = total - self._body_bytes, total
        try:
            self._allowance.count(received=len(data), body=max(body, 0))
        except OversizedFramingError as error:
            if self._payload is not None:
                self._payload.set_exception(error)
            self.set_exception(error)
            if self.transport is not None:
                self.transport.close()


class Connector(aiohttp.TCPConnector):
    """Opens connections whose answers are limited. Its arguments are those of ``TCPConnector``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._factory = cast("partial[ResponseHandler]", partial(_LimitedHandler, loop=self._loop))
