from __future__ import annotations

import asyncio

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.transport.aiohttp_transport import AiohttpTransport
from airflow_provider_cytechbot.transport.settings import Settings


def test_it_sends_nothing_before_its_session_is_open():
    transport = AiohttpTransport(Settings("mine", "http://127.0.0.1:9/api", "1-the-api-key"))
    with pytest.raises(RuntimeError, match="not open"):
        asyncio.run(transport.send(build(endpoints.GET_FLOW_CAMPAIGNS)))


def test_an_unopened_transport_can_be_closed():
    asyncio.run(AiohttpTransport(Settings("mine", "http://127.0.0.1:9/api", "1-the-api-key")).close())
