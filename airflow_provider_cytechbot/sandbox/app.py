"""The ASGI application: parses a request, applies its fault, calls the endpoint, and sends the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from airflow_provider_cytechbot.sandbox import control
from airflow_provider_cytechbot.sandbox.delivery import (
    HTML,
    JSON,
    Answer,
    Closing,
    Delivery,
    Receive,
    Scope,
    Send,
    error_page,
)
from airflow_provider_cytechbot.sandbox.endpoints.registry import ENDPOINTS, answer
from airflow_provider_cytechbot.sandbox.quirks import Quirk

if TYPE_CHECKING:
    from airflow_provider_cytechbot.sandbox.endpoints.base import Endpoint
    from airflow_provider_cytechbot.sandbox.faults import Fault
    from airflow_provider_cytechbot.sandbox.installation import Installation

_FORM = "application/x-www-form-urlencoded"


class SandboxApp:
    """
    Serves an installation over HTTP, as an ASGI application that uvicorn runs directly.

    :param installation: the installation to serve
    :param chunked: send every answer chunked instead of with its length
    :param base_path: the path below which the API lies
    """

    def __init__(self, installation: Installation, *, chunked: bool = False, base_path: str = "/api") -> None:
        self._installation = installation
        self._chunked = chunked
        self._base_path = base_path.rstrip("/")
        self.closing = asyncio.Event()
        self._delivery = Delivery(self.closing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        body = await _body(receive)
        reply: Answer | None
        fault: Fault | None = None
        if scope["path"].startswith(control.PREFIX):
            query = _fields(scope["query_string"])
            reply = control.answer(self._installation, scope["method"], scope["path"], query, body)
        else:
            reply, fault = self._api_answer(scope, body)
        try:
            await self._delivery.deliver(reply, fault, receive, send)
        except Closing:
            # Uvicorn, stopping, has dropped the connection or is about to.
            while (await receive())["type"] != "http.disconnect":
                pass

    def _api_answer(self, scope: Scope, body: bytes) -> tuple[Answer | None, Fault | None]:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path, method = scope["path"], scope["method"]
        installation = self._installation
        name, path_id = self._split(path)
        query = _fields(scope["query_string"])
        is_form = headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
        form = _fields(body) if method == "POST" and is_form else {}

        fault = installation.faults.take(name)
        entry = installation.journal.record(
            endpoint=name if name in ENDPOINTS else path,
            method=method,
            path=path,
            query=query,
            form=form,
            user_agent=headers.get("user-agent", ""),
            client_port=scope["client"][1],
            fault=None if fault is None else fault.kind.value,
        )
        if fault is not None and not fault.takes_effect:
            return None, fault
        endpoint = ENDPOINTS.get(name)
        if endpoint is None or (path_id and not endpoint.path_id):
            return error_page(404, "Page Not Found"), fault

        with installation.state.lock:
            reply = answer(
                endpoint,
                state=installation.state,
                quirks=installation.quirks,
                fields=form if endpoint.write else query,
                path_id=path_id,
                user_ids_by_key=installation.user_ids_by_key,
            )
            installation.journal.record_outcome(entry, outcome=reply.outcome, took_effect=reply.took_effect)
            # Within the lock, because the answer refers to the records of the state.
            pieces, length = reply.body()
        content_type = self._content_type(endpoint)
        return Answer(pieces, None if self._chunked else length, content_type=content_type), fault

    def _split(self, path: str) -> tuple[str, str]:
        """Return the endpoint's name and the id after it, both empty for a path outside the API."""
        if not path.startswith(f"{self._base_path}/"):
            return "", ""
        name, _, path_id = path.removeprefix(f"{self._base_path}/").rstrip("/").partition("/")
        return name, path_id

    def _content_type(self, endpoint: Endpoint) -> str:
        return HTML if endpoint.labelled_html and Quirk.JSON_AS_HTML in self._installation.quirks else JSON


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _fields(text: bytes) -> dict[str, str]:
    # The last of several fields of one name wins, as in PHP.
    return dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True, errors="replace"))
