"""Fixtures of the triggers' tests: a server, and intervals of some milliseconds."""

from __future__ import annotations

import asyncio
import json

import pytest

from airflow_provider_cytechbot.triggers import campaign_poll, waiters

INTERVAL = 0.1


@pytest.fixture
def interval():
    return INTERVAL


@pytest.fixture
def server(cytechbot_sandbox, monkeypatch):
    monkeypatch.setattr(waiters, "FIRST_WAIT", INTERVAL)
    monkeypatch.setattr(waiters, "MAX_BACKOFF", INTERVAL)
    connection = json.loads(cytechbot_sandbox.connection_json(timeout=2))
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_CONN_WRONG_KEY", json.dumps(connection | {"password": "1-wrong"}))
    cytechbot_sandbox.quirks = "all"
    return cytechbot_sandbox


@pytest.fixture
def run():
    """Run a coroutine, and check that no poll is left."""

    def run(coroutine):
        async def limited():
            result = await asyncio.wait_for(coroutine, 30)
            left = [task for task in asyncio.all_tasks() if "CyTechBot" in task.get_name()]
            assert left == []
            assert not any(campaign_poll._POLLS.values())
            return result

        return asyncio.run(limited())

    return run
