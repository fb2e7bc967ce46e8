"""What the operators' integration tests share: tasks as Airflow tries them, and a fault server."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import Counter
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.transport import retry
from tests.task_instance import task_instance


class Task:
    """Runs an operator as Airflow does: try after try, until it is done or has failed for good."""

    def __init__(self, retries: int = 2, *, has_store: bool = True) -> None:
        self.retries = retries
        self.tries = 0
        self.errors: list[BaseException] = []
        self.xcoms: dict[str, object] = {}
        self._entries: dict[str, object] = {}
        self._has_store = has_store

    @property
    def _context(self):
        ti = task_instance(self.xcoms, try_number=self.tries, retries=self.retries)
        store = SimpleNamespace(
            get=self._entries.get,
            set=self._entries.__setitem__,
            delete=lambda key: self._entries.pop(key, None),
        )
        return {"ti": ti} | ({"task_state_store": store} if self._has_store else {})

    def run(self, make):
        """Return what the last try returned, or raise what it raised."""
        while True:
            self.tries += 1
            try:
                return make().execute(self._context)
            except Exception as error:
                self.errors.append(error)
                if isinstance(error, AirflowFailException) or self.tries > self.retries:
                    raise


@pytest.fixture
def task():
    return Task


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)


@pytest.fixture
def connect(monkeypatch):
    """Let the connection `cytechbot_default` lead to a URL."""

    def connect(host, api_key="1-some-key", **extra):
        connection = {"conn_type": "cytechbot", "host": host, "password": api_key, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))

    return connect


class CountingServer:
    """
    Counts the requests that arrive, whole or in part, and does to each connection what the test sets.

    It shares nothing with the sandbox, so that the two cannot err alike.
    """

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.bodies: list[str] = []
        #: By the endpoint's name: `hang up`, `reset`, `half`, a status with headers, or the JSON to answer.
        self.script: dict[str, object] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            head = b"".join(iter(stream.readline, b"\r\n")).decode("latin-1")
            if not head:
                return
            endpoint = head.split(" ")[1].removeprefix("/api/").split("?")[0].split("/")[0]
            self.received[endpoint] += 1
            (length,) = [
                int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:")
            ] or [0]
            self.bodies.append(stream.read(length).decode())
            what = self.script.get(endpoint, "hang up")
            if what == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif what == "half":
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"status": "succ')
            elif isinstance(what, tuple):
                connection.sendall(f"HTTP/1.1 {what[0]} X\r\n{what[1]}Content-Length: 0\r\n\r\n".encode())
            elif what != "hang up":
                body = json.dumps(what).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode() + body)


@pytest.fixture
def server(connect):
    """A counting server, to which the connection leads."""
    server = CountingServer()
    connect(server.url, max_retries=2)
    yield server
    server.close()
