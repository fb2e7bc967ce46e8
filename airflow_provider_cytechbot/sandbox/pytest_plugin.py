"""
Pytest fixtures that give tests a CyTechBot API server on a free port.

The top `conftest.py` loads them: `pytest_plugins = ["airflow_provider_cytechbot.sandbox.pytest_plugin"]`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_cytechbot.sandbox.server import SandboxServer


@pytest.fixture(scope="session")
def cytechbot_sandbox_server() -> Iterator[SandboxServer]:
    """Run one server for all tests; override this to give it other data."""
    with SandboxServer() as server:
        yield server


@pytest.fixture
def cytechbot_sandbox(cytechbot_sandbox_server: SandboxServer) -> SandboxServer:
    """Give the test the server, as it was at the start."""
    cytechbot_sandbox_server.reset()
    return cytechbot_sandbox_server
