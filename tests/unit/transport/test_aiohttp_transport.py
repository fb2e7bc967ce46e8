from __future__ import annotations

import asyncio

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.transport import aiohttp_transport
from airflow_provider_cytechbot.transport.aiohttp_transport import AiohttpTransport
from airflow_provider_cytechbot.transport.settings import Settings


def test_it_sends_nothing_before_its_session_is_open():
    transport = AiohttpTransport(Settings("mine", "http://127.0.0.1:9/api", "1-the-api-key"))
    with pytest.raises(RuntimeError, match="not open"):
        asyncio.run(transport.send(build(endpoints.GET_FLOW_CAMPAIGNS)))


def test_an_unopened_transport_can_be_closed():
    asyncio.run(AiohttpTransport(Settings("mine", "http://127.0.0.1:9/api", "1-the-api-key")).close())


@pytest.mark.parametrize(
    ("base_url", "options", "reads"),
    [
        ("http://127.0.0.1:9/api", {}, False),
        ("http://bot.example/api", {"proxy": "http://proxy.example:8080"}, False),
        ("http://bot.example/api", {"proxy": "https://proxy.example:8080"}, True),
        ("https://bot.example/api", {}, True),
        ("https://bot.example/api", {"verify_tls": False}, False),
    ],
)
def test_certificates_are_read_only_if_a_connection_can_be_encrypted(monkeypatch, base_url, options, reads):
    read = []
    monkeypatch.setattr(aiohttp_transport, "_trusting", read.append)
    AiohttpTransport(Settings("mine", base_url, "1-the-api-key", **options))
    assert bool(read) == reads
