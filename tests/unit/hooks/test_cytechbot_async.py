from __future__ import annotations

import asyncio

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook

from ..frames import shown_by_error_trackers


async def create():
    user = {"name": "Ann", "email": "ann@example.com", "package_id": 1, "expired_date": "2030-01-01"}
    async with CyTechBotAsyncHook() as hook:
        return await hook.call(endpoints.CREATE_USER, password="the-new-users-password", **user)


@pytest.mark.parametrize(
    "extra", [{}, {"timeout": "soon"}, {"ca_bundle": "/no/such"}, {"proxy": "socks5://u:pass-word@x"}]
)
def test_no_frame_shows_a_secret(extra, connect):
    connect(host="http://127.0.0.1:9", max_retries=0, **extra)
    with pytest.raises(CyTechBotError) as caught:
        asyncio.run(create())
    shown = "".join(shown_by_error_trackers(caught.value))
    for secret in ("1-the-api-key", "the-new-users-password", "pass-word"):
        assert secret not in shown


def test_both_hooks_have_the_same_connection_type():
    assert CyTechBotAsyncHook.conn_type == CyTechBotHook.conn_type
    assert CyTechBotAsyncHook().cytechbot_conn_id == CyTechBotHook.default_conn_name
