from __future__ import annotations

import pytest

from airflow_provider_cytechbot.transport.settings import Settings, is_loopback_host


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback(host):
    assert is_loopback_host(host)


@pytest.mark.parametrize("host", ["cytechbot.com", "localhost.example", "10.0.0.1", "", "::2"])
def test_not_loopback(host):
    assert not is_loopback_host(host)


def test_the_repr_hides_secrets():
    shown = repr(Settings("a", "https://one.example/api", "1-the-api-key", proxy="http://u:pass-word@x"))
    assert "1-the-api-key" not in shown
    assert "pass-word" not in shown
