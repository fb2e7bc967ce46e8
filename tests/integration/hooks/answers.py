"""What a fault server can do with a request: answer well, badly, in part or not at all."""

from __future__ import annotations

import socket
import struct


def raw(*pieces: bytes, seconds: float = 0, goes_on: bool = False):
    """Answer with these bytes, with a number of seconds between them."""

    def answer(connection, server):
        for number, piece in enumerate(pieces):
            if number and server.stopping.wait(seconds):
                return False
            connection.sendall(piece)
        return goes_on

    return answer


def ok(body: str | bytes = "[]", *headers: str, status: str = "200 OK", keep: bool = True):
    """Answer as a web server does."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return raw("\r\n".join([*lines, "", ""]).encode() + body, goes_on=keep)


def reset(connection, server):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return False


def close(connection, server):
    return False


def hang(connection, server):
    server.stopping.wait(10)
    return False
