"""The server of the tests of bulk writes."""

from __future__ import annotations

import json
import threading

import pytest

from ..kills.label_server import LabelServer


@pytest.fixture
def server(monkeypatch):
    with LabelServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        connection = {"conn_type": "cytechbot", "host": server.url, "password": "1-some-key"}
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
        yield server
        server.shutdown()
