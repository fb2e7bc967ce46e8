"""A server of one flow campaign that shares no code with the sandbox, so that the two cannot err alike."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

CAMPAIGN = "7"
QUESTIONS = {"1": "Which bike?", "2": "How often, and why?", "3": "Anything else?"}


class FlowServer(ThreadingHTTPServer):
    """Answers with `answers`: by subscriber, the answer to each question by its id."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, dict[str, str | None]] = {}

    def handle_error(self, request, client_address):
        """Leave out tracebacks of clients that hung up."""

    def body(self):
        """Return all answers as the platform does; without any, nothing has an id."""
        if not self.answers:
            return {"id": None, "flow_name": None, "data": []}
        data = {
            subscriber_id: [
                {"question_id": question_id, "question": QUESTIONS[question_id], "answer": answer}
                for question_id, answer in answers.items()
            ]
            for subscriber_id, answers in self.answers.items()
        }
        return {"id": CAMPAIGN, "flow_name": "Bikes", "data": data}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FlowServer

    def log_message(self, *_):
        """Log nothing."""

    def do_GET(self):
        if "/get_flow_campaign_info/" in self.path:
            value = {"id": CAMPAIGN, "flow_name": "Bikes", "questions": list(QUESTIONS.values())}
        else:
            value = self.server.body()
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)


@contextmanager
def flow_server():
    """Serve, with a connection that leads there."""
    with FlowServer() as server, pytest.MonkeyPatch.context() as patch:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        connection = {"conn_type": "cytechbot", "host": f"http://127.0.0.1:{server.server_port}/api"}
        patch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps({**connection, "password": "1-some-key"}))
        yield server
        server.shutdown()
