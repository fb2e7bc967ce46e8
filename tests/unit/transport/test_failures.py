from __future__ import annotations

import ssl

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.transport.failures import TransportFailures, verify_message
from airflow_provider_cytechbot.transport.settings import Settings

SETTINGS = Settings("mine", "https://cytechbot.com/api", "1-the-api-key", timeout=7)
READ = TransportFailures(build(endpoints.GET_FLOW_CAMPAIGNS), SETTINGS)
SLOW = TransportFailures(build(endpoints.GET_FLOW_ANSWERS, flow_campaign_id=1), SETTINGS)


@pytest.mark.parametrize("name", ["timed_out", "too_slow"])
def test_the_slow_call_is_not_repeated_after_a_lack_of_data(name):
    assert getattr(READ, name)().is_transient
    assert not getattr(SLOW, name)().is_transient


def test_an_answer_that_is_too_large_names_the_limit_and_the_way_round_it():
    assert str(SLOW.too_large(2**26)) == (
        "the answer is larger than 64 MiB. Use iter_flow_answers, which has no such limit."
    )
    assert not READ.too_large(2**26).is_transient


@pytest.mark.parametrize("name", ["by_proxy", "unresolved", "not_connected", "unusable_url"])
def test_nothing_was_sent_without_a_connection(name):
    assert not getattr(READ, name)().was_sent


def test_the_text_of_an_unknown_exception_is_left_out():
    assert "1-the-api-key" not in str(READ.other(ValueError("1-the-api-key")))


def test_the_reason_of_the_tls_library_is_found_below_a_wrapper():
    inner = ssl.SSLCertVerificationError()
    inner.verify_message = "certificate has expired"
    assert verify_message([ssl.SSLCertVerificationError(), inner]) == "certificate has expired"
    assert verify_message([ValueError()]) == "verification failed"


@pytest.mark.parametrize(
    ("proxy", "whose"),
    [
        (None, "certificate of cytechbot.com is"),
        ("http://proxy:3128", "certificate of cytechbot.com is"),
        ("https://proxy:3128", "certificate of the proxy or of cytechbot.com is"),
    ],
)
def test_a_certificate_can_be_that_of_the_proxy(proxy, whose, monkeypatch):
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("ALL_PROXY", raising=False)
    monkeypatch.delenv("all_proxy", raising=False)
    settings = Settings("mine", "https://cytechbot.com/api", "1-the-api-key", proxy=proxy)
    failures = TransportFailures(build(endpoints.GET_FLOW_CAMPAIGNS), settings)
    assert whose in str(failures.untrusted("expired"))
    if not proxy:
        monkeypatch.setenv("HTTPS_PROXY", "https://proxy:3128")
        assert "of the proxy or of" in str(failures.untrusted("expired"))
