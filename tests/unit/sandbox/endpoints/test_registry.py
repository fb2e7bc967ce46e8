"""All endpoints together: keys, verbs, and lists that arrive as objects."""

from __future__ import annotations

import pytest

from airflow_provider_cytechbot.sandbox.endpoints import users
from airflow_provider_cytechbot.sandbox.endpoints.registry import ENDPOINTS
from airflow_provider_cytechbot.sandbox.quirks import Quirk

from .replies import error


def test_users_and_packages_need_an_admin():
    assert {name for name, endpoint in ENDPOINTS.items() if endpoint.admin} == set(users.ENDPOINTS)


def test_endpoints_that_do_not_read_are_writes():
    reads = {name for name in ENDPOINTS if name.startswith("get_")} | {"subscriber_information"}
    assert {name for name, endpoint in ENDPOINTS.items() if endpoint.write} == set(ENDPOINTS) - reads


@pytest.mark.parametrize("endpoint", list(ENDPOINTS))
def test_keys(server, client, endpoint):
    send = client.write if ENDPOINTS[endpoint].write else client.read
    refused = error("Either API Key Invalid or Member Validity Expired")
    assert send(endpoint, api_key="") == error("API Key is required")
    assert send(endpoint, api_key="wrong") == refused
    assert (send(endpoint, api_key=server.member_api_key) == refused) == ENDPOINTS[endpoint].admin
    assert send(endpoint) != refused


def test_lists_arrive_as_objects(server, client):
    server.quirks = [Quirk.LISTS_AS_OBJECTS]
    assert list(client.read("get_flow_campaigns")) == ["0", "1", "2"]
    assert list(client.read("get_all_packages")["packages"]) == ["0", "1", "2"]
    campaign = client.read("get_flow_campaign_info", flow_campaign_id="2")
    assert campaign["questions"]["0"] == "Will you join the ride on 1 May?"
    data = client.read("get_all_subscriber_flow_info", flow_campaign_id="3")["data"]
    assert {answers["0"]["question_id"] for answers in data.values()} == {"61"}
    assert client.read("get_all_subscriber_flow_info", flow_campaign_id="2")["data"] == []
