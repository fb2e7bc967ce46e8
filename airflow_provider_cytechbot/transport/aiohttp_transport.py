"""The asynchronous transport: sends a call with ``aiohttp`` and hands back what came."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from airflow_provider_cytechbot.api.answers import is_success
from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.transport.content_coding import ACCEPTED, BLOCK_SIZE, ContentDecoder
from airflow_provider_cytechbot.transport.environment import ca_bundle, proxies
from airflow_provider_cytechbot.transport.failures import TransportFailures
from airflow_provider_cytechbot.transport.rate_limiter import rate_limiter_for
from airflow_provider_cytechbot.transport.requests_transport import CONNECT_TIMEOUT
from airflow_provider_cytechbot.transport.user_agent import user_agent

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.transport.settings import Settings

T = TypeVar("T")


class AiohttpTransport:
    """
    Sends calls over one ``aiohttp.ClientSession``.

    Making one reads files: not to be done in an event loop. Its session is opened, used and closed in one.

    :param settings: The connection's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pace = rate_limiter_for(settings)
        self._session: aiohttp.ClientSession | None = None
        self._user_agent = user_agent()
        scheme = urlsplit(settings.base_url).scheme
        # Like requests, aiohttp is not let near the environment, which would override the connection.
        by_scheme = proxies(settings)
        self._proxy = by_scheme.get(scheme) or by_scheme.get("all")
        self._ssl: ssl.SSLContext | bool = _trusting(ca_bundle(settings)) if settings.verify_tls else False

    def open_session(self) -> None:
        """Open the session. It does not hold the API key."""
        timeout = self._settings.timeout
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._ssl),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._user_agent, "Accept-Encoding": ACCEPTED},
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=min(CONNECT_TIMEOUT, timeout), sock_read=timeout
            ),
            trust_env=False,
            read_bufsize=BLOCK_SIZE,
        )

    async def close(self) -> None:
        """Close the session and its connections."""
        if self._session is not None:
            await self._session.close()

    async def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str], bytes]:
        """
        Send a call and return status, headers and body of the answer, whatever they are.

        :param call: The call.
        :raises CyTechBotTransportError: No whole answer came.
        """
        async with self.open(call) as response:
            return response.status, response.headers, await self.body(call, response)

    @asynccontextmanager
    async def open(self, call: Call[Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """
        Send a call and give access to the answer while its body is still on the way.

        :param call: The call.
        :raises CyTechBotTransportError: No answer came.
        """
        settings = self._settings
        if self._session is None:
            raise RuntimeError("the session is not open")
        if wait := self._pace.reserve():
            await asyncio.sleep(wait)
        response = await _guarded(
            call,
            settings,
            self._session.request(
                call.endpoint.verb,
                URL(call.url(settings.base_url, settings.api_key), encoded=True),
                data=call.body(settings.api_key),
                headers=call.headers,
                proxy=self._proxy,
                allow_redirects=False,
            ),
        )
        try:
            yield response
        finally:
            response.close()

    async def body(self, call: Call[Any], response: aiohttp.ClientResponse) -> bytes:
        """
        Return the whole decompressed body of an answer.

        :param call: The call that was answered.
        :param response: The answer, as :meth:`open` gives it.
        :raises CyTechBotTransportError: The body ended early.
        """
        try:
            return b"".join([block async for block in self.blocks(call, response)])
        except CyTechBotTransportError:
            if is_success(response.status):
                raise
            return b""  # an error page that is cut off: its status says all there is to know

    async def blocks(self, call: Call[Any], response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """
        Yield the decompressed body of an answer in blocks.

        :param call: The call that was answered.
        :param response: The answer, as :meth:`open` gives it.
        :raises CyTechBotTransportError: The body ended early.
        """
        settings = self._settings
        decoder = ContentDecoder(response.headers.get("Content-Encoding"), TransportFailures(call, settings))
        while received := await _guarded(call, settings, response.content.read(BLOCK_SIZE)):
            for block in decoder.decode(received):
                yield block
        decoder.finish()


def _trusting(bundle: str | None) -> ssl.SSLContext:
    """Return a context that trusts the certificates of a file or folder, or those that requests trusts."""
    if bundle is None:
        from certifi import where  # as requests does

        bundle = where()
    if Path(bundle).is_dir():
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)


async def _guarded(call: Call[Any], settings: Settings, do: Awaitable[T]) -> T:
    """
    Do some I/O and turn each transport exception into ours.

    Theirs hold the URL, and in it the key. Ours is raised outside the ``except``, so that theirs does not
    even stay behind as its ``__context__``.
    """
    try:
        return await do
    except (aiohttp.ClientError, http_exceptions.HttpProcessingError, OSError, ValueError) as error:
        failure = _explain(list(_causes(error)), TransportFailures(call, settings))
    raise failure


def _explain(causes: list[BaseException], failures: TransportFailures) -> CyTechBotTransportError:
    """Say in our own words what a transport exception means."""

    def found(*types: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, types)), None)

    if untrusted := found(ssl.SSLCertVerificationError):
        return failures.untrusted(getattr(untrusted, "verify_message", "") or "verification failed")
    if found(aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError):
        return failures.by_proxy()
    if found(aiohttp.ClientConnectorDNSError, socket.gaierror):
        return failures.unresolved()
    if found(ssl.SSLError):
        # aiohttp's own error is one, too, but without a reason: that stands in what it was made from.
        reasons = (getattr(cause, "reason", None) for cause in causes if isinstance(cause, ssl.SSLError))
        return failures.no_tls(next(filter(None, reasons), ""))
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


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and all that it was made from, in whichever way the library says so."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        for name in ("certificate_error", "os_error"):
            if isinstance(inner := getattr(error, name, None), BaseException):
                yield inner
        error = error.__cause__
