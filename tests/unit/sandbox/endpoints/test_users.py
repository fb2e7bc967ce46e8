"""Users and packages beyond the vendor's examples: errors, writes, quirks."""

from __future__ import annotations

import re

import pytest

from airflow_provider_cytechbot.sandbox.quirks import Quirk

from .replies import effects, error

USER = {
    "name": "n",
    "email": "n@example.com",
    "password": "p",
    "package_id": "2",
    "expired_date": "2030-01-31",
}


def test_found_by_either_field_or_both(client):
    anna = client.read("get_user_info", user_id="1")["user_info"]
    assert anna["user_type"] == "Admin"
    assert client.read("get_user_info", email="ADMIN@example.com")["user_info"] == anna
    assert client.read("get_user_info", user_id="1", email="admin@example.com")["user_info"] == anna
    assert client.read("get_user_info", user_id="2", email="admin@example.com") == error(
        "No Matching User Found"
    )


def test_a_field_is_wanted(client):
    assert client.read("get_user_info") == error("Provide either user ID or Email to filter")


def test_plus_in_an_email(server, client):
    assert client.read("get_user_info", email="chiyo+bot@example.com")["user_info"]["id"] == "3"
    server.quirks = [Quirk.EMAIL_DECODED_TWICE]
    assert client.read("get_user_info", email="chiyo+bot@example.com") == error("No Matching User Found")


def test_created(server, client):
    answer = client.write("create_system_user", **USER, mobile="0123", address="Street 1/2")
    assert answer == {"status": "success", "id": 4}
    user = client.read("get_user_info", user_id=4)["user_info"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", user.pop("add_date"))
    assert user == {
        "id": "4",
        "name": "n",
        "email": "n@example.com",
        "mobile": "0123",
        "address": "Street 1/2",
        "user_type": "Member",
        "status": "1",
        "last_login_at": "0000-00-00 00:00:00",
        "expired_date": "2030-01-31 00:00:00",
        "package_id": "2",
        "last_login_ip": "",
    }
    assert client.write("create_system_user", **USER) == error("Email already exists")
    assert effects(server, "create_system_user") == [True, False]


@pytest.mark.parametrize("missing", list(USER))
def test_mandatory_fields(server, client, missing):
    fields = {**USER, missing: ""}
    assert client.write("create_system_user", **fields) == error("All mandatory field is not provided")
    assert len(server.state.users) == 3


def test_unknown_package(client):
    assert client.write("create_system_user", **{**USER, "package_id": "9"}) == error("Package ID not found")


def test_unreadable_date_becomes_the_zero_date(client):
    client.write("create_system_user", **{**USER, "expired_date": "31/01/2030"})
    user = client.read("get_user_info", email=USER["email"])["user_info"]
    assert user["expired_date"] == "0000-00-00 00:00:00"


def test_updated(server, client):
    fields = {
        "name": "Zoë",
        "mobile": "1",
        "status": "0",
        "package_id": "3",
        "expired_date": "2031-02-03",
    }
    assert client.write("update_user/2", **fields) == {"status": "success"}
    assert client.write("update_user/2", **fields) == {"status": "success"}
    user = client.read("get_user_info", user_id="2")["user_info"]
    assert {name: user[name] for name in fields} == {**fields, "expired_date": "2031-02-03 00:00:00"}
    assert effects(server, "update_user") == [True, False]


def test_update_without_fields_or_id(client):
    assert client.write("update_user/2")["status"] == "error"
    assert client.write("update_user", name="x") == error("Provide User ID with End Point URL")


def test_falsy_fields(server, client):
    server.quirks = [Quirk.FALSY_FIELDS_DROPPED]
    assert client.write("update_user/2", address="", status="0", name="x") == {"status": "success"}
    user = client.read("get_user_info", user_id="2")["user_info"]
    assert (user["name"], user["status"]) == ("x", "1")
    assert user["address"]
    assert client.write("update_user/2", address="")["status"] == "error"
    server.quirks = "none"
    assert client.write("update_user/2", address="") == {"status": "success"}
    assert client.read("get_user_info", user_id="2")["user_info"]["address"] == ""
