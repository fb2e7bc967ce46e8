"""How an answer leaves the server: whole, late, in pieces, cut short, compressed, or not at all."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Any

from airflow_provider_cytechbot.sandbox.faults import Fault, FaultKind
from airflow_provider_cytechbot.sandbox.php_json import encode

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = "application/json"
HTML = "text/html; charset=UTF-8"

_BOM = b"\xef\xbb\xbf"
_NOTICE = (
    "<br />\n<b>Notice</b>:  Undefined offset: 0 in <b>/var/www/html/application/controllers/Api.php</b> "
    "on line <b>1008</b><br />\n"
)
_LOGIN_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>Login</title></head>"
    '<body><form action="/home/login" method="post"><input name="username"></form></body></html>\n'
)

#: The texts of Facebook's error codes, and whether the same call may succeed later.
_FACEBOOK_ERRORS = {
    1: ("An unknown error occurred", True),
    2: ("Service temporarily unavailable", True),
    4: ("Application request limit reached", True),
    10: ("Application does not have permission for this action", False),
    17: ("User request limit reached", True),
    32: ("Page request limit reached", True),
    190: ("Error validating access token: Session has expired.", False),
    200: ("Requires pages_messaging permission to manage the object", False),
    613: ("Calls to this api have exceeded the rate limit.", True),
}


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: its body in pieces, and the length of the body where that is known."""

    pieces: Iterable[bytes]
    length: int | None
    status: int = 200
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = JSON,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Answer:
        """Make an answer of a whole body."""
        return cls([body], len(body), status, content_type, headers)


def error_page(status: int, title: str) -> Answer:
    """Return a web server's own page about an error."""
    text = (
        f"<html><head><title>{status} {title}</title></head><body><h1>{status} {title}</h1></body></html>\n"
    )
    return Answer.of(text.encode(), status=status, content_type=HTML)


class Closing(Exception):  # noqa: N818 - an event, not an error
    """The server stops and drops all connections."""


class Delivery:
    """
    Sends answers, with or without a fault.

    :param closing: set when the server stops, so that no delay goes on
    """

    def __init__(self, closing: asyncio.Event) -> None:
        self._closing = closing

    async def pause(self, seconds: float) -> None:
        """Sleep, and raise `Closing` if the server stops meanwhile."""
        if not seconds:
            return
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return
        raise Closing

    async def deliver(self, answer: Answer | None, fault: Fault | None, receive: Receive, send: Send) -> None:
        """
        Send an answer with its fault.

        :param answer: the API's answer, None where the fault kept the request from the API
        :param fault: the fault of the request, if any
        :param receive: the connection's ASGI `receive`
        :param send: the connection's ASGI `send`, uvicorn's own
        """
        if fault is None:
            await self._send(_known(answer), receive, send)
            return
        if fault.kind is FaultKind.TRICKLE:
            await self._send(
                replace(_known(answer), pieces=_in_pieces(_known(answer).pieces, fault.size or 1)),
                receive,
                send,
                seconds_between=fault.seconds,
            )
            return
        await self.pause(fault.seconds)
        if fault.kind in (FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER):
            await _end_connection(receive, send, reset=True)
        elif fault.kind is FaultKind.INTERIM:
            # ASGI has no message for it, so it goes to the transport directly.
            _transport(send).write(f"HTTP/1.1 {fault.status or 103} Interim\r\nLink: </x>\r\n\r\n".encode())
            await self._send(_known(answer), receive, send)
        elif fault.kind in (FaultKind.TRUNCATE, FaultKind.TRUNCATE_CHUNKED):
            whole = _known(answer)
            left = _cut_at(whole, fault)
            length = None if fault.kind is FaultKind.TRUNCATE_CHUNKED else whole.length
            await self._send(
                replace(whole, pieces=_first(whole.pieces, left), length=length), receive, send, cut=True
            )
        else:
            await self._send(_changed(answer, fault), receive, send)

    async def _send(
        self, answer: Answer, receive: Receive, send: Send, *, seconds_between: float = 0.0, cut: bool = False
    ) -> None:
        transport = _transport(send)
        headers = [("content-type", answer.content_type), *answer.headers]
        if answer.length is not None:
            headers.append(("content-length", str(answer.length)))
        raw_headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw_headers})
        for number, piece in enumerate(answer.pieces):
            if transport.is_closing():
                return
            if number:
                await self.pause(seconds_between)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if cut:
            await _end_connection(receive, send, reset=False)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _known(answer: Answer | None) -> Answer:
    # The fault kept the request from the API, so there is no answer to change.
    return Answer.of(b"") if answer is None else answer


def _transport(send: Send) -> asyncio.Transport:
    # ASGI has no message to drop a connection, so the transport is taken from uvicorn's request cycle.
    transport: asyncio.Transport | None = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("the sandbox must be run by uvicorn directly, without middleware around it")
    return transport


async def _end_connection(receive: Receive, send: Send, *, reset: bool) -> None:
    transport = _transport(send)
    if reset:
        connection: socket.socket = transport.get_extra_info("socket")
        # Lingering for 0 seconds turns the close into a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    # Uvicorn sends status 500 if the application returns before the disconnect is noticed.
    while (await receive())["type"] != "http.disconnect":
        pass


def _cut_at(answer: Answer, fault: Fault) -> int:
    return (answer.length or 0) // 2 if fault.size is None else fault.size


def _in_pieces(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]


def _first(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        if len(piece) >= size:
            yield piece[:size]
            return
        size -= len(piece)
        yield piece


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(wbits=31)
    for piece in pieces:
        compressed = compressor.compress(piece)
        if compressed:
            yield compressed
    yield compressor.flush()


def _with_prefix(answer: Answer, prefix: bytes, content_type: str) -> Answer:
    def pieces() -> Iterator[bytes]:
        yield prefix
        yield from answer.pieces

    length = None if answer.length is None else answer.length + len(prefix)
    return replace(answer, pieces=pieces(), length=length, content_type=content_type)


def _changed(answer: Answer | None, fault: Fault) -> Answer:
    """Return the API's answer as the fault changes it."""
    text = None if fault.body is None else fault.body.encode("utf-8", "surrogateescape")
    match fault.kind:
        case FaultKind.STATUS | FaultKind.REDIRECT:
            status = fault.status or 302
            page = error_page(status, "Found" if 300 <= status < 400 else "Sandbox fault")
            headers: list[tuple[str, str]] = []
            if fault.kind is FaultKind.REDIRECT:
                headers.append(("location", fault.location))
            if fault.retry_after is not None:
                headers.append(("retry-after", _retry_after(fault)))
            page = replace(page, headers=tuple(headers), content_type=fault.content_type or HTML)
            return page if text is None else replace(page, pieces=[text], length=len(text))
        case FaultKind.HTML:
            body = _LOGIN_PAGE.encode() if text is None else text
            return Answer.of(body, status=fault.status or 200, content_type=fault.content_type or HTML)
        case FaultKind.BODY:
            return Answer.of(text or b"", status=fault.status or 200, content_type=fault.content_type or JSON)
        case FaultKind.FACEBOOK_ERROR:
            return Answer.of(encode({"status": "error", "message": _facebook_message(fault)}))
        case FaultKind.BOM:
            return _with_prefix(_known(answer), _BOM, fault.content_type or JSON)
        case FaultKind.NOTICE:
            notice = _NOTICE.encode() if text is None else text
            return _with_prefix(_known(answer), notice, fault.content_type or HTML)
        case FaultKind.TRUNCATE_JSON:
            whole = _known(answer)
            left = min(_cut_at(whole, fault), whole.length or 0)
            return replace(whole, pieces=_first(whole.pieces, left), length=left)
        case FaultKind.GZIP:
            whole = _known(answer)
            encoding = (*whole.headers, ("content-encoding", "gzip"))
            return replace(whole, pieces=_compressed(whole.pieces), length=None, headers=encoding)
        case FaultKind.CHUNKED:
            return replace(_known(answer), length=None)
        case _:
            return _known(answer)


def _facebook_message(fault: Fault) -> dict[str, Any] | str:
    text, is_transient = _FACEBOOK_ERRORS.get(fault.code, ("An unknown error has occurred.", False))
    message = f"(#{fault.code}) {text}"
    if fault.as_text:
        return message
    return {
        "message": message,
        "type": "OAuthException",
        "code": fault.code,
        "is_transient": is_transient,
        "fbtrace_id": "A1b2C3d4E5f/6789",
    }


def _retry_after(fault: Fault) -> str:
    seconds = fault.retry_after or 0.0
    if fault.retry_after_date:
        return formatdate(time.time() + seconds, usegmt=True)
    return f"{seconds:g}"
