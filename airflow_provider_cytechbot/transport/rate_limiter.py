"""A limit on requests per second and pauses, shared by all calls of one process to one server and key."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.transport import metrics

if TYPE_CHECKING:
    from airflow_provider_cytechbot.transport.settings import Settings


class RateLimiter:
    """
    Assigns moments at which a request may start. It does not sleep itself, so any transport can use it.

    :param requests_per_second: The limit; ``None``: no limit.
    """

    def __init__(self, requests_per_second: float | None) -> None:
        self._interval = 1 / requests_per_second if requests_per_second else 0.0
        self._next = 0.0
        self._paused_until = 0.0
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take the next free moment and return the seconds until then."""
        with self._lock:
            now = time.monotonic()
            moment = max(now, self._next, self._paused_until)
            self._next = moment + self._interval
        return moment - now

    def waits(self) -> Iterator[float]:
        """Yield the seconds to sleep before a request: more than once if a pause begins during a sleep."""
        while True:
            paused_until = self._paused_until
            if wait := self.reserve():
                metrics.count_rate_limit_wait(wait)
                yield wait
            if self._paused_until <= paused_until:
                return

    def pause(self, seconds: float) -> None:
        """
        Let no request start for some time.

        :param seconds: How long from now. A longer pause that has begun already stays as it is.
        """
        with self._lock:
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def renew_lock(self) -> None:
        """Replace the lock, which another thread of the parent may have held when this process was forked."""
        self._lock = threading.Lock()


_LIMITERS: dict[tuple[str, str, float | None], RateLimiter] = {}


def rate_limiter_for(settings: Settings) -> RateLimiter:
    """
    Return the limiter that all hooks of this process share for one server and key.

    :param settings: The connection's settings.
    """
    key = hashlib.sha256(settings.api_key.encode()).hexdigest()
    rate = settings.requests_per_second
    return _LIMITERS.setdefault((settings.base_url, key, rate), RateLimiter(rate))


def _renew_locks() -> None:
    for limiter in _LIMITERS.values():
        limiter.renew_lock()


os.register_at_fork(after_in_child=_renew_locks)
