"""A server of labels that shares no code with the sandbox, so that the two cannot err alike."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


class LabelServer(ThreadingHTTPServer):
    """Answers label calls. What a subscriber gets is scripted by its id."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/api"
        self.lock = threading.Lock()
        self.received: Counter[str] = Counter()
        self.moments: list[float] = []
        self.ports: set[int] = set()
        self.under_way = self.most_under_way = 0
        self.delay = 0.0
        #: By subscriber: what its first calls get, as (status, headers, body); "lose" closes the connection.
        self.script: dict[str, list[object]] = {}
        #: What every call gets.
        self.for_all: object = None

    def handle_error(self, request, client_address):
        """Leave out tracebacks of clients that hung up."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: LabelServer

    def log_message(self, *_):
        """Log nothing."""

    def do_GET(self):
        labels = [{"id": "5", "label_name": "VIP", "label_id": "5"}]
        self._answer(200, "", {"status": "success", "label_info": labels})

    def do_POST(self):
        server = self.server
        fields = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        is_create = self.path.endswith("create_contact")
        subscriber_id = fields["first_name" if is_create else "subscriber_id"][0]
        with server.lock:
            server.received[subscriber_id] += 1
            server.moments.append(time.monotonic())
            server.ports.add(self.client_address[1])
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
            script = server.script.get(subscriber_id)
            response = script.pop(0) if script else server.for_all
        time.sleep(server.delay)
        with server.lock:
            server.under_way -= 1
        if response == "lose":
            self.close_connection = True
        elif response:
            self._answer(*response)
        elif is_create:
            self._answer(200, "", {"status": "success", "new_contact_id": server.received.total() + 1_000})
        else:
            self._answer(200, "", {"status": "success", "success": True})

    def _answer(self, status, headers, value):
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)  # in one piece
