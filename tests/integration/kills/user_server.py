"""A server of users that shares no code with the sandbox, so that the two cannot err alike."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

USERS = 60


class UserServer(ThreadingHTTPServer):
    """
    Keeps the validity of users, and loses every fifth response to an update that it has made.

    :param users: The number of users.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, users: int = USERS) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/api"
        self.lock = threading.Lock()
        self.validity = {str(each): date(2060, 1, 1) + timedelta(days=each) for each in range(1, users + 1)}
        self.dates: dict[str, list[str]] = defaultdict(list)
        self.updates = 0
        self.delay = 0.004
        #: Called after each update, before the response to it.
        self.on_update: Callable[[], None] = lambda: None

    def handle_error(self, request, client_address):
        """Leave out tracebacks of clients that hung up."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: UserServer

    def log_message(self, *_):
        """Log nothing."""

    def do_GET(self):
        user_id = parse_qs(urlsplit(self.path).query)["user_id"][0]
        with self.server.lock:
            validity = self.server.validity[user_id]
        self._answer({"user_info": {"id": user_id, "expired_date": f"{validity} 00:00:00"}})

    def do_POST(self):
        user_id = urlsplit(self.path).path.rpartition("/")[2]
        sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["expired_date"][0]
        with self.server.lock:
            self.server.validity[user_id] = date.fromisoformat(sent)
            self.server.dates[user_id].append(sent)
            self.server.updates += 1
            is_lost = self.server.updates % 5 == 0
            self.server.on_update()
        time.sleep(self.server.delay)
        if is_lost:
            self.close_connection = True
        else:
            self._answer({})

    def _answer(self, fields):
        body = json.dumps({"status": "success", **fields}).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
