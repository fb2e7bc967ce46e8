"""A server on a raw socket: what it gives for answers is up to the test, see `answers`."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from urllib.parse import parse_qsl, urlsplit

from .answers import ok


class Request:
    def __init__(self, head: bytes, body: bytes, connection: int) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.verb, self.target, _ = first.split(" ")
        self.path = urlsplit(self.target).path
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        self.query = dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))
        self.form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        self.connection = connection


class FaultServer:
    """
    A server on a raw socket that answers as the test sets it up and records its requests.

    An answer is a function of the connection's socket; it returns whether the connection goes on.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        self._answers = [ok("[]")]
        self._choose = None
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        self.port = self._listener.getsockname()[1]
        self.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/api"

    def will(self, *answers) -> None:
        """Give these answers, one a request, and the last of them for ever."""
        self.requests.clear()
        self._answers = list(answers)
        self._choose = None

    def will_choose(self, choose) -> None:
        """Give each request the answer that a function returns for it."""
        self.requests.clear()
        self._choose = choose

    def stop(self) -> None:
        self.stopping.set()
        for each in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in self._threads)

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection, number), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._connections.append(connection)
            with connection:
                while request := self._read(connection, number):
                    self.requests.append(request)
                    if not self._answer_of(request)(connection, self):
                        return
        except OSError:
            connection.close()

    def _answer_of(self, request):
        if self._choose:
            return self._choose(request)
        return self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)

    @staticmethod
    def _read(connection: socket.socket, number: int) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            block = connection.recv(65536)
            if not block:
                return None
            data += block
        head, _, body = data.partition(b"\r\n\r\n")
        request = Request(head, b"", number)
        while len(body) < int(request.headers.get("content-length", 0)):
            body += connection.recv(65536)
        return Request(head, body, number)
