"""Fixtures of the hooks' unit tests."""

from __future__ import annotations

import json

import pytest

from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook


@pytest.fixture
def connect(monkeypatch):
    """Define a connection in the environment and return a hook for it."""

    def connect(
        conn_id="cytechbot_default", *, host="https://cytechbot.com", password="1-the-api-key", **extra
    ):
        connection = {"conn_type": "cytechbot", "host": host, "password": password, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return CyTechBotHook(conn_id)

    return connect


@pytest.fixture
def waits(monkeypatch):
    """Replace all waits, and return their seconds."""
    seconds = []
    monkeypatch.setattr("time.sleep", lambda wait: seconds.append(wait) if wait else None)
    return seconds
