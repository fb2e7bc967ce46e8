"""What the sandbox's tests share: a running server, and a plain client that does not use the provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from airflow_provider_cytechbot.sandbox.server import SandboxServer


class Client:
    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        self.key = {"api_key": server.api_key}

    def get(self, endpoint: str, **fields: Any) -> requests.Response:
        return self.session.get(
            f"{self.server.base_url}/{endpoint}/",
            params={**self.key, **fields},
            allow_redirects=False,
            timeout=10,
        )

    def post(self, endpoint: str, **fields: Any) -> requests.Response:
        return self.session.post(
            f"{self.server.base_url}/{endpoint}",
            data={**self.key, **fields},
            allow_redirects=False,
            timeout=10,
        )

    def read(self, endpoint: str, **fields: Any) -> Any:
        return json.loads(self.get(endpoint, **fields).content)

    def write(self, endpoint: str, **fields: Any) -> Any:
        return json.loads(self.post(endpoint, **fields).content)


@pytest.fixture
def server(cytechbot_sandbox: SandboxServer) -> SandboxServer:
    return cytechbot_sandbox


@pytest.fixture
def client(server: SandboxServer) -> Iterator[Client]:
    client = Client(server)
    yield client
    client.session.close()
