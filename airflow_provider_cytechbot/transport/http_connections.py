"""Connections for ``requests`` that handle interim answers, slow answers and forks."""

from __future__ import annotations

import http.client
import io
import math
import os
import socket
import ssl
import time
from typing import Any, cast

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from airflow_provider_cytechbot.transport.answer_limits import FramingAllowance, ProgressWatch
from airflow_provider_cytechbot.transport.content_coding import BLOCK_SIZE

#: How many interim answers (1xx) may come before the final one.
MAX_INTERIM_ANSWERS = 20


class FinalResponse(http.client.HTTPResponse):
    """
    The final answer to a request. Interim ones are skipped, of which ``http.client`` skips 100 only.

    All that is read from the socket, headers included, must arrive at the lowest rate of `ProgressWatch` and
    within a `FramingAllowance`.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._watch = ProgressWatch(sock.gettimeout() or math.inf)
        self._allowance = FramingAllowance()
        watched = _WatchedStream(self.fp.detach(), self._watch, self._allowance)
        self.fp = io.BufferedReader(cast("io.RawIOBase", watched), BLOCK_SIZE)

    def begin(self) -> None:
        """Read status and headers of the final answer."""
        super().begin()
        for _ in range(MAX_INTERIM_ANSWERS):
            if not 100 <= self.status < 200 or self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return
            self.headers = None  # type: ignore[assignment]  # begin() reads nothing while there are headers
            super().begin()
        raise http.client.BadStatusLine("too many interim answers")

    def read(self, amt: int | None = None) -> bytes:
        """Read the body, or some of it."""
        blocks, left = [], math.inf if amt is None or amt < 0 else amt
        while left and (block := self.read1(int(min(left, BLOCK_SIZE)))):
            blocks.append(block)
            left -= len(block)
        return b"".join(blocks)

    def read1(self, n: int = -1) -> bytes:
        """Read what has arrived of the body."""
        block = super().read1(n)
        if self.chunked is True and (self.chunk_left or 0) < 0:  # Python reads "-1" as the size of a chunk
            raise http.client.IncompleteRead(b"")
        self._watch.progressed(len(block))
        self._allowance.count(body=len(block))
        return block


class _WatchedStream(io.RawIOBase):
    """
    A socket's stream with a lowest rate and a limit for what is not part of the body.

    :param stream: The stream.
    :param watch: Measures it.
    :param allowance: Limits it.
    """

    def __init__(self, stream: io.RawIOBase, watch: ProgressWatch, allowance: FramingAllowance) -> None:
        super().__init__()
        self._stream = stream
        self._watch = watch
        self._allowance = allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        start = time.monotonic()
        size = self._stream.readinto(buffer)
        if size:
            self._allowance.count(received=size)
            self._watch.waited(time.monotonic() - start)
        return size

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Connection(HTTPConnection):
    response_class = FinalResponse


class _TlsConnection(HTTPSConnection):
    response_class = FinalResponse

    def connect(self) -> None:
        """Connect. A TLS error of this step is marked, because nothing was sent before it."""
        try:
            super().connect()
        except ssl.SSLError as error:
            error.in_handshake = True  # type: ignore[attr-defined]
            raise


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Adapter(HTTPAdapter):
    """
    Sends each request once, over kept-alive connections that belong to this process alone.

    A process that was forked from one with open connections would share their sockets, and each could read
    the answers to the other's requests. The child starts with no connection.
    """

    def __init__(self) -> None:
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Set up the pools of this process."""
        super().init_poolmanager(*args, **kwargs)
        self._process = os.getpid()
        _use_our_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Return the pools behind a proxy."""
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        if is_new:
            _use_our_pools(manager)
        return manager

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Send a request."""
        self._leave_the_parents_connections()
        return super().send(*args, **kwargs)

    def close(self) -> None:
        """Close the connections of this process."""
        self._leave_the_parents_connections()
        super().close()

    def _leave_the_parents_connections(self) -> None:
        if self._process != os.getpid():
            self.proxy_manager = {}
            self.init_poolmanager(self._pool_connections, self._pool_maxsize, self._pool_block)  # type: ignore[attr-defined]


def _use_our_pools(manager: Any) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
