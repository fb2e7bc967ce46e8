"""The synchronous transport: sends a call with ``requests`` and returns the answer."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_cytechbot.transport.answer_body import AnswerBody
from airflow_provider_cytechbot.transport.answer_limits import OversizedFramingError, SlowAnswerError
from airflow_provider_cytechbot.transport.client_config import ca_bundle, proxies, user_agent
from airflow_provider_cytechbot.transport.content_coding import ACCEPTED, BLOCK_SIZE, ContentDecoder
from airflow_provider_cytechbot.transport.failures import TransportFailures, verify_message
from airflow_provider_cytechbot.transport.rate_limiter import rate_limiter_for

if TYPE_CHECKING:
    import requests

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
    from airflow_provider_cytechbot.transport.settings import Settings

T = TypeVar("T")

#: Seconds to wait for a connection. Even a server that is slow to answer accepts one at once.
CONNECT_TIMEOUT = 10.0


class RequestsTransport:
    """
    Sends calls over one ``requests.Session``, connections kept alive.

    :param settings: The connection's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.limiter = rate_limiter_for(settings)

    @cached_property
    def session(self) -> requests.Session:
        """The session, set up from the settings. It does not hold the API key."""
        import requests

        from airflow_provider_cytechbot.transport.http_connections import Adapter

        settings = self._settings
        session = requests.Session()
        # The environment is read in client_config. requests would let it override the connection, and would
        # also send a password from ~/.netrc.
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter())
        session.proxies = proxies(settings)
        session.verify = settings.verify_tls and (ca_bundle(settings) or True)
        session.headers["User-Agent"] = user_agent()
        session.headers["Accept-Encoding"] = ACCEPTED
        # Redirects are not followed: a POST would become a GET, and a read's key would go to another host.
        session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
        return session

    def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str], bytes]:
        """
        Send a call and return the status, headers and body of the answer.

        :param call: The call.
        :raises CyTechBotTransportError: No complete answer arrived.
        """
        with self.open(call) as response:
            return response.status_code, response.headers, self.body(call, response)

    @contextmanager
    def open(self, call: Call[Any]) -> Iterator[requests.Response]:
        """
        Send a call and yield the answer before its body is read.

        :param call: The call.
        :raises CyTechBotTransportError: No answer arrived.
        """
        settings = self._settings
        for wait in self.limiter.waits():
            time.sleep(wait)
        if not call.is_repeatable:
            # A server may close a kept-alive connection just as the next call is sent, and a lost
            # create must not be sent again. The session opens a new connection.
            self.session.close()
        response = _translate_errors(
            call,
            settings,
            lambda: self.session.request(
                call.endpoint.verb,
                call.url(settings.base_url, settings.api_key),
                data=call.body(settings.api_key),
                headers=call.headers,
                timeout=(min(CONNECT_TIMEOUT, settings.timeout), settings.timeout),
                allow_redirects=False,
                stream=True,
            ),
        )
        try:
            yield response
        finally:
            response.close()

    def body(self, call: Call[Any], response: requests.Response) -> bytes:
        """
        Return the decompressed body of an answer that is not streamed; for an error page, its beginning.

        :param call: The call that was answered.
        :param response: The answer from :meth:`open`.
        :raises CyTechBotTransportError: The body ended early, is too large or too slow.
        """
        body = AnswerBody(call, self._settings, response.status_code)
        with suppress(*body.ignored_errors):
            for block in self._blocks(call, response, getattr(response.raw, "read1", response.raw.read)):
                if not body.add(block):
                    break
        return bytes(body.content)

    def blocks(self, call: Call[Any], response: requests.Response) -> Iterator[bytes]:
        """
        Yield the decompressed body of an answer in blocks.

        :param call: The call that was answered.
        :param response: The answer from :meth:`open`.
        :raises CyTechBotTransportError: The body ended early.
        """
        return self._blocks(call, response, response.raw.read)

    def _blocks(
        self, call: Call[Any], response: requests.Response, read: Callable[..., bytes]
    ) -> Iterator[bytes]:
        settings = self._settings
        decoder = ContentDecoder(response.headers, TransportFailures(call, settings))
        while received := _translate_errors(call, settings, lambda: read(BLOCK_SIZE, decode_content=False)):
            yield from decoder.decode(received)
        if rest := decoder.finish():
            yield rest


def _translate_errors(call: Call[Any], settings: Settings, operation: Callable[[], T]) -> T:
    """
    Run an I/O operation, and convert each exception of the client into an error of this provider.

    The client's exceptions have the URL with the key. The new error is raised outside the ``except`` (and not
    in the exit of a context manager), so that the client's exception is not its ``__context__``.
    """
    import requests
    from urllib3.exceptions import HTTPError

    try:
        return operation()
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        failure: BaseException = _transport_error(
            list(_exception_chain(error)), TransportFailures(call, settings)
        )
    except BaseException as error:  # noqa: BLE001 - raised again below
        # The task was ended or timed out. The traceback is dropped, because the client's frames have the URL.
        failure = error.with_traceback(None)
    raise failure


def _transport_error(causes: list[BaseException], failures: TransportFailures) -> CyTechBotTransportError:
    """Return the error for an exception of the client, given with all exceptions that it wraps."""
    from requests import exceptions as of_requests
    from urllib3 import exceptions as of_urllib3

    def found(*types: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, types)), None)

    if found(ssl.SSLCertVerificationError):
        return failures.untrusted(verify_message(causes))
    if found(SlowAnswerError):
        return failures.too_slow()
    if found(OversizedFramingError):
        return failures.too_much_framing()
    not_connected = found(
        of_urllib3.NewConnectionError, of_urllib3.ConnectTimeoutError, of_requests.ConnectTimeout
    )
    # The type matters: the text of other exceptions can be a line of the server.
    refused_tunnel = any(
        type(cause) is OSError and str(cause).startswith("Tunnel connection failed") for cause in causes
    )
    # In this order: a broken certificate is an SSL error too, a refused proxy a failed connection.
    # A ProxyError alone proves nothing: urllib3 raises it too for a connection reset after the call was sent.
    if refused_tunnel or (not_connected and found(of_urllib3.ProxyError)):
        return failures.by_proxy()
    if found(socket.gaierror):
        return failures.unresolved()
    if not_connected:
        return failures.not_connected()
    if found(of_urllib3.ReadTimeoutError, of_requests.ReadTimeout, TimeoutError):
        return failures.timed_out()
    if incomplete := found(http.client.IncompleteRead):
        got = getattr(incomplete, "partial", None)
        return failures.cut_off(got if isinstance(got, int) else None)
    if tls := found(ssl.SSLError):
        in_handshake = any(getattr(cause, "in_handshake", False) for cause in causes)
        return failures.no_tls(getattr(tls, "reason", "") or "", in_handshake=in_handshake)
    if found(ConnectionError, of_urllib3.ProtocolError):
        return failures.closed()
    if found(of_requests.InvalidURL, of_requests.InvalidSchema):
        return failures.unusable_url()
    return failures.other(causes[0])


def _exception_chain(error: BaseException | None) -> Iterator[BaseException]:
    """
    Yield an exception and all exceptions that it wraps, as cause, attribute or argument.

    The ``__context__`` is skipped: it may be an exception that the caller was handling already.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [getattr(cause, "reason", None), cause.__cause__, *cause.args]
