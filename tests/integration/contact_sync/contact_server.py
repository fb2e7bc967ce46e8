"""A server of contacts that shares no code with the sandbox, so that the two cannot err alike."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

FIELDS = ("email", "phone_number", "first_name", "last_name")
ADDRESSES = FIELDS[:2]


class RefusedError(Exception):
    """The API's refusal."""


class ContactServer(ThreadingHTTPServer):
    """
    Keeps contacts as the platform does: an address once, and addresses that can be set once.

    What a write meets besides is decided by `fault(endpoint, fields)`: None, "lose_before" and "lose_after"
    (the connection is closed without a response), "kill_before" and "kill_after" (the client process dies),
    or a response as (status, headers, value).
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/api"
        self.lock = threading.RLock()
        self.groups: dict[str, str] = {"5": "Customers"}
        self.contacts: dict[str, dict[str, str]] = {}
        self.calls: Counter[str] = Counter()
        self.last_id = 1_000
        self.delay = 0.0
        #: The process that "kill" ends.
        self.victim: int | None = None
        self.fault = lambda endpoint, fields: None

    def handle_error(self, request, client_address):
        """Leave out tracebacks of clients that hung up."""

    @property
    def writes(self) -> int:
        """How many writes of contacts arrived."""
        return sum(number for endpoint, number in self.calls.items() if not endpoint.startswith("get_"))

    def add(self, email="", phone_number="", first_name="", last_name="", group="5") -> str:
        """Make a contact as somebody does in the dashboard, and return its id."""
        with self.lock:
            self.last_id += 1
            values = (email, phone_number, first_name, last_name)
            self.contacts[str(self.last_id)] = {
                "id": str(self.last_id),
                "contact_type_id": group,
                **dict(zip(FIELDS, values, strict=True)),
            }
            return str(self.last_id)

    def values(self, contact_id: str) -> tuple[str, ...]:
        """Return the fields of a contact."""
        return tuple(self.contacts[contact_id][field] for field in FIELDS)

    def all_values(self) -> list[tuple[str, ...]]:
        """Return the fields of all contacts, sorted."""
        return sorted(map(self.values, self.contacts))

    def id_of(self, email: str) -> str:
        """Return the id of the one contact with an address: ids follow the order in which creates arrive."""
        (contact_id,) = (each["id"] for each in self.contacts.values() if each["email"] == email)
        return contact_id

    # The endpoints.

    def get_contact_group(self, fields):
        if fields["contact_type_id"] not in self.groups:
            raise RefusedError("The contact type ID does not exist")
        return {
            "id": fields["contact_type_id"],
            "type": self.groups[fields["contact_type_id"]],
            "deleted": "0",
        }

    def create_contact_group(self, fields):
        group_id = str(200 + len(self.groups))
        self.groups[group_id] = fields["name"]
        return {"status": "success", "contact_type_id": int(group_id)}

    def get_contact(self, fields):
        return {**self._contact(fields["contact_id"]), "user_id": "1", "unsubscribed": "0", "deleted": "0"}

    def create_contact(self, fields):
        if fields.get("contact_type_id") not in self.groups:
            raise RefusedError("The contact ID does not exist")
        if not fields.get("email") and not fields.get("phone_number"):
            raise RefusedError("The email or phone_number is required")
        self._refuse_taken(fields)
        values = [fields.get(field, "") for field in FIELDS]
        return {"status": "success", "new_contact_id": int(self.add(*values, fields["contact_type_id"]))}

    def update_contact(self, fields):
        contact = self._contact(fields["contact_id"])
        given = {field: fields[field] for field in FIELDS if fields.get(field)}
        for field in ADDRESSES:
            if field in given and contact[field]:
                # The contact's own address counts as taken, too, as on some installations.
                raise RefusedError(f"Please try with different {field}")
        self._refuse_taken(given)
        contact.update(given)
        return {"status": "success"}

    def delete_contact(self, fields):
        self._contact(fields["contact_id"])
        del self.contacts[fields["contact_id"]]
        return {"status": "success", "message": "deleted"}

    def _contact(self, contact_id):
        if contact_id not in self.contacts:
            raise RefusedError("The contact ID does not exist")
        return self.contacts[contact_id]

    def _refuse_taken(self, given):
        for contact in self.contacts.values():
            for field in ADDRESSES:
                if given.get(field) and contact[field].lower() == given[field].lower():
                    raise RefusedError(f"Please try with different {field}")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ContactServer

    def log_message(self, *_):
        """Log nothing."""

    def do_GET(self):
        parts = urlsplit(self.path)
        self._act(parts.path, parse_qs(parts.query, keep_blank_values=True))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._act(self.path, parse_qs(body, keep_blank_values=True))

    def _act(self, path, query):
        _, _, endpoint, *rest = path.split("/")
        fields = {name: values[0] for name, values in query.items()}
        if rest and rest[0]:
            fields["contact_id"] = rest[0]
        server = self.server
        with server.lock:
            server.calls[endpoint] += 1
            fault = server.fault(endpoint, fields)
            if fault in ("lose_before", "kill_before") or isinstance(fault, tuple):
                response = fault
            else:
                response = self._answer_of(endpoint, fields)
        time.sleep(server.delay)
        if isinstance(fault, str) and fault.startswith("kill") and server.victim:
            os.kill(server.victim, signal.SIGKILL)
        if isinstance(fault, str):
            self.close_connection = True
        else:
            self._send(*response)

    def _answer_of(self, endpoint, fields):
        try:
            return 200, "", getattr(self.server, endpoint)(fields)
        except RefusedError as error:
            return 200, "", {"status": "error", "message": str(error)}

    def _send(self, status, headers, value):
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)  # in one piece
