"""Each endpoint meets each fault: a value or an error of the tree, in time, without secrets."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from airflow_provider_cytechbot.api.endpoints import ENDPOINTS, Repeat
from airflow_provider_cytechbot.api.errors import CyTechBotAmbiguousWriteError, CyTechBotError
from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook
from airflow_provider_cytechbot.transport import rate_limiter, retry

from .fault_table import FAULTS, NOTHING_DONE

MAX_RETRIES = 1
PASSWORD = "the-new-users-password"
VALUES = {"password": PASSWORD, "email": "ann@example.com", "expired_date": "2030-01-01", "label_ids": ["3"]}
#: Seconds that a cell may take.
IN_TIME = 5
#: The long form runs each fault against each endpoint. The short one runs each fault against one endpoint
#: of each kind, which differs from fault to fault.
IS_LONG = os.environ.get("CYTECHBOT_GAUNTLET") == "1"
#: The long form needs several minutes, in which a busy machine may stand still for a moment.
TIMEOUT = 0.3 if IS_LONG else 0.15
HOOKS = ("sync", "async")


def kind(endpoint):
    return endpoint.verb, endpoint.repeat, endpoint.slow


def cells():
    kinds = {}
    for endpoint in ENDPOINTS:
        kinds.setdefault(kind(endpoint), []).append(endpoint)
    for number, fault in enumerate(FAULTS):
        for endpoints in kinds.values():
            for endpoint in endpoints if IS_LONG else [endpoints[number % len(endpoints)]]:
                for hook in HOOKS if IS_LONG else [HOOKS[(number + ENDPOINTS.index(endpoint)) % 2]]:
                    yield pytest.param(fault, endpoint, hook, id=f"{fault}-{endpoint.name}-{hook}")


def fields(endpoint):
    names = [each.name for each in endpoint.fields if each.required]
    for group in (endpoint.one_of, endpoint.any_of):
        names += [name for name in group[:1] if name not in names]
    return {name: VALUES.get(name, "1") for name in names}


async def call(endpoint):
    async with CyTechBotAsyncHook() as hook:
        return await hook.call(endpoint, **fields(endpoint))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(retry, "MAX_RETRY_AFTER", 0.02)
    monkeypatch.setattr(rate_limiter, "_LIMITERS", {})


@pytest.mark.parametrize(("fault", "endpoint", "kind_of_hook"), list(cells()))
def test_cell(fault, endpoint, kind_of_hook, fault_server, connect, holds_no_key, caplog):
    fault_server.will(FAULTS[fault])
    hook = connect(fault_server.base_url, timeout=TIMEOUT, max_retries=MAX_RETRIES)
    start = time.monotonic()
    try:
        if kind_of_hook == "sync":
            hook.call(endpoint, **fields(endpoint))
        else:
            asyncio.run(call(endpoint))
    except CyTechBotError as error:
        holds_no_key(error, PASSWORD)
        is_ambiguous = isinstance(error, CyTechBotAmbiguousWriteError)
        assert is_ambiguous is (endpoint.repeat is Repeat.UNSAFE and fault not in NOTHING_DONE)
    assert time.monotonic() - start < IN_TIME
    sends = len(fault_server.requests)
    is_sent_once = endpoint.repeat is Repeat.UNSAFE and fault not in NOTHING_DONE
    assert 1 <= sends <= (1 if is_sent_once else 1 + MAX_RETRIES)
    assert PASSWORD not in caplog.text
