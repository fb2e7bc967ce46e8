"""
Pytest fixtures that give tests a CyTechBot API server on a free port.

The top `conftest.py` loads them: `pytest_plugins = ["airflow_provider_cytechbot.sandbox.pytest_plugin"]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_cytechbot.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cytechbot_sandbox_server() -> Iterator[SandboxServer]:
    """Run one server for all tests; override this to give it other data."""
    with SandboxServer() as server:
        yield server


@pytest.fixture
def cytechbot_sandbox(cytechbot_sandbox_server: SandboxServer) -> SandboxServer:
    """Return the server, reset to its start."""
    cytechbot_sandbox_server.reset()
    return cytechbot_sandbox_server
