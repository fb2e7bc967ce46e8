from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat import sdk

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAuthError,
    CyTechBotNotFoundError,
    CyTechBotResponseError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.transport import metrics, retry
from airflow_provider_cytechbot.transport.rate_limiter import RateLimiter
from airflow_provider_cytechbot.transport.retry import send_with_retries


class Sent(list):
    """What `Stats` was given: (method, name, value, tags)."""

    def add(self, method):
        return lambda name, value, tags=None: self.append((method, name, value, tags))

    @property
    def names(self):
        return [name for _, name, _, _ in self]


@pytest.fixture
def sent(monkeypatch):
    sent = Sent()
    stats = SimpleNamespace(__module__="airflow.stats", incr=sent.add("incr"), timing=sent.add("timing"))
    monkeypatch.setattr(sdk, "Stats", stats, raising=False)
    monkeypatch.setattr(metrics, "is_on", lambda: True)
    return sent


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "answered"),
        (CyTechBotTransportError("no answer"), "failed"),
        (CyTechBotResponseError("not JSON"), "failed"),
        (CyTechBotTransportError("429", is_rate_limit=True), "rate_limited"),
        (CyTechBotAuthError("wrong key"), "refused"),
        (CyTechBotNotFoundError("no such label"), "refused"),
    ],
)
def test_call_is_counted_by_endpoint_and_outcome_with_its_time(sent, error, outcome):
    metrics.count_call("get_packages", 0.25, error)
    quarter = timedelta(seconds=0.25)
    assert sent == [
        ("timing", "cytechbot.calls", quarter, {"endpoint": "get_packages", "outcome": outcome}),
        ("timing", f"cytechbot.calls.get_packages.{outcome}", quarter, None),
    ]


def test_other_figures(sent):
    metrics.count_retry("get_packages")
    metrics.count_rate_limit_wait(2)
    metrics.count_poll("triggerer")
    metrics.count_poll("worker", CyTechBotTransportError("no answer"))
    metrics.count_rows("assign_label", "succeeded", 7)
    metrics.count_rows("assign_label", "refused", 0)
    assert [(name, value) for _, name, value, tags in sent if not tags] == [
        ("cytechbot.retries.get_packages", 1),
        ("cytechbot.rate_limit_waits", timedelta(seconds=2)),
        ("cytechbot.polls.triggerer.answered", 1),
        ("cytechbot.polls.worker.failed", 1),
        ("cytechbot.rows.assign_label.succeeded", 7),
    ]


def test_names_are_those_that_every_backend_takes(sent):
    for endpoint in endpoints.ENDPOINTS:
        metrics.count_call(endpoint.name, 1, CyTechBotTransportError("429", is_rate_limit=True))
    assert all(re.fullmatch(r"cytechbot\.[a-z_.]{1,60}", name) for name in sent.names)


def test_attempts_and_retries_of_a_call(sent, monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)
    call = build(endpoints.GET_SUBSCRIBER, subscriber_id="24994546734902201")
    answers = iter([CyTechBotTransportError("no answer"), CyTechBotTransportError("no answer"), "found"])

    def send(call, is_resend):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert send_with_retries(send, call, 3) == "found"
    assert [name for name in sent.names if name.count(".") > 1] == [
        "cytechbot.calls.subscriber_information.failed",
        "cytechbot.retries.subscriber_information",
        "cytechbot.calls.subscriber_information.failed",
        "cytechbot.retries.subscriber_information",
        "cytechbot.calls.subscriber_information.answered",
    ]
    assert "24994546734902201" not in repr(list(sent))


def test_wait_for_the_rate_limit(sent):
    limiter = RateLimiter(0.5)
    assert list(limiter.waits()) == []
    assert sent == []
    (wait,) = limiter.waits()
    assert [(method, name) for method, name, _, _ in sent] == [("timing", "cytechbot.rate_limit_waits")]
    assert sent[0][2] == timedelta(seconds=wait)


def test_error_of_the_metrics_fails_no_call(sent, monkeypatch):
    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(metrics, "_stats", fail)
    metrics.count_retry("get_packages")


def test_nothing_is_sent_or_loaded_where_metrics_are_off(sent, monkeypatch):
    monkeypatch.setattr(metrics, "is_on", lambda: False)
    monkeypatch.setattr(metrics, "_stats", lambda: pytest.fail("it was loaded"))
    metrics.count_retry("get_packages")
    assert sent == []


@pytest.mark.parametrize("name", ["STATSD_ON", "STATSD_DATADOG_ENABLED", "OTEL_ON"])
def test_metrics_are_on_with_any_backend(monkeypatch, name):
    metrics.is_on.cache_clear()
    assert not metrics.is_on()
    metrics.is_on.cache_clear()
    monkeypatch.setenv(f"AIRFLOW__METRICS__{name}", "True")
    assert metrics.is_on()
    metrics.is_on.cache_clear()
