"""How a request is taken apart: where fields are read, which paths are served, how JSON is written."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_cytechbot.sandbox.faults import FaultError
from airflow_provider_cytechbot.sandbox.server import SandboxServer

NO_KEY = {"status": "error", "message": "API Key is required"}


def send(server, method, path, **options):
    return requests.request(method, f"{server.base_url}/{path}", timeout=5, allow_redirects=False, **options)


@pytest.mark.parametrize("path", ["get_contact", "get_contact/"])
def test_reads_with_and_without_the_slash(server, client, path):
    response = send(server, "GET", path, params={**client.key, "contact_id": "1"})
    assert response.status_code == 200
    assert response.json()["id"] == "1"


def test_reads_take_the_query_string_only(server, client):
    fields = {**client.key, "flow_campaign_id": "1"}
    assert send(server, "POST", "get_flow_campaign_info/", data=fields).json() == NO_KEY
    # The page's own curl line is a POST with the fields in the query string.
    assert send(server, "POST", "get_flow_campaign_info/", params=fields).json()["id"] == "1"


def test_writes_take_the_form_only(server, client):
    fields = {**client.key, "name": "x"}
    for options in (
        {"params": fields},
        {"json": fields},
        {"files": {n: (None, v) for n, v in fields.items()}},
    ):
        assert send(server, "POST", "create_contact_group", **options).json() == NO_KEY
    for method in ("GET", "PUT"):
        assert send(server, method, "create_contact_group", data=fields).json() == NO_KEY
    assert server.journal.took_effect() == 0
    assert send(server, "POST", "create_contact_group/", data=fields).json()["status"] == "success"


def test_any_text_arrives_unchanged(client):
    for name in ("a&b=c d+e%20f", "\U0001f44d/é\n\t", "\\ \" ' <>", "0.0", "中" * 5000):
        made = client.write("create_contact_group", name=name)
        assert client.read("get_contact_group", contact_type_id=made["contact_type_id"])["type"] == name


def test_last_of_a_field_sent_twice_wins(client):
    response = client.session.get(
        f"{client.server.base_url}/get_contact/?contact_id=1&contact_id=2", params=client.key, timeout=5
    )
    assert response.json()["id"] == "2"


@pytest.mark.parametrize("path", ["get_nothing", "get_contact/5", "", "../login"])
def test_unknown_path_is_a_page(server, path):
    response = send(server, "GET", path)
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")


def test_request_outside_the_api_is_in_the_journal(server, client):
    requests.post(f"{server.url}/login", data=client.key, timeout=5)
    assert [(entry.endpoint, entry.key_in) for entry in server.requests()] == [("/login", "form")]


def test_written_as_php_does(client):
    content = client.get("get_contact_group", contact_type_id="2").content
    assert content.startswith(b'{"id":"2","user_id":"1","type":"Test riders \\/ spring",')
    assert client.get("get_contact", contact_id="3").content.count(b"Jos\\u00e9") == 1


def test_labelled_as_json_unless_the_quirk_is_on(server, client):
    assert client.get("get_all_packages").headers["content-type"] == "application/json"
    server.quirks = ["json_as_html"]
    assert client.get("get_all_packages").headers["content-type"] == "text/html; charset=UTF-8"
    assert client.get("get_contact").headers["content-type"] == "application/json"


def test_fault_of_no_endpoint(server):
    with pytest.raises(FaultError, match="endpoint: there is no 'get_nothing'; known are all, get_user_info"):
        server.fault("gzip", "get_nothing")


@pytest.mark.parametrize("base_path", ["/chat/api", "/", "api/"])
def test_base_path(base_path):
    with SandboxServer(base_path=base_path) as server:
        path = "/" + base_path.strip("/") if base_path.strip("/") else ""
        assert server.base_url == f"{server.url}{path}"
        response = send(server, "GET", "get_flow_campaigns/", params={"api_key": server.api_key})
        assert len(response.json()) == 3
        assert server.journal.received("get_flow_campaigns") == 1


def test_chunked_throughout():
    with SandboxServer(chunked=True) as server:
        response = send(server, "GET", "get_flow_campaigns/", params={"api_key": server.api_key})
        assert response.headers["transfer-encoding"] == "chunked"
        assert len(response.json()) == 3
