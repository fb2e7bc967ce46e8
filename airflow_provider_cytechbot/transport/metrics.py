"""Figures for operators of Airflow, sent through its own ``Stats``. No tag is an id, a name or an address."""

from __future__ import annotations

import logging
import sys
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.errors import CyTechBotUnansweredError

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.errors import CyTechBotError

log = logging.getLogger(__name__)

_BACKENDS = ("statsd_on", "statsd_datadog_enabled", "otel_on")


def count_call(endpoint: str, seconds: float, error: CyTechBotError | None = None) -> None:
    """
    Count an attempt to call an endpoint, with its time.

    :param endpoint: The endpoint's name.
    :param seconds: The time until the answer, or the error, with the wait for the rate limit.
    :param error: The error of the attempt.
    """
    outcome = "answered"
    if isinstance(error, CyTechBotUnansweredError):
        outcome = "rate_limited" if error.is_rate_limit else "failed"
    elif error is not None:
        outcome = "refused"
    _send("timing", "calls", timedelta(seconds=seconds), endpoint=endpoint, outcome=outcome)


def count_retry(endpoint: str) -> None:
    """
    Count the retry of a call.

    :param endpoint: The endpoint's name.
    """
    _send("incr", "retries", 1, endpoint=endpoint)


def count_rate_limit_wait(seconds: float) -> None:
    """
    Count a wait for the connection's rate limit, or for a pause after too many requests.

    :param seconds: How long it is.
    """
    _send("timing", "rate_limit_waits", timedelta(seconds=seconds))


def count_poll(process: str, error: CyTechBotError | None = None) -> None:
    """
    Count a check of a sensor, or a poll that the triggerer makes for all that wait for a campaign.

    :param process: ``worker`` or ``triggerer``.
    :param error: The error of the poll.
    """
    _send("incr", "polls", 1, process=process, outcome="answered" if error is None else "failed")


def count_rows(operation: str, outcome: str, number: int) -> None:
    """
    Count rows that were exported or written.

    :param operation: What was done with them.
    :param outcome: What became of them.
    :param number: How many there are.
    """
    if number:
        _send("incr", "rows", number, operation=operation, outcome=outcome)


@cache
def is_on() -> bool:
    """Return whether Airflow sends metrics. Otherwise the first one would load the names of all metrics."""
    from airflow.providers.common.compat.sdk import conf

    return any(conf.getboolean("metrics", name, fallback=False) for name in _BACKENDS)


def _send(method: str, name: str, value: object, **tags: str) -> None:
    """Send a metric with its tags, and once more with their values in its name: plain StatsD has no tags."""
    try:
        if is_on():
            send = getattr(_stats(), method)
            send(f"cytechbot.{name}", value, tags=tags)
            if tags:
                send(".".join(("cytechbot", name, *tags.values())), value)
    except Exception as error:  # noqa: BLE001 - no call fails for its metrics
        log.debug("The metric %s was not sent (%s).", name, type(error).__name__)


def _stats() -> Any:
    """Return the ``Stats`` that this process has set up: on Airflow 3 that of a triggerer is not a task's."""
    from airflow.providers.common.compat.sdk import Stats

    if _is_set_up(Stats) or Stats.__module__ == "airflow.stats":
        return Stats
    try:
        from airflow.observability.stats import Stats as ServerStats
    except ImportError:
        return Stats
    return ServerStats if _is_set_up(ServerStats) else Stats


def _is_set_up(stats: Any) -> bool:
    module = sys.modules.get(stats.__module__)
    return bool(getattr(module, "_factory", None) or getattr(stats, "factory", None))
