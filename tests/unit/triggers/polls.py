"""Helpers that wait for polls."""

from __future__ import annotations

import asyncio


async def until_requested(server, endpoint, times=1):
    """Wait until the server has received this number of requests for an endpoint."""
    while server.journal.received(endpoint) < times:  # noqa: ASYNC110 (no event is set for it)
        await asyncio.sleep(0.01)
