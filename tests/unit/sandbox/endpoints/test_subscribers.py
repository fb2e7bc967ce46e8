"""Subscribers and labels beyond the vendor's examples: errors, writes, quirks."""

from __future__ import annotations

from airflow_provider_cytechbot.sandbox.quirks import Quirk

from .replies import effects, error

PAGE = "104857600000001"
CLOSED_PAGE = "104857600000003"
SUBSCRIBER = "24994546734902201"
IMPORTANT, PRODUCT = "2472856209402188", "2328660457215897"


def test_missing_fields(client):
    assert client.read("subscriber_information") == error("Provide subscriber_id field")
    assert client.read("get_all_labels") == error("Provide page_id field")
    assert client.write("create_label", label_name="x") == error("Provide page_id field")
    assert client.write("create_label", page_id=PAGE) == error("Provide label_name field")


def test_created(server, client):
    label_id = client.write("create_label", label_name="Néw/1", page_id=PAGE)["label_id"]
    assert isinstance(label_id, str)
    labels = client.read("get_all_labels", page_id=PAGE)["label_info"]
    assert labels[-1] == {"label_id": label_id, "label_name": "Néw/1"}
    assert effects(server, "create_label") == [True]


def test_created_twice(server, client):
    fields = {"label_name": "Important", "page_id": PAGE}
    assert client.write("create_label", **fields) == error("(#100) Label name already exists.")
    server.quirks = [Quirk.FACEBOOK_ERROR_OBJECTS]
    message = client.write("create_label", **fields)["message"]
    assert message["message"] == "(#100) Label name already exists."
    assert message["code"] == 100
    assert effects(server, "create_label") == [False, False]


def test_page_without_a_bot(client):
    assert client.read("get_all_labels", page_id=CLOSED_PAGE) == error("No Matching Label Found")
    assert client.write("create_label", label_name="x", page_id=CLOSED_PAGE) == error("No Enabled Bot Found")


def assign(client, label_ids, page_id=PAGE, subscriber_id=SUBSCRIBER):
    return client.write("assign_label", label_ids=label_ids, page_id=page_id, subscriber_id=subscriber_id)


def test_assigned(server, client):
    assert server.labels_of(SUBSCRIBER) == [IMPORTANT]
    assert assign(client, f"{IMPORTANT},{PRODUCT}") == {"success": True, "status": "success"}
    assert assign(client, f"{IMPORTANT},{PRODUCT}") == {"success": True, "status": "success"}
    assert server.labels_of(SUBSCRIBER) == [IMPORTANT, PRODUCT]
    info = client.read("subscriber_information", subscriber_id=SUBSCRIBER)["subscriber_info"]
    assert info["labels"] == "1,2"
    assert effects(server, "assign_label") == [True, False]


def test_unknown_among_known(server, client):
    server.quirks = [Quirk.UNKNOWN_LABELS_IGNORED]
    assert assign(client, f"777,{PRODUCT}") == {"success": True, "status": "success"}
    assert server.labels_of(SUBSCRIBER) == [IMPORTANT, PRODUCT]
    assert assign(client, "777") == error("No Label Found")


def test_not_atomic(server, client):
    assert assign(client, f"{PRODUCT},777") == error("(#100) Invalid parameter")
    assert server.labels_of(SUBSCRIBER) == [IMPORTANT, PRODUCT]
    assert effects(server, "assign_label") == [True]


def test_subscriber_of_another_page(server, client):
    refused = error("(#100) The user ID is not valid.")
    assert assign(client, IMPORTANT, subscriber_id="5123456789012301") == refused
    server.quirks = [Quirk.FACEBOOK_ERROR_OBJECTS]
    assert isinstance(assign(client, IMPORTANT, subscriber_id="1")["message"], dict)
