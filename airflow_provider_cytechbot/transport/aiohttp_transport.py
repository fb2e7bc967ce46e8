"""The asynchronous transport: sends a call with ``aiohttp`` and returns the answer."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from airflow_provider_cytechbot.transport.aiohttp_connections import Connector
from airflow_provider_cytechbot.transport.answer_body import AnswerBody
from airflow_provider_cytechbot.transport.answer_limits import (
    WINDOW_TIMEOUTS,
    OversizedFramingError,
    ProgressWatch,
    SlowAnswerError,
)
from airflow_provider_cytechbot.transport.client_config import ca_bundle, proxies, user_agent
from airflow_provider_cytechbot.transport.content_coding import ACCEPTED, BLOCK_SIZE, ContentDecoder
from airflow_provider_cytechbot.transport.failures import TransportFailures, verify_message
from airflow_provider_cytechbot.transport.rate_limiter import rate_limiter_for
from airflow_provider_cytechbot.transport.requests_transport import CONNECT_TIMEOUT

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
    from airflow_provider_cytechbot.transport.settings import Settings

T = TypeVar("T")


class AiohttpTransport:
    """
    Sends calls with ``aiohttp``.

    The constructor reads files, so it must not run in an event loop. The sessions belong to one event loop.

    :param settings: The connection's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.limiter = rate_limiter_for(settings)
        #: Waits until a request may start; a bulk write puts a wait here that ends when it is stopped.
        self.take_turn: Callable[[Iterable[float]], Awaitable[None]] = _sleep_all
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._user_agent = user_agent()
        scheme = urlsplit(settings.base_url).scheme
        # The environment is not read by aiohttp, which would let it override the connection.
        by_scheme = proxies(settings)
        self._proxy = by_scheme.get(scheme) or by_scheme.get("all")
        self._ssl: ssl.SSLContext | bool = settings.verify_tls
        if settings.verify_tls:
            bundle = ca_bundle(settings)
            # Reading all certificates takes a tenth of a second of the processor.
            if "https" in (scheme, urlsplit(self._proxy or "").scheme):
                self._ssl = _trusting(bundle)

    def open_session(self) -> None:
        """
        Open the sessions. They do not hold the API key.

        One keeps connections alive. The other uses a new connection for each call, for creates: a server may
        close a kept-alive connection just as a call is sent, and a lost create must not be sent again.
        """
        timeout = self._settings.timeout
        for keep_alive in (True, False):
            self._sessions[keep_alive] = aiohttp.ClientSession(
                connector=Connector(ssl=self._ssl, force_close=not keep_alive, limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._user_agent, "Accept-Encoding": ACCEPTED},
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=min(CONNECT_TIMEOUT, timeout), sock_read=timeout
                ),
                trust_env=False,
                read_bufsize=BLOCK_SIZE,
                trace_configs=[_one_request_for_each_call()],
            )

    async def close(self) -> None:
        """Close the sessions and their connections."""
        for session in self._sessions.values():
            await session.close()

    async def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str], bytes]:
        """
        Send a call and return the status, headers and body of the answer.

        :param call: The call.
        :raises CyTechBotTransportError: No complete answer arrived.
        """
        async with self.open(call) as response:
            return response.status, response.headers, await self.body(call, response)

    @asynccontextmanager
    async def open(self, call: Call[Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """
        Send a call and yield the answer before its body is read.

        :param call: The call.
        :raises CyTechBotTransportError: No answer arrived.
        """
        settings = self._settings
        if not self._sessions:
            raise RuntimeError("the session is not open")
        await self.take_turn(self.limiter.waits())
        response = await self._translate_errors(
            call,
            self._sessions[call.is_repeatable].request(
                call.endpoint.verb,
                URL(call.url(settings.base_url, settings.api_key), encoded=True),
                data=call.body(settings.api_key),
                headers=call.headers,
                proxy=self._proxy,
                allow_redirects=False,
                trace_request_ctx=[],
            ),
            # The first byte may take the whole timeout, and the headers after it as long again.
            within=2 * settings.timeout + min(CONNECT_TIMEOUT, settings.timeout),
        )
        try:
            yield response
        finally:
            response.close()

    async def body(self, call: Call[Any], response: aiohttp.ClientResponse) -> bytes:
        """
        Return the decompressed body of an answer that is not streamed; for an error page, its beginning.

        :param call: The call that was answered.
        :param response: The answer from :meth:`open`.
        :raises CyTechBotTransportError: The body ended early, is too large or too slow.
        """
        body = AnswerBody(call, self._settings, response.status)
        with suppress(*body.ignored_errors):
            async for block in self.blocks(call, response):
                if not body.add(block):
                    break
        return bytes(body.content)

    async def blocks(self, call: Call[Any], response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """
        Yield the decompressed body of an answer in blocks.

        :param call: The call that was answered.
        :param response: The answer from :meth:`open`.
        :raises CyTechBotTransportError: The body ended early.
        """
        failures = TransportFailures(call, self._settings)
        decoder = ContentDecoder(response.headers, failures)
        watch = ProgressWatch(self._settings.timeout)
        # A chunk's extension is no part of the body: in drops, it lets no read return, and none time out.
        within = WINDOW_TIMEOUTS * self._settings.timeout
        while received := await self._translate_errors(call, _watched_read(response, watch), within=within):
            for block in decoder.decode(received):
                yield block
        if rest := decoder.finish():
            yield rest

    async def _translate_errors(
        self, call: Call[Any], operation: Awaitable[T], *, within: float | None = None
    ) -> T:
        """
        Run an I/O operation, and convert each exception of the client into an error of this provider.

        The client's exceptions have the URL with the key. The new error is raised outside the ``except``, so
        that the client's exception is not its ``__context__``.
        """
        timeout = asyncio.timeout(within)
        try:
            async with timeout:
                return await operation
        except (aiohttp.ClientError, http_exceptions.HttpProcessingError, OSError, ValueError) as error:
            failures = TransportFailures(call, self._settings)
            failure: BaseException = (
                failures.too_slow()
                if timeout.expired()
                else _transport_error(
                    list(_exception_chain(error)), failures, has_proxy=self._proxy is not None
                )
            )
        except BaseException as error:  # noqa: BLE001 - raised again below
            # The task was cancelled. The traceback is dropped, because the client's frames have the URL.
            failure = error.with_traceback(None)
        raise failure


async def _sleep_all(waits: Iterable[float]) -> None:
    for wait in waits:
        await asyncio.sleep(wait)


async def _watched_read(response: aiohttp.ClientResponse, watch: ProgressWatch) -> bytes:
    start = time.monotonic()
    received = await response.content.read(BLOCK_SIZE)
    if received:
        watch.progressed(len(received))
        watch.waited(time.monotonic() - start)
    return received


def _one_request_for_each_call() -> aiohttp.TraceConfig:
    """
    Return a trace that lets each request use one connection.

    aiohttp sends a read again when a kept-alive connection is closed without an answer. That request
    would not count for ``max_retries`` and ``requests_per_second``; only the retry policy may send it.
    """

    async def count(session: aiohttp.ClientSession, context: Any, params: Any) -> None:
        connections = context.trace_request_ctx
        if connections:
            raise aiohttp.ServerDisconnectedError
        connections.append(True)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(count)
    trace.on_connection_reuseconn.append(count)
    return trace


def _trusting(bundle: str | None) -> ssl.SSLContext:
    """Return a context that trusts the certificates of a file or folder, or those that requests trusts."""
    if bundle is None:
        from certifi import where  # as requests does

        bundle = where()
    if Path(bundle).is_dir():
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)


def _transport_error(
    causes: list[BaseException], failures: TransportFailures, *, has_proxy: bool
) -> CyTechBotTransportError:
    """Return the error for an exception of the client, given with all exceptions that it wraps."""

    def found(*types: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, types)), None)

    if found(ssl.SSLCertVerificationError):
        return failures.untrusted(verify_message(causes))
    if found(aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError):
        return failures.by_proxy()
    if found(SlowAnswerError):
        return failures.too_slow()
    if found(OversizedFramingError):
        return failures.too_much_framing()
    if found(ssl.SSLError):
        # aiohttp's own SSL error has no reason, only the error that it wraps has one.
        reasons = (getattr(cause, "reason", None) for cause in causes if isinstance(cause, ssl.SSLError))
        in_handshake = found(aiohttp.ClientConnectorError) is not None
        return failures.no_tls(next(filter(None, reasons), ""), in_handshake=in_handshake)
    if has_proxy and found(aiohttp.ClientConnectorError):
        return failures.by_proxy()  # no other host is connected to
    if found(aiohttp.ClientConnectorDNSError, socket.gaierror):
        return failures.unresolved()
    if found(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        return failures.not_connected()
    if found(TimeoutError):
        return failures.timed_out()
    if found(aiohttp.ClientPayloadError):
        return failures.cut_off()
    if found(ConnectionError, aiohttp.ClientConnectionError, aiohttp.ClientResponseError):
        return failures.closed()
    if found(aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        return failures.unusable_url()
    return failures.other(causes[0])


def _exception_chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and all exceptions that it wraps, as cause or attribute."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        for name in ("certificate_error", "os_error"):
            if isinstance(inner := getattr(error, name, None), BaseException):
                yield inner
        error = error.__cause__
