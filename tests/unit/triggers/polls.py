"""Waiting for polls, for the tests of triggers."""

from __future__ import annotations

import asyncio


async def until_asked(server, endpoint, times=1):
    """Wait until an endpoint of the server, which runs in a thread, was asked so often in all."""
    while server.journal.received(endpoint) < times:  # noqa: ASYNC110 (no event tells of it)
        await asyncio.sleep(0.01)
