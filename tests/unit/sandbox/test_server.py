from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time

import pytest
import requests

from airflow_provider_cytechbot.sandbox.faults import Fault, FaultError, FaultKind
from airflow_provider_cytechbot.sandbox.seed import DataError
from airflow_provider_cytechbot.sandbox.server import SandboxServer


def campaigns(server):
    return requests.get(
        f"{server.base_url}/get_flow_campaigns/", params={"api_key": server.api_key}, timeout=5
    )


def refused(server):
    with pytest.raises(requests.ConnectionError):
        campaigns(server)


def test_stops_and_starts_again():
    server = SandboxServer()
    server.start()
    port = server.port
    assert campaigns(server).status_code == 200
    server.stop()
    server.stop()
    refused(server)
    with server:
        assert server.port == port
        assert campaigns(server).status_code == 200


def test_stops_at_once_whatever_is_under_way():
    others = set(threading.enumerate())
    with SandboxServer(subscribers=200_000) as server:
        server.fault("delay", "get_flow_campaigns", seconds=60)
        server.fault("trickle", "get_contact", seconds=60)
        waiting = threading.Thread(target=refused, args=(server,))
        waiting.start()
        key = {"api_key": server.api_key}
        trickling = requests.get(f"{server.base_url}/get_contact", params=key, stream=True, timeout=5)
        # A client that does not read on.
        stalled = requests.get(
            f"{server.base_url}/get_all_subscriber_flow_info",
            params={**key, "flow_campaign_id": "100"},
            stream=True,
            timeout=5,
        )
        while not server.requests("get_flow_campaigns"):
            time.sleep(0.01)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    waiting.join(5)
    assert not waiting.is_alive()
    trickling.close()
    stalled.close()
    assert set(threading.enumerate()) <= others


def test_loopback_only():
    with SandboxServer() as server:
        assert server.base_url == f"http://127.0.0.1:{server.port}/api"
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as elsewhere:
            # Another loopback address reaches a server that listens everywhere, and not this one.
            elsewhere.settimeout(2)
            assert elsewhere.connect_ex(("127.0.0.2", server.port)) != 0


def test_port_in_use():
    with SandboxServer() as server, pytest.raises(OSError, match="in use"):
        SandboxServer(port=server.port).start()


def test_two_at_once_share_nothing():
    with SandboxServer() as one, SandboxServer() as other:
        one.state.contacts.clear()
        assert other.state.contacts
        campaigns(one)
        assert (one.journal.received(), other.journal.received()) == (1, 0)


def test_connection():
    server = SandboxServer(port=8765, api_key="1-a/b+c d@é%")
    connection = json.loads(server.connection_json())
    assert connection == {
        "conn_type": "cytechbot",
        "host": "http://127.0.0.1:8765/api",
        "password": "1-a/b+c d@é%",
    }
    assert json.loads(server.connection_json(timeout=3))["extra"] == {"timeout": 3}


@pytest.mark.parametrize("write", ["connection_json", "connection_uri"])
def test_connection_as_airflow_reads_it(write):
    from airflow.models import Connection

    server = SandboxServer(port=8765, api_key="1-a/b+c d@é%")
    text = getattr(server, write)(timeout=3, server_timezone="Europe/Berlin")
    read = Connection.from_json(text) if write == "connection_json" else Connection(uri=text)
    assert read.conn_type == "cytechbot"
    assert read.host == "http://127.0.0.1:8765/api"
    assert read.password == server.api_key
    assert read.extra_dejson == {"timeout": 3, "server_timezone": "Europe/Berlin"}
    assert not read.login


def test_data_from_a_file_or_a_mapping(tmp_path):
    seed = {"flow_campaigns": [{"id": 7, "flow_name": "Seven"}]}
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(seed))
    for data in (seed, path, str(path)):
        assert list(SandboxServer(data=data).state.campaigns) == ["7"]
    with pytest.raises(DataError, match="odd"):
        SandboxServer(data={"odd": 1})


def test_reset_brings_back_what_was_given_at_the_start():
    fault = Fault(FaultKind.STATUS, status=500)
    with SandboxServer(faults=[fault], quirks="info_when_unchanged") as server:
        assert [campaigns(server).status_code for _ in range(2)] == [500, 200]
        server.answer("2", "1", "51", "x")
        server.quirks = "none"
        server.reset()
        assert [campaigns(server).status_code for _ in range(2)] == [500, 200]
        assert not server.state.campaigns["2"].answers
        assert server.quirks == {"info_when_unchanged"}


def test_faults_given_in_either_way(server):
    fault = Fault(FaultKind.STATUS, "get_contact", status=500)
    assert server.fault(fault) == server.fault("status", "get_contact", status=500) == fault
    server.clear_faults()
    for wrong in ({"kind": "odd"}, {"kind": "status"}, {"kind": "gzip", "often": 3}):
        with pytest.raises(FaultError):
            server.fault(**wrong)


def test_uvicorn_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r"pip install 'airflow-provider-cytechbot\[sandbox\]'"):
        SandboxServer().start()


def test_no_request_is_logged_whatever_logging_is_set_up_around_it(server, caplog):
    with caplog.at_level("DEBUG"):
        access = logging.getLogger("uvicorn.access")
        access.addHandler(caplog.handler)  # as the logging of Airflow does, after the server has started
        try:
            requests.get(f"{server.base_url}/get_flow_campaigns/", params={"api_key": "k/ey"}, timeout=5)
        finally:
            access.removeHandler(caplog.handler)
    assert server.requests("get_flow_campaigns")
    assert not [record for record in caplog.records if record.name == "uvicorn.access"]
