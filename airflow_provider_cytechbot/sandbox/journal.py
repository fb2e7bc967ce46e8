"""The journal of requests and of the writes that took effect. It never holds an API key."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HIDDEN = "***"
_KEPT_ENTRIES = 10_000


@dataclass
class JournalEntry:
    """
    One request.

    `endpoint` is the endpoint's path name, or the whole path of a request outside the API; `key_in` is where
    the API key was sent; `outcome` is the `status` of the answer, `success` for the bare ones, and None where
    a fault kept the request from the API; `seconds` counts from the start of the journal.
    """

    number: int
    endpoint: str
    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    key_in: Literal["query", "form", "both"] | None
    user_agent: str
    client_port: int
    seconds: float
    fault: str | None = None
    outcome: str | None = None
    took_effect: bool = False


class Journal:
    """
    Keeps the last ten thousand requests, and counts all. Safe to use from several threads.

    :param secrets: the texts that no field may hold
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._hidden = sorted(
            {form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret))}
            - {""},
            key=len,
            reverse=True,
        )
        self._start()

    def _start(self) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=_KEPT_ENTRIES)
        self._received: Counter[str] = Counter()
        self._took_effect: Counter[str] = Counter()
        self._started = time.monotonic()

    def clear(self) -> None:
        """Remove all requests and start the counts at 0."""
        with self._lock:
            self._start()

    def _hide(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, HIDDEN)
        return text

    def _clean(self, fields: Mapping[str, str]) -> dict[str, str]:
        return {
            self._hide(name): HIDDEN if name == "password" else self._hide(value)
            for name, value in fields.items()
            if name != "api_key"
        }

    def record(
        self,
        *,
        endpoint: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        form: Mapping[str, str],
        user_agent: str,
        client_port: int,
        fault: str | None,
    ) -> JournalEntry:
        """Record a request as it arrives."""
        in_query, in_form = "api_key" in query, "api_key" in form
        with self._lock:
            endpoint = self._hide(endpoint)
            self._received[endpoint] += 1
            entry = JournalEntry(
                number=self._received.total(),
                endpoint=endpoint,
                method=method,
                path=self._hide(path),
                query=self._clean(query),
                form=self._clean(form),
                key_in=("both" if in_form else "query") if in_query else "form" if in_form else None,
                user_agent=self._hide(user_agent),
                client_port=client_port,
                seconds=time.monotonic() - self._started,
                fault=fault,
            )
            self._entries.append(entry)
        return entry

    def record_outcome(self, entry: JournalEntry, *, outcome: str, took_effect: bool) -> None:
        """Add the outcome to a recorded request."""
        with self._lock:
            entry.outcome = outcome
            entry.took_effect = took_effect
            if took_effect:
                self._took_effect[entry.endpoint] += 1

    def requests(self, endpoint: str | None = None) -> list[JournalEntry]:
        """Return the requests of an endpoint, or all, oldest first."""
        with self._lock:
            return [entry for entry in self._entries if endpoint in (None, entry.endpoint)]

    def received(self, endpoint: str | None = None) -> int:
        """Return how many requests an endpoint, or all, received."""
        with self._lock:
            return self._received.total() if endpoint is None else self._received[endpoint]

    def took_effect(self, endpoint: str | None = None) -> int:
        """Return how many writes of an endpoint, or all, took effect."""
        with self._lock:
            return self._took_effect.total() if endpoint is None else self._took_effect[endpoint]

    def as_json(self) -> dict[str, Any]:
        """Return counts and requests in the types of JSON."""
        with self._lock:
            return {
                "counts": {
                    endpoint: {"received": received, "took_effect": self._took_effect[endpoint]}
                    for endpoint, received in self._received.items()
                },
                "requests": [asdict(entry) for entry in self._entries],
            }
