"""Answers that are too large, too slow or too costly to decipher in an event loop."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import tracemalloc

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotTransportError
from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook

BOMB = gzip.compress(bytes(200 * 2**20), 9)


async def call(endpoint, **fields):
    async with CyTechBotAsyncHook() as hook:
        return await hook.call(endpoint, **fields)


def both(hook, endpoint, **fields):
    """Return the error of each hook."""
    errors = []
    for send in (lambda: hook.call(endpoint, **fields), lambda: asyncio.run(call(endpoint, **fields))):
        with pytest.raises(CyTechBotError) as caught:
            send()
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    return errors[0]


@pytest.mark.parametrize("status", ["200 OK", "500 Oops", "404 No"])
def test_a_decompression_bomb_uses_little_memory(status, fault_server, answers, connect):
    fault_server.will(answers.ok(BOMB, "Content-Encoding: gzip", status=status, keep=False))
    hook = connect(fault_server.base_url, max_retries=0)
    tracemalloc.start()
    error = both(hook, endpoints.GET_FLOW_CAMPAIGNS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 * 2**20
    if status == "200 OK":
        assert "the answer is larger than 16 MiB" in str(error)


def test_a_large_answer_to_a_create_is_ambiguous(fault_server, answers, connect):
    fault_server.will(answers.ok(b" " * 2**21))
    hook = connect(fault_server.base_url)
    assert "It was sent, so it may have happened" in str(both(hook, endpoints.CREATE_CONTACT_GROUP, name="R"))


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"Content-Length: 9000\r\n\r\n", b" "),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"\r\n", b" "),
        (b"X-Drops: ", b"x"),
        (b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\nX: ", b"x"),
    ],
)
@pytest.mark.parametrize("endpoint", [endpoints.GET_FLOW_CAMPAIGN, endpoints.GET_FLOW_ANSWERS])
def test_an_answer_in_drops_fails_in_time(endpoint, head, drop, fault_server, answers, connect):
    fault_server.will(answers.raw(b"HTTP/1.1 200 OK\r\n" + head, *[drop] * 400, seconds=0.05))
    hook = connect(fault_server.base_url, timeout=0.2, max_retries=0)
    start = time.monotonic()
    error = both(hook, endpoint, flow_campaign_id=1)
    assert isinstance(error, CyTechBotTransportError)
    assert "too slowly" in str(error)
    assert time.monotonic() - start < 4


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
#: What a server repeats for ever, after the beginning of an answer: nothing of it belongs to the body.
FLOODS = {
    "trailers": (b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"1\r\n[\r\n0\r\n", b"X-A: b\r\n"),
    "one trailer": (b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"1\r\n[\r\n0\r\nX-A: ", b"bbbb"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"bbbb"),
    "long headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"b" * 8000 + b"\r\n"),
    "a status line": (b"HTTP/1.1 200 O", b"O"),
    "103": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "one extension": (b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"1;", b"x"),
    "extensions": (b"HTTP/1.1 200 OK\r\n" + CHUNKED, b"1;" + b"x" * 4000 + b"\r\n \r\n"),
    "digits of a size": (b"HTTP/1.1 200 OK\r\n" + CHUNKED, b"0"),
    "a chunk of -1": (b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"-1\r\n", b" "),
    "empty lines": (b"", b"\r\n"),
}


@pytest.mark.parametrize("endpoint", [endpoints.GET_FLOW_CAMPAIGN, endpoints.GET_FLOW_ANSWERS])
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_beside_the_body_ends_early(flood, endpoint, fault_server, connect):
    begin, again = FLOODS[flood]
    block = again * (60_000 // len(again))
    sent = []

    def answer(connection, server):
        connection.sendall(begin)
        sent.append(0)
        while not server.stopping.is_set():
            connection.sendall(block)
            sent[-1] += len(block)

    fault_server.will(answer)
    hook = connect(fault_server.base_url, timeout=20, max_retries=0)
    start = time.monotonic()
    for send in (
        lambda: hook.call(endpoint, flow_campaign_id=1),
        lambda: asyncio.run(call(endpoint, flow_campaign_id=1)),
    ):
        with pytest.raises(CyTechBotTransportError):
            send()
    assert time.monotonic() - start < 10  # by size, not by time
    assert max(sent) < 2**25  # with what the sockets hold


def test_many_small_chunks_are_no_flood(fault_server, answers, connect):
    body = json.dumps([{"id": str(each), "flow_name": "F" * 50} for each in range(3000)]).encode()
    chunks = b"".join(b"1;a=b\r\n%c\r\n" % each for each in body) + b"0\r\nX-Sum: 5\r\n\r\n"
    fault_server.will(answers.raw(b"HTTP/1.1 200 OK\r\n" + CHUNKED + chunks, goes_on=True))
    hook = connect(fault_server.base_url)
    for _ in range(2):
        assert len(hook.get_flow_campaigns()) == 3000
    assert len(asyncio.run(call(endpoints.GET_FLOW_CAMPAIGNS))) == 3000
    assert len({request.connection for request in fault_server.requests}) == 2


def test_a_stream_in_drops_fails_in_time(fault_server, answers, connect):
    head = b'HTTP/1.1 200 OK\r\n\r\n{"id":"1","flow_name":"F","data":{"31":[],"32":['
    fault_server.will(answers.raw(head, *[b" "] * 400, seconds=0.05))
    hook = connect(fault_server.base_url, timeout=0.2, max_retries=0)
    start = time.monotonic()
    with pytest.raises(CyTechBotTransportError, match="too slowly"):
        list(hook.iter_flow_answers(1))
    assert time.monotonic() - start < 2


def test_one_large_subscriber_does_not_block_the_loop(fault_server, answers, connect):
    many = [{"question_id": str(each), "question": "How?", "answer": "So " * 60} for each in range(30_000)]
    fault_server.will(answers.ok(json.dumps({"id": "1", "flow_name": "F", "data": {"31": many}})))
    connect(fault_server.base_url, timeout=30)
    late = []

    async def measure():
        while True:
            start = time.monotonic()
            await asyncio.sleep(0.01)
            late.append(time.monotonic() - start - 0.01)

    async def stream():
        ticks = asyncio.create_task(measure())
        async with CyTechBotAsyncHook() as hook, hook.open_flow_answers("1") as stream:
            found = [len(each) async for _, each in stream]
        ticks.cancel()
        return found

    assert asyncio.run(stream()) == [len(many)]
    assert max(late) < 1
