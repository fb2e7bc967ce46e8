from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
import pytest

from airflow_provider_cytechbot.transport.aiohttp_connections import Connector
from airflow_provider_cytechbot.transport.answer_limits import OversizedFramingError

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def read_from(head, again=b""):
    """Read the answer of a server that sends a head, and then repeats some bytes until it is left."""

    async def serve(reader, writer):
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            while again:
                await writer.drain()
                writer.write(again * 1000)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with (
            aiohttp.ClientSession(connector=Connector()) as session,
            asyncio.timeout(20),
            session.get(url) as response,
        ):
            return await response.read()
    finally:
        server.close()


@pytest.mark.parametrize(
    ("head", "again"),
    [
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n"),
        (CHUNKED + b"1;", b"x"),
        (CHUNKED, b"1;" + b"x" * 2000 + b"\r\n \r\n"),
    ],
)
def test_a_flood_beside_the_body_is_an_error(head, again):
    with pytest.raises((OversizedFramingError, aiohttp.ClientOSError)) as caught:
        asyncio.run(read_from(head, again))
    assert isinstance(caught.value.__cause__ or caught.value, OversizedFramingError)


@pytest.mark.parametrize("time", range(5))
def test_trailers_that_cannot_be_read_leave_no_reader_waiting(time):
    with pytest.raises(aiohttp.ClientError):
        asyncio.run(read_from(CHUNKED + b"1\r\n[\r\n0\r\nX-A: ", b"b"))


def test_each_answer_has_an_allowance_of_its_own():
    head = b"HTTP/1.1 103 Early Hints\r\n" + b"X-A: " + b"b" * 4000 + b"\r\n\r\n"
    assert asyncio.run(read_from(head * 10 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")) == b"[]"
