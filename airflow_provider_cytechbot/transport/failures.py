"""The errors of calls without a whole answer. Each transport maps its own exceptions to these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.transport.answer_limits import MAX_FRAMING_BYTES
from airflow_provider_cytechbot.transport.client_config import proxies

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.transport.settings import Settings


class TransportFailures:
    """
    The failures of one call.

    :param call: The call.
    :param settings: The connection's settings.
    """

    def __init__(self, call: Call[Any], settings: Settings) -> None:
        self._call = call
        self._settings = settings
        self._server = urlsplit(settings.base_url).netloc

    def untrusted(self, reason: str) -> CyTechBotTransportError:
        """
        Return the error for a certificate that is not trusted.

        :param reason: The reason that the TLS library gives.
        """
        has_tls_proxy = any(url.startswith("https://") for url in proxies(self._settings).values())
        server = f"the proxy or of {self._server}" if has_tls_proxy else self._server
        return CyTechBotTransportError(
            f"the TLS certificate of {server} is not trusted: {reason.rstrip('.')}.",
            "Check the host, or name the file of your own authority in the extra 'ca_bundle'.",
            was_sent=False,
            is_transient=False,
        )

    def by_proxy(self) -> CyTechBotTransportError:
        """Return the error for a proxy that cannot be reached or will not connect."""
        return CyTechBotTransportError(
            f"the proxy could not be reached, or would not connect to {self._server}.",
            "Check the extra 'proxy', or the environment's proxy variables.",
            was_sent=False,
        )

    def unresolved(self) -> CyTechBotTransportError:
        """Return the error for a host name that DNS does not resolve."""
        return CyTechBotTransportError(
            f"the name of the host {self._server} could not be resolved.",
            "Check the host in the connection, and the worker's DNS.",
            was_sent=False,
        )

    def not_connected(self) -> CyTechBotTransportError:
        """Return the error for a server that accepts no connection."""
        return CyTechBotTransportError(
            f"no connection to {self._server} could be made.",
            "Check the host in the connection, and whether the server can be reached from the worker.",
            was_sent=False,
        )

    def timed_out(self) -> CyTechBotTransportError:
        """Return the error for a server that sends nothing for too long."""
        hint = "Raise the connection's extra 'timeout'"
        return CyTechBotTransportError(
            f"no data came for {self._settings.timeout:g} s.",
            f"{hint}: on a large campaign this call takes the server minutes."
            if self._call.endpoint.slow
            else f"{hint}.",
            is_transient=not self._call.endpoint.slow,  # the server would start its long work once more
        )

    def too_slow(self) -> CyTechBotTransportError:
        """Return the error for an answer that arrives too slowly."""
        return CyTechBotTransportError(
            "the answer came too slowly: the connection was given up.",
            "Check the server, and any proxy in front of it; a larger extra 'timeout' allows a lower rate.",
            is_transient=not self._call.endpoint.slow,
        )

    def too_large(self, limit: int) -> CyTechBotTransportError:
        """
        Return the error for an answer that does not fit into memory.

        :param limit: The bytes that such an answer may have, decompressed.
        """
        hint = "Use iter_flow_answers, which has no such limit." if self._call.endpoint.slow else ""
        return CyTechBotTransportError(
            f"the answer is larger than {limit // 2**20} MiB.",
            hint or "No answer of this call should be: check the server.",
            is_transient=False,
        )

    def too_much_framing(self) -> CyTechBotTransportError:
        """Return the error for an answer with too many headers, interim answers or trailers."""
        return CyTechBotTransportError(
            f"the answer has more than {MAX_FRAMING_BYTES // 1024} KiB beside its body (headers, interim "
            "answers, chunk sizes or trailers).",
            "Check the server, and any proxy in front of it.",
            is_transient=False,
        )

    def cut_off(self, received: int | None = None) -> CyTechBotTransportError:
        """
        Return the error for an answer that ended early.

        :param received: After how many bytes, where that is known.
        """
        return CyTechBotTransportError(
            f"the answer was cut off{'' if received is None else f' after {received} bytes'}."
        )

    def damaged(self) -> CyTechBotTransportError:
        """Return the error for an answer that cannot be decompressed."""
        return CyTechBotTransportError("the answer's compression is damaged.")

    def unknown_coding(self) -> CyTechBotTransportError:
        """Return the error for an answer in a ``Content-Encoding`` that the request did not accept."""
        return CyTechBotTransportError(
            "the answer is compressed in a way that the request did not accept.",
            "Let the server, or a proxy before it, send it as gzip or as it is.",
            is_transient=False,
        )

    def compression_cut_off(self) -> CyTechBotTransportError:
        """Return the error for a compressed answer without its end."""
        return CyTechBotTransportError("the answer's compression ends early.")

    def no_tls(self, reason: str, *, in_handshake: bool) -> CyTechBotTransportError:
        """
        Return the error for a TLS connection that failed.

        :param reason: The TLS library's code for it.
        :param in_handshake: Whether it failed before anything of the call could be sent.
        """
        is_tls = reason != "WRONG_VERSION_NUMBER"  # something else answered the greeting
        return CyTechBotTransportError(
            f"the TLS connection to {self._server} failed.",
            "Does the host speak https?",
            was_sent=not in_handshake,
            is_transient=is_tls or not in_handshake,
        )

    def closed(self) -> CyTechBotTransportError:
        """Return the error for a connection that was closed or reset."""
        return CyTechBotTransportError(f"{self._server} closed the connection before its answer was whole.")

    def unusable_url(self) -> CyTechBotTransportError:
        """Return the error for a URL that the client will not use."""
        return CyTechBotTransportError(
            f"a request to {self._server} could not be made: the host, or the proxy, is not a usable URL.",
            "Check the host and the extra 'proxy', or the environment's proxy variables.",
            was_sent=False,
            is_transient=False,
        )

    def other(self, error: BaseException) -> CyTechBotTransportError:
        """
        Return the error for any other exception. Only its type is used, because its text can have the URL.

        :param error: The exception of the client.
        """
        return CyTechBotTransportError(f"the request to {self._server} failed ({type(error).__name__}).")


def verify_message(causes: list[BaseException]) -> str:
    """
    Return why a certificate is not trusted.

    :param causes: The exceptions of the client. Some wrap the one of the TLS library, which has the reason.
    """
    messages = (getattr(cause, "verify_message", None) for cause in causes)
    return next(filter(None, messages), "verification failed")
