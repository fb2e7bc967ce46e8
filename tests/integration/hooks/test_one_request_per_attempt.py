"""One attempt is one request, by the server's own count; connections are kept alive all the same."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook


async def two_reads(max_retries):
    async with CyTechBotAsyncHook() as hook:
        await hook.call(endpoints.GET_FLOW_CAMPAIGNS)
        return await hook.call(endpoints.GET_FLOW_CAMPAIGNS, max_retries=max_retries)


async def several(endpoint, times, **fields):
    async with CyTechBotAsyncHook() as hook:
        for _ in range(times):
            await hook.call(endpoint, **fields)


@pytest.mark.parametrize("fault", ["close", "reset"])
@pytest.mark.parametrize("max_retries", [0, 1, 2])
def test_a_kept_connection_closed_without_an_answer(fault, max_retries, fault_server, answers, connect):
    fault_server.will(answers.ok("[]"), getattr(answers, fault))
    connect(fault_server.base_url)
    with pytest.raises(CyTechBotError):
        asyncio.run(two_reads(max_retries))
    assert len(fault_server.requests) == 1 + 1 + max_retries


@pytest.mark.parametrize("fault", ["close", "reset"])
def test_the_requests_transport_sends_one_request_per_attempt(fault, fault_server, answers, connect):
    fault_server.will(answers.ok("[]"), getattr(answers, fault))
    hook = connect(fault_server.base_url, max_retries=1)
    hook.get_flow_campaigns()
    with pytest.raises(CyTechBotError):
        hook.get_flow_campaigns()
    assert len(fault_server.requests) == 3


def test_reads_share_a_connection_and_creates_do_not(fault_server, answers, connect):
    connect(fault_server.base_url)
    fault_server.will(answers.ok("[]"))
    asyncio.run(several(endpoints.GET_FLOW_CAMPAIGNS, 3))
    assert len({each.connection for each in fault_server.requests}) == 1
    fault_server.will(answers.ok('{"status":"success","contact_type_id":7}'))
    asyncio.run(several(endpoints.CREATE_CONTACT_GROUP, 3, name="Riders"))
    assert len({each.connection for each in fault_server.requests}) == 3
