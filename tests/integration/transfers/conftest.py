"""What the tests of exports share: the sandbox of their module, and one object store for all."""

from __future__ import annotations

import pytest

from ..object_store import object_store


@pytest.fixture
def sandbox(server, monkeypatch):
    """Reset the module's `server`, which is as large as its tests need, and connect to it."""
    server.reset()
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", server.connection_json(max_retries=0))
    return server


@pytest.fixture(scope="session")
def running_store(tmp_path_factory):
    """Run one for all: Airflow keeps a client for each connection id as long as a process lives."""
    with object_store(tmp_path_factory.mktemp("weed")) as store:
        yield store
