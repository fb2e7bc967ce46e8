"""The synchronous transport: sends a call with ``requests`` and hands back what came."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from airflow_provider_cytechbot.api.calls import FORM_CONTENT_TYPE
from airflow_provider_cytechbot.api.errors import CyTechBotSettingsError, CyTechBotTransportError
from airflow_provider_cytechbot.hooks.pace import pace_of
from airflow_provider_cytechbot.hooks.user_agent import user_agent

if TYPE_CHECKING:
    import requests

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.hooks.settings import Settings

T = TypeVar("T")

#: Seconds to wait for a connection: a server takes it at once, however long it thinks afterwards.
CONNECT_TIMEOUT = 10.0
#: Larger blocks only cost memory.
BLOCK_SIZE = 64 * 1024
#: A kept-alive connection that idled longer may be closed by the server just as the next call goes out.
MAX_IDLE = 2.0


class RequestsTransport:
    """
    Sends calls over one ``requests.Session``, connections kept alive.

    :param settings: The connection's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pace = pace_of(settings)
        self._last_used = 0.0

    @cached_property
    def session(self) -> requests.Session:
        """The session, set up from the settings. It does not hold the API key."""
        import requests
        from requests.utils import get_environ_proxies

        settings = self._settings
        session = requests.Session()
        # The environment is read here and not by requests, which would let it override the connection,
        # and would send a password from ~/.netrc along.
        session.trust_env = False
        environment = {} if settings.is_loopback else get_environ_proxies(settings.base_url)
        session.proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else environment
        session.verify = settings.verify_tls and (settings.ca_bundle or _environment_ca_bundle() or True)
        session.headers["User-Agent"] = user_agent()
        # Followed, a POST would arrive as a GET and a read's key at another host: requests sees no redirects.
        session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
        return session

    def send(self, call: Call[Any]) -> tuple[int, Mapping[str, str], bytes]:
        """
        Send a call and return status, headers and body of the answer, whatever they are.

        :param call: The call.
        :raises CyTechBotTransportError: No whole answer came.
        """
        with self.open(call) as response:
            body = _guarded(call, self._settings, lambda: response.content)
            return response.status_code, response.headers, body

    @contextmanager
    def open(self, call: Call[Any]) -> Iterator[requests.Response]:
        """
        Send a call and give access to the answer while its body is still on the way.

        :param call: The call.
        :raises CyTechBotTransportError: No answer came.
        """
        settings = self._settings
        time.sleep(self._pace.reserve())
        if not call.may_be_repeated and time.monotonic() - self._last_used > MAX_IDLE:
            self.session.close()  # a create lost to a stale connection could not be sent again
        response = _guarded(
            call,
            settings,
            lambda: self.session.request(
                call.endpoint.verb,
                call.url(settings.base_url, settings.api_key),
                data=call.body(settings.api_key),
                headers={"Content-Type": FORM_CONTENT_TYPE} if call.endpoint.verb == "POST" else None,
                timeout=(min(CONNECT_TIMEOUT, settings.timeout), settings.timeout),
                allow_redirects=False,
                stream=True,
            ),
        )
        try:
            yield response
        finally:
            response.close()
            self._last_used = time.monotonic()

    def blocks(self, call: Call[Any], response: requests.Response) -> Iterator[bytes]:
        """
        Yield the decompressed body of an answer in blocks.

        :param call: The call that was answered.
        :param response: The answer, as :meth:`open` gives it.
        :raises CyTechBotTransportError: The body ended early.
        """
        while block := _guarded(
            call, self._settings, lambda: response.raw.read(BLOCK_SIZE, decode_content=True)
        ):
            yield block


def _environment_ca_bundle() -> str | None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(name):
            if not Path(path).exists():
                raise CyTechBotSettingsError(
                    f"the environment variable {name} names what does not exist: {path!r}.",
                    "Correct it on the worker, or name a file in the extra 'ca_bundle'.",
                )
            return path
    return None


def _guarded(call: Call[Any], settings: Settings, do: Callable[[], T]) -> T:
    """
    Do some I/O and turn each transport exception into ours.

    Theirs hold the URL, and in it the key. Ours is raised outside the ``except`` (and not in a context
    manager's exit), so that theirs does not even stay behind as its ``__context__``.
    """
    import requests
    from urllib3.exceptions import HTTPError

    try:
        return do()
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        failure = _explain(list(_causes(error)), call, settings)
    raise failure


def _explain(causes: list[BaseException], call: Call[Any], settings: Settings) -> CyTechBotTransportError:
    """Say in our own words what a transport exception means."""
    from requests import exceptions as of_requests
    from urllib3 import exceptions as of_urllib3

    def found(*types: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, types)), None)

    server = urlsplit(settings.base_url).netloc
    if untrusted := found(ssl.SSLCertVerificationError):
        reason = getattr(untrusted, "verify_message", "") or "verification failed"
        return CyTechBotTransportError(
            f"the TLS certificate of {server} is not trusted: {reason.rstrip('.')}.",
            "Check the host, or name the file of your own authority in the extra 'ca_bundle'.",
            was_sent=False,
            worth_repeating=False,
        )
    not_connected = found(
        of_urllib3.NewConnectionError, of_urllib3.ConnectTimeoutError, of_requests.ConnectTimeout
    )
    refused_tunnel = any(str(cause).startswith("Tunnel connection failed") for cause in causes)
    # A ProxyError alone proves nothing: urllib3 raises it too for a connection reset after the call was sent.
    if refused_tunnel or (not_connected and found(of_urllib3.ProxyError)):
        return CyTechBotTransportError(
            f"the proxy could not be reached, or would not connect to {server}.",
            "Check the extra 'proxy', or the environment's proxy variables.",
            was_sent=False,
        )
    if found(socket.gaierror):
        return CyTechBotTransportError(
            f"the name of the host {server} could not be resolved.",
            "Check the host in the connection, and the worker's DNS.",
            was_sent=False,
        )
    if not_connected:
        return CyTechBotTransportError(
            f"no connection to {server} could be made.",
            "Check the host in the connection, and whether the server can be reached from the worker.",
            was_sent=False,
        )
    if found(of_urllib3.ReadTimeoutError, of_requests.ReadTimeout, TimeoutError):
        advice = "Raise the connection's extra 'timeout'"
        return CyTechBotTransportError(
            f"no data came for {settings.timeout:g} s.",
            f"{advice}: on a large campaign this call takes the server minutes."
            if call.endpoint.slow
            else f"{advice}.",
            worth_repeating=not call.endpoint.slow,  # the server would start its long work once more
        )
    if incomplete := found(http.client.IncompleteRead):
        got = getattr(incomplete, "partial", None)
        return CyTechBotTransportError(
            f"the answer was cut off{f' after {got} bytes' if isinstance(got, int) else ''}."
        )
    if found(of_urllib3.DecodeError, of_requests.ContentDecodingError):
        return CyTechBotTransportError("the answer's compression is damaged.")
    if tls := found(ssl.SSLError):
        is_tls = getattr(tls, "reason", "") != "WRONG_VERSION_NUMBER"  # something else answered the greeting
        return CyTechBotTransportError(
            f"the TLS connection to {server} failed.",
            "Does the host speak https?",
            was_sent=is_tls,
            worth_repeating=is_tls,
        )
    if found(ConnectionError, of_urllib3.ProtocolError):
        return CyTechBotTransportError(f"{server} closed the connection before its answer was whole.")
    if found(of_requests.InvalidURL, of_requests.InvalidSchema):
        return CyTechBotTransportError(
            f"a request to {server} could not be made: the host, or the proxy, is not a URL that works here.",
            "Check the host and the extra 'proxy', or the environment's proxy variables.",
            was_sent=False,
            worth_repeating=False,
        )
    return CyTechBotTransportError(f"the request to {server} failed ({type(causes[0]).__name__}).")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """
    Yield an exception and all that is wrapped in it, in whichever way the libraries wrap.

    Not its ``__context__``: where the caller is handling another exception, that one is at its end, and
    would be taken for the reason of this one.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [getattr(cause, "reason", None), cause.__cause__, *cause.args]
