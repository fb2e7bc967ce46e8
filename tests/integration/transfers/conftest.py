"""What the tests of exports share: the sandbox of their module."""

from __future__ import annotations

import pytest


@pytest.fixture
def sandbox(server, monkeypatch):
    """Reset the module's `server`, which is as large as its tests need, and connect to it."""
    server.reset()
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", server.connection_json(max_retries=0))
    return server
