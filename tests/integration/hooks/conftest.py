"""What the hook's integration tests share: a fault server of their own, and a hunt for the key."""

from __future__ import annotations

import contextlib
import html
import json
import logging
import socket
import ssl
import struct
import threading
import traceback
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import pytest

import airflow_provider_cytechbot
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.hooks import retry
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

PACKAGE = str(Path(airflow_provider_cytechbot.__file__).parent)
#: Characters that each encoding spells differently.
KEY = 'a b/c+d%e"é&<f>'


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
    A server on a raw socket that answers as it is told and writes down what it was asked.

    An answer is a function of the connection's socket; it returns whether the connection goes on.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        self._answers = [ok("[]")]
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
                    answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
                    if not answer(connection, self):
                        return
        except OSError:
            connection.close()

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


def raw(*pieces: bytes, seconds: float = 0, goes_on: bool = False):
    """Answer with these bytes, with so many seconds between them."""

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


class Answers:
    """The kinds of answers, for the tests, which cannot import this file."""

    raw, ok, reset, close, hang = (
        staticmethod(raw),
        staticmethod(ok),
        staticmethod(reset),
        staticmethod(close),
        staticmethod(hang),
    )


@pytest.fixture(scope="session")
def answers():
    return Answers


@pytest.fixture
def fault_server():
    server = FaultServer()
    yield server
    server.stop()


@pytest.fixture
def start_server():
    """Start further servers, with TLS for instance."""
    servers = []

    def start(tls=None):
        servers.append(FaultServer(tls))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def key():
    return KEY


@pytest.fixture
def connect(monkeypatch):
    """Define a connection and return a hook for it."""

    def connect(host, password=KEY, **extra):
        extra = {"timeout": 5, "max_retries": 2, **extra}
        connection = {"conn_type": "cytechbot", "host": host, "password": password, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
        return CyTechBotHook()

    return connect


@pytest.fixture
def sandbox(cytechbot_sandbox):
    return cytechbot_sandbox


@pytest.fixture
def hook(sandbox, connect):
    """A hook whose connection leads to the sandbox."""
    return connect(sandbox.base_url, sandbox.api_key)


@pytest.fixture(autouse=True)
def hardly_any_waiting(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)


def forms_of_the_key() -> list[str]:
    """Spell the key in every way, without the help of the provider."""
    percent, plus = quote(KEY, safe=""), quote_plus(KEY)
    lower = "".join(
        f"%{part[:2].lower()}{part[2:]}" if number else part for number, part in enumerate(percent.split("%"))
    )
    in_json = json.dumps(KEY)[1:-1]
    return [
        KEY,
        percent,
        plus,
        lower,
        quote(KEY),
        quote(percent, safe=""),
        html.escape(KEY),
        html.escape(KEY, quote=False),
        in_json,
        in_json.replace("/", "\\/"),
        json.dumps(KEY, ensure_ascii=False)[1:-1],
        KEY.encode().decode("latin-1"),
        repr(KEY)[1:-1],
        repr(KEY.encode())[2:-1],
    ]


def find_key(text: str) -> list[str]:
    return [form for form in forms_of_the_key() if form in text]


def chain(error: BaseException) -> list[BaseException]:
    found, waiting = [], [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__]
    return found


def locals_of_the_package(error: BaseException) -> list[str]:
    """Show what an error tracker would show: the variables of each of the provider's frames."""
    return [
        f"{frame.f_code.co_name}: {name} = {value!r}"
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename.startswith(PACKAGE)
        for name, value in frame.f_locals.items()
    ]


@pytest.fixture
def holds_no_key():
    """Return a check of an error and all that hangs on it."""

    def check(error: BaseException) -> None:
        assert isinstance(error, CyTechBotError)
        for each in chain(error):
            module = type(each).__module__
            assert module.startswith("airflow"), f"{module} is in the chain: {each!r}"
            shown = [str(each), repr(each), repr(each.args), repr(vars(each)), *locals_of_the_package(each)]
            for text in [*shown, "".join(traceback.format_exception(each))]:
                assert not find_key(text), text
            assert "api_key=" not in str(each)
            assert "?" not in each.asked

    return check


@pytest.fixture(autouse=True)
def no_log_shows_the_key(caplog, recwarn):
    """Look for the key in all that is logged, at DEBUG and by whomever, and warned of."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    yield
    for phase in ("setup", "call"):
        for record in caplog.get_records(phase):
            text = logging.Formatter().format(record)
            assert not find_key(text), text
            assert not find_key(repr(record.args)), record.args
    for warning in recwarn:
        assert not find_key(str(warning.message))
