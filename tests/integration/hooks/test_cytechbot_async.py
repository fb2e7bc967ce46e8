"""The asynchronous hook over real HTTP: it tells faults as the synchronous one does, and shows no key."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook

CAMPAIGN = '{"id":"1","flow_name":"Feedback","questions":["How?"]}'
ANSWERS = '{"id":"1","flow_name":"Feedback","data":{"31":[{"id":"4","question":"How?","answer":"So"}]}}'


async def ask():
    async with CyTechBotAsyncHook() as hook:
        return await hook.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id="1")


async def stream():
    async with CyTechBotAsyncHook() as hook, hook.open_flow_answers("1") as answers:
        return [subscriber_id async for subscriber_id, _ in answers]


def test_asks_as_the_synchronous_hook_does(fault_server, answers, connect, key):
    fault_server.will(answers.ok(CAMPAIGN))
    hook = connect(fault_server.base_url)
    assert asyncio.run(ask()) == hook.get_flow_campaign("1")
    first, second = fault_server.requests
    assert (first.verb, first.target) == (second.verb, second.target)
    assert first.query == {"api_key": key, "flow_campaign_id": "1"}
    assert first.headers["user-agent"] == second.headers["user-agent"]


def test_repeats_as_the_policy_says(fault_server, answers, connect):
    fault_server.will(answers.ok(status="503 Busy"), answers.close, answers.ok(CAMPAIGN))
    connect(fault_server.base_url)
    assert asyncio.run(ask())["flow_name"] == "Feedback"


def test_streams(fault_server, answers, connect):
    fault_server.will(answers.ok(ANSWERS))
    connect(fault_server.base_url)
    assert asyncio.run(stream()) == ["31"]


@pytest.mark.parametrize(
    "fault",
    [
        lambda answers: answers.ok("busy", status="503 Busy"),
        lambda answers: answers.ok("moved", "Location: /elsewhere?api_key=x", status="302 Found"),
        lambda answers: answers.ok("<title>Login</title>"),
        lambda answers: answers.reset,
        lambda answers: answers.close,
        lambda answers: answers.hang,
        lambda answers: answers.ok('{"id":"1"'),
        lambda answers: answers.ok("garbage", "Content-Encoding: gzip"),
        lambda answers: answers.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", goes_on=False),
        lambda answers: answers.ok('{"status":"error","message":"API Key invalid"}'),
    ],
)
def test_each_fault_is_the_same_error_for_both_hooks(fault_server, answers, connect, holds_no_key, fault):
    fault_server.will(fault(answers))
    hook = connect(fault_server.base_url, max_retries=0, timeout=0.5)
    with pytest.raises(CyTechBotError) as sync:
        hook.get_flow_campaign("1")
    with pytest.raises(CyTechBotError) as asynchronous:
        asyncio.run(ask())
    assert type(asynchronous.value).__name__ == type(sync.value).__name__
    assert asynchronous.value.advice == sync.value.advice
    assert asynchronous.value.asked == sync.value.asked
    for attribute in ("was_sent", "was_turned_away", "worth_repeating"):
        assert getattr(asynchronous.value, attribute, None) == getattr(sync.value, attribute, None)
    holds_no_key(asynchronous.value)


def test_a_stream_that_is_cut_off(fault_server, answers, connect, holds_no_key):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(ANSWERS) + 5}\r\n\r\n{ANSWERS[:-9]}"
    fault_server.will(answers.raw(head.encode()))
    connect(fault_server.base_url)
    with pytest.raises(CyTechBotError, match="cut off") as caught:
        asyncio.run(stream())
    holds_no_key(caught.value)


def test_nobody_is_there(connect, holds_no_key):
    connect("http://127.0.0.1:9", max_retries=0)
    with pytest.raises(CyTechBotError, match="no connection") as caught:
        asyncio.run(ask())
    assert not caught.value.was_sent
    holds_no_key(caught.value)
