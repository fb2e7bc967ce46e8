"""
A server for the benchmarks of writes, in a process of its own: each write succeeds after a delay.

    with running_server() as server:
        requests.post(f"{server.url}/50/assign_label")    # answered after 50 milliseconds
        received, seconds = server.calls()

An answer is sent in one piece: two sends and Nagle's algorithm would cost 40 ms a call on kept-alive
connections.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

_LABELS = b'{"status": "success", "label_info": [{"id": "5", "label_id": "5", "label_name": "VIP"}]}'
#: What each of the writes that are measured returns; a new contact has the call's number as its id.
_WRITTEN = b'{"status": "success", "success": true, "new_contact_id": %d}'


class WriteServer(NamedTuple):
    """
    A running server.

    :param url: Its address. A path begins with the delay in milliseconds.
    """

    url: str

    def calls(self) -> tuple[int, float]:
        """Return the number of writes since the last count, and the seconds from the first to the last."""
        with urllib.request.urlopen(f"{self.url}/calls") as answer:
            received, seconds = json.load(answer)
        return received, seconds


@contextmanager
def running_server() -> Iterator[WriteServer]:
    """Run a server."""
    spawn = multiprocessing.get_context("spawn")
    ports = spawn.Queue()
    process = spawn.Process(target=_serve, args=(ports,), daemon=True)
    process.start()
    try:
        yield WriteServer(f"http://127.0.0.1:{ports.get()}")
    finally:
        process.terminate()


def _serve(ports: Any) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


class _Connection(asyncio.Protocol):
    """Answers one request after the other."""

    written = counted = 0
    first = last = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(body) < length:
            return
        self._received = body[length:]
        path, delay = head.split(b" ")[1], 0.0
        if path == b"/calls":
            answer = json.dumps([_Connection.counted, _Connection.last - _Connection.first]).encode()
            _Connection.counted = 0
        elif b"get_all_labels" in path:
            answer = _LABELS
        else:
            answer, delay = self._write(), int(path.split(b"/")[1]) / 1000
        text = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        text %= len(answer), answer
        if delay:
            asyncio.get_running_loop().call_later(delay, self._transport.write, text)
        else:
            self._transport.write(text)

    def _write(self) -> bytes:
        """Count a write, and return its answer."""
        _Connection.last = time.monotonic()
        _Connection.first = _Connection.first if _Connection.counted else _Connection.last
        _Connection.counted += 1
        _Connection.written += 1
        return _WRITTEN % _Connection.written
