"""A ceiling on requests per second, shared by everything in one process that uses the same server and key."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_cytechbot.transport.settings import Settings


class RateLimiter:
    """
    Hands out moments at which a request may start. It waits for nobody itself, so any transport can use it.

    :param requests_per_second: How many moments there are in a second; ``None``: no ceiling.
    """

    def __init__(self, requests_per_second: float | None) -> None:
        self._interval = 1 / requests_per_second if requests_per_second else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take the next free moment and return the seconds until then."""
        with self._lock:
            now = time.monotonic()
            moment = max(now, self._next)
            self._next = moment + self._interval
        return moment - now


_PACES: dict[tuple[str, str, float | None], RateLimiter] = {}


def rate_limiter_for(settings: Settings) -> RateLimiter:
    """
    Return the pace that all hooks of this process share for one server and key.

    :param settings: The connection's settings.
    """
    key = hashlib.sha256(settings.api_key.encode()).hexdigest()
    rate = settings.requests_per_second
    return _PACES.setdefault((settings.base_url, key, rate), RateLimiter(rate))
