"""The ASGI application: takes a request apart, lets its fault happen, asks the endpoint, sends the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from airflow_provider_cytechbot.sandbox import control
from airflow_provider_cytechbot.sandbox.data import State
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
from airflow_provider_cytechbot.sandbox.endpoints import (
    ADMIN_USER_ID,
    ENDPOINTS,
    MEMBER_USER_ID,
    Endpoint,
    answer,
)
from airflow_provider_cytechbot.sandbox.faults import ALL_ENDPOINTS, Fault, FaultError, FaultPlan
from airflow_provider_cytechbot.sandbox.journal import Journal
from airflow_provider_cytechbot.sandbox.large_campaign import LargeCampaign
from airflow_provider_cytechbot.sandbox.quirks import Quirk, parse_quirks

_FORM = "application/x-www-form-urlencoded"


class Sandbox:
    """
    A CyTechBot installation in memory, as an ASGI application to be run by uvicorn directly.

    :param seed: the data to start from, as `data` describes it
    :param api_key: the admin's API key
    :param member_api_key: a member's, refused by the admin endpoints
    :param subscribers: serve a generated campaign of so many subscribers too; 0 for none
    :param quirks: behaviours beside the vendor's page, as `parse_quirks` reads them
    :param faults: faults that are there from the start
    :param chunked: send every answer chunked instead of with its length
    :param base_path: the path below which the API lies
    """

    def __init__(
        self,
        seed: Mapping[str, Any],
        *,
        api_key: str,
        member_api_key: str,
        subscribers: int = 0,
        quirks: str | Iterable[str] = "none",
        faults: Iterable[Fault] = (),
        chunked: bool = False,
        base_path: str = "/api",
    ) -> None:
        self._seed = seed
        self._large_campaign = LargeCampaign(subscribers) if subscribers else None
        self._first_quirks = parse_quirks(quirks)
        self._first_faults = tuple(faults)
        self._base_path = base_path.rstrip("/")
        self.user_ids_by_key = {member_api_key: MEMBER_USER_ID, api_key: ADMIN_USER_ID}
        self.chunked = chunked
        self.faults = FaultPlan()
        self.journal = Journal([api_key, member_api_key])
        self.closing = asyncio.Event()
        self._delivery = Delivery(self.closing)
        self.reset()

    def reset(self) -> None:
        """Make everything as it was at the start: data, quirks, faults, an empty journal."""
        self.state = State(self._seed, large_campaign=self._large_campaign)
        self.quirks: frozenset[Quirk] = self._first_quirks
        self.journal.clear()
        self.faults.clear()
        self.add_faults(self._first_faults)

    def add_faults(self, faults: Iterable[Fault]) -> None:
        """
        Let faults happen from now on: all of them, or none when one is wrong.

        :raises FaultError: when there is no such endpoint
        """
        faults = list(faults)
        for fault in faults:
            if fault.endpoint != ALL_ENDPOINTS and fault.endpoint not in ENDPOINTS:
                known = ", ".join([ALL_ENDPOINTS, *ENDPOINTS])
                raise FaultError(f"endpoint: there is no {fault.endpoint!r}; known are {known}")
        for fault in faults:
            self.faults.add(fault)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        body = await _body(receive)
        reply: Answer | None
        fault: Fault | None = None
        if scope["path"].startswith(control.PREFIX):
            query = _fields(scope["query_string"])
            reply = control.answer(self, scope["method"], scope["path"], query, body)
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
        name, path_id = self._split(path)
        query = _fields(scope["query_string"])
        is_form = headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
        form = _fields(body) if method == "POST" and is_form else {}

        fault = self.faults.take(name)
        entry = self.journal.record(
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

        with self.state.lock:
            reply = answer(
                endpoint,
                state=self.state,
                quirks=self.quirks,
                fields=form if endpoint.write else query,
                path_id=path_id,
                user_ids_by_key=self.user_ids_by_key,
            )
            self.journal.judge(entry, outcome=reply.outcome, took_effect=reply.took_effect)
            # Within the lock, as the records of an answer are those of the state.
            pieces, length = reply.body()
        content_type = self._content_type(endpoint)
        return Answer(pieces, None if self.chunked else length, content_type=content_type), fault

    def _split(self, path: str) -> tuple[str, str]:
        """Return the endpoint's name and the id behind it, both empty for a path outside the API."""
        if not path.startswith(f"{self._base_path}/"):
            return "", ""
        name, _, path_id = path.removeprefix(f"{self._base_path}/").rstrip("/").partition("/")
        return name, path_id

    def _content_type(self, endpoint: Endpoint) -> str:
        return HTML if endpoint.labelled_html and Quirk.JSON_AS_HTML in self.quirks else JSON


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
