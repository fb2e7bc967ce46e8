"""Each endpoint's answers beyond the vendor's examples: other errors, what a write changes, the quirks."""

from __future__ import annotations

import re

import pytest

from airflow_provider_cytechbot.sandbox.endpoints import ENDPOINTS
from airflow_provider_cytechbot.sandbox.quirks import Quirk

PAGE = "104857600000001"
CLOSED_PAGE = "104857600000003"
SUBSCRIBER = "24994546734902201"
IMPORTANT, PRODUCT = "2472856209402188", "2328660457215897"
USER = {
    "name": "n",
    "email": "n@example.com",
    "password": "p",
    "package_id": "2",
    "expired_date": "2030-01-31",
}


def error(message):
    return {"status": "error", "message": message}


def effects(server, endpoint):
    return [entry.took_effect for entry in server.requests(endpoint)]


def test_the_twenty_of_the_page():
    assert len(ENDPOINTS) == 20
    assert {name for name, endpoint in ENDPOINTS.items() if endpoint.admin} == {
        "get_user_info",
        "create_system_user",
        "update_user",
        "get_all_packages",
    }
    assert {name for name, endpoint in ENDPOINTS.items() if endpoint.write} == {
        "create_system_user",
        "update_user",
        "create_label",
        "assign_label",
        "create_contact_group",
        "update_contact_group",
        "delete_contact_group",
        "create_contact",
        "update_contact",
        "delete_contact",
    }


@pytest.mark.parametrize("endpoint", list(ENDPOINTS))
def test_keys(server, client, endpoint):
    ask = client.write if ENDPOINTS[endpoint].write else client.read
    refused = error("Either API Key Invalid or Member Validity Expired")
    assert ask(endpoint, api_key="") == error("API Key is required")
    assert ask(endpoint, api_key="wrong") == refused
    assert (ask(endpoint, api_key=server.member_api_key) == refused) == ENDPOINTS[endpoint].admin
    assert ask(endpoint) != refused


class TestUsers:
    def test_found_by_either_field_or_both(self, client):
        anna = client.read("get_user_info", user_id="1")["user_info"]
        assert anna["user_type"] == "Admin"
        assert client.read("get_user_info", email="ADMIN@example.com")["user_info"] == anna
        assert client.read("get_user_info", user_id="1", email="admin@example.com")["user_info"] == anna
        assert client.read("get_user_info", user_id="2", email="admin@example.com") == error(
            "No Matching User Found"
        )

    def test_a_field_is_wanted(self, client):
        assert client.read("get_user_info") == error("Provide either user ID or Email to filter")

    def test_plus_in_an_email(self, server, client):
        assert client.read("get_user_info", email="chiyo+bot@example.com")["user_info"]["id"] == "3"
        server.quirks = [Quirk.EMAIL_DECODED_TWICE]
        assert client.read("get_user_info", email="chiyo+bot@example.com") == error("No Matching User Found")

    def test_created(self, server, client):
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
    def test_mandatory_fields(self, server, client, missing):
        fields = {**USER, missing: ""}
        assert client.write("create_system_user", **fields) == error("All mandatory field is not provided")
        assert len(server.state.users) == 3

    def test_unknown_package(self, client):
        assert client.write("create_system_user", **{**USER, "package_id": "9"}) == error(
            "Package ID not found"
        )

    def test_unreadable_date_becomes_the_zero_date(self, client):
        client.write("create_system_user", **{**USER, "expired_date": "31/01/2030"})
        user = client.read("get_user_info", email=USER["email"])["user_info"]
        assert user["expired_date"] == "0000-00-00 00:00:00"

    def test_updated(self, server, client):
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

    def test_update_without_fields_or_id(self, client):
        assert client.write("update_user/2")["status"] == "error"
        assert client.write("update_user", name="x") == error("Provide User ID with End Point URL")

    def test_falsy_fields(self, server, client):
        server.quirks = [Quirk.FALSY_FIELDS_DROPPED]
        assert client.write("update_user/2", address="", status="0", name="x") == {"status": "success"}
        user = client.read("get_user_info", user_id="2")["user_info"]
        assert (user["name"], user["status"]) == ("x", "1")
        assert user["address"]
        assert client.write("update_user/2", address="")["status"] == "error"
        server.quirks = "none"
        assert client.write("update_user/2", address="") == {"status": "success"}
        assert client.read("get_user_info", user_id="2")["user_info"]["address"] == ""


class TestLabels:
    def test_missing_fields(self, client):
        assert client.read("subscriber_information") == error("Provide subscriber_id field")
        assert client.read("get_all_labels") == error("Provide page_id field")
        assert client.write("create_label", label_name="x") == error("Provide page_id field")
        assert client.write("create_label", page_id=PAGE) == error("Provide label_name field")

    def test_created(self, server, client):
        label_id = client.write("create_label", label_name="Néw/1", page_id=PAGE)["label_id"]
        assert isinstance(label_id, str)
        labels = client.read("get_all_labels", page_id=PAGE)["label_info"]
        assert labels[-1] == {"label_id": label_id, "label_name": "Néw/1"}
        assert effects(server, "create_label") == [True]

    def test_created_twice(self, server, client):
        fields = {"label_name": "Important", "page_id": PAGE}
        assert client.write("create_label", **fields) == error("(#100) Label name already exists.")
        server.quirks = [Quirk.FACEBOOK_ERROR_OBJECTS]
        message = client.write("create_label", **fields)["message"]
        assert message["message"] == "(#100) Label name already exists."
        assert message["code"] == 100
        assert effects(server, "create_label") == [False, False]

    def test_page_without_a_bot(self, client):
        assert client.read("get_all_labels", page_id=CLOSED_PAGE) == error("No Matching Label Found")
        assert client.write("create_label", label_name="x", page_id=CLOSED_PAGE) == error(
            "No Enabled Bot Found"
        )

    def assign(self, client, label_ids, page_id=PAGE, subscriber_id=SUBSCRIBER):
        return client.write("assign_label", label_ids=label_ids, page_id=page_id, subscriber_id=subscriber_id)

    def test_assigned(self, server, client):
        assert server.labels_of(SUBSCRIBER) == [IMPORTANT]
        assert self.assign(client, f"{IMPORTANT},{PRODUCT}") == {"success": True, "status": "success"}
        assert self.assign(client, f"{IMPORTANT},{PRODUCT}") == {"success": True, "status": "success"}
        assert server.labels_of(SUBSCRIBER) == [IMPORTANT, PRODUCT]
        info = client.read("subscriber_information", subscriber_id=SUBSCRIBER)["subscriber_info"]
        assert info["labels"] == "1,2"
        assert effects(server, "assign_label") == [True, False]

    def test_unknown_among_known(self, server, client):
        server.quirks = [Quirk.UNKNOWN_LABELS_IGNORED]
        assert self.assign(client, f"777,{PRODUCT}") == {"success": True, "status": "success"}
        assert server.labels_of(SUBSCRIBER) == [IMPORTANT, PRODUCT]
        assert self.assign(client, "777") == error("No Label Found")

    def test_not_atomic(self, server, client):
        assert self.assign(client, f"{PRODUCT},777") == error("(#100) Invalid parameter")
        assert server.labels_of(SUBSCRIBER) == [IMPORTANT, PRODUCT]
        assert effects(server, "assign_label") == [True]

    def test_subscriber_of_another_page(self, server, client):
        refused = error("(#100) The user ID is not valid.")
        assert self.assign(client, IMPORTANT, subscriber_id="5123456789012301") == refused
        server.quirks = [Quirk.FACEBOOK_ERROR_OBJECTS]
        assert isinstance(self.assign(client, IMPORTANT, subscriber_id="1")["message"], dict)


class TestContactGroups:
    def test_names_are_not_unique(self, server, client):
        first = client.write("create_contact_group", name="Same")["contact_type_id"]
        second = client.write("create_contact_group", name="Same")["contact_type_id"]
        assert (first, second) == (4, 5)
        group = client.read("get_contact_group", contact_type_id=5)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", group.pop("created_at"))
        assert group == {"id": "5", "user_id": "1", "type": "Same", "deleted": "0"}
        assert effects(server, "create_contact_group") == [True, True]

    def test_belongs_to_whose_key_made_it(self, server, client):
        made = client.write("create_contact_group", name="x", api_key=server.member_api_key)
        group = client.read("get_contact_group", contact_type_id=made["contact_type_id"])
        assert group["user_id"] == "2"

    def test_updated(self, server, client):
        assert client.write("update_contact_group/1", name="Other") == {"status": "success"}
        assert client.read("get_contact_group", contact_type_id=1)["type"] == "Other"
        assert client.write("update_contact_group/1", name="Other") == {"status": "success"}
        server.quirks = [Quirk.INFO_WHEN_UNCHANGED]
        assert client.write("update_contact_group/1", name="Other")["status"] == "info"
        assert effects(server, "update_contact_group") == [True, False, False]
        assert server.requests("update_contact_group")[-1].outcome == "info"

    def test_unknown(self, client):
        unknown = error("The contact type ID does not exist")
        assert client.read("get_contact_group", contact_type_id="9") == unknown
        assert client.write("update_contact_group/9", name="x") == unknown
        assert client.write("update_contact_group", name="x") == error("Invalid contact type ID provided")

    def test_deleted_twice(self, server, client):
        assert client.write("delete_contact_group", contact_type_id="3")["status"] == "success"
        again = client.write("delete_contact_group", contact_type_id="3")
        assert again == error("The contact type ID does not exist")
        server.quirks = [Quirk.INFO_WHEN_NOTHING_DELETED]
        assert client.write("delete_contact_group", contact_type_id="3")["status"] == "info"
        assert client.read("get_contact_group", contact_type_id="3")["status"] == "error"
        assert effects(server, "delete_contact_group") == [True, False, False]


class TestContacts:
    def test_created(self, server, client):
        fields = {"contact_type_id": "1", "email": " new@example.com ", "first_name": "Ñ", "last_name": "O/X"}
        assert client.write("create_contact", **fields) == {"status": "success", "new_contact_id": 5}
        assert client.read("get_contact", contact_id=5) == {
            "id": "5",
            "user_id": "1",
            "contact_type_id": "1",
            "first_name": "Ñ",
            "last_name": "O/X",
            "phone_number": "",
            "email": "new@example.com",
            "notes": "",
            "unsubscribed": "0",
            "deleted": "0",
        }
        assert client.write("create_contact", **fields) == error("Please try with different email address")
        assert effects(server, "create_contact") == [True, False]

    def test_group_is_wanted(self, client):
        assert client.write("create_contact", email="a@example.com") == error(
            "The contact_type_id is required"
        )

    def test_phone_taken(self, client):
        answer = client.write("create_contact", contact_type_id="1", phone_number="+34600333444")
        assert answer == error("Please try with different phone_number")

    def test_no_email_though_another_has_none(self, server, client):
        fields = {"contact_type_id": "1", "phone_number": "111"}
        assert client.write("create_contact", **fields)["status"] == "success"
        server.quirks = [Quirk.EMPTY_EMAIL_TAKEN]
        fields["phone_number"] = "222"
        assert client.write("create_contact", **fields) == error("Please try with different email address")

    def test_updated(self, server, client):
        fields = {"first_name": "A", "email": "a@example.com"}
        assert client.write("update_contact/3", **fields) == {"status": "success"}
        contact = client.read("get_contact", contact_id="3")
        assert (contact["first_name"], contact["email"]) == ("A", "a@example.com")
        assert client.write("update_contact/3", **fields) == {"status": "success"}
        server.quirks = [Quirk.INFO_WHEN_UNCHANGED]
        assert client.write("update_contact/3", **fields)["status"] == "info"
        server.quirks = [Quirk.OWN_EMAIL_TAKEN]
        assert client.write("update_contact/3", **fields) == error("Please try with different email address")
        assert effects(server, "update_contact") == [True, False, False, False]

    def test_update_to_what_another_has(self, client):
        answer = client.write("update_contact/3", email="maya@example.com")
        assert answer == error("Please try with different email address")

    def test_missing_ids(self, client):
        assert client.read("get_contact") == error("The contact_id field is required")
        assert client.write("delete_contact") == error("The contact_id field is required")
        assert client.write("update_contact", first_name="x") == error("The contact ID is required")

    def test_deleted_twice(self, server, client):
        assert client.write("delete_contact", contact_id="4")["status"] == "success"
        assert client.write("delete_contact", contact_id="4") == error("The contact ID does not exist")
        server.quirks = [Quirk.INFO_WHEN_NOTHING_DELETED]
        assert client.write("delete_contact", contact_id="4")["status"] == "info"
        assert effects(server, "delete_contact") == [True, False, False]


class TestFlows:
    def test_unknown_campaign_and_missing_fields(self, client):
        for endpoint in ("get_flow_campaign_info", "get_all_subscriber_flow_info"):
            assert client.read(endpoint) == error("The flow_campaign_id field is required")
            assert client.read(endpoint, flow_campaign_id="9") == error("The flow campaign ID does not exist")
        single = "get_single_subscriber_flow_info"
        assert client.read(single, flow_campaign_id="1") == error("The subscriber_id field is required")
        assert client.read(single, subscriber_id="1") == error("The flow_campaign_id field is required")

    def test_nobody_answered(self, server, client):
        fields = {"flow_campaign_id": "2", "subscriber_id": SUBSCRIBER}
        named = {"id": "2", "flow_name": "Spring ride: sign up", "data": []}
        for endpoint in ("get_all_subscriber_flow_info", "get_single_subscriber_flow_info"):
            server.quirks = "none"
            assert client.read(endpoint, **fields) == named
            server.quirks = [Quirk.NULL_CAMPAIGN_WITHOUT_ANSWERS]
            assert client.read(endpoint, **fields) == {"id": None, "flow_name": None, "data": []}

    def test_partial_and_empty_answers(self, client):
        data = client.read("get_all_subscriber_flow_info", flow_campaign_id="3")["data"]
        assert [len(answers) for answers in data.values()] == [4, 2, 1]
        assert data["5123456789012303"] == [{"question_id": "61", "question": "Coffee or tea?", "answer": ""}]
        for subscriber_id, answers in data.items():
            single = client.read(
                "get_single_subscriber_flow_info", flow_campaign_id="3", subscriber_id=subscriber_id
            )
            assert single["data"] == answers

    def test_question_id_by_its_other_name(self, server, client):
        server.quirks = [Quirk.ID_FOR_QUESTION_ID]
        data = client.read("get_all_subscriber_flow_info", flow_campaign_id="3")["data"]
        assert list(data["5123456789012303"][0]) == ["id", "question", "answer"]
        single = client.read(
            "get_single_subscriber_flow_info", flow_campaign_id="3", subscriber_id="5123456789012303"
        )
        assert list(single["data"][0]) == ["question_id", "question", "answer"]

    def test_an_answer_given_meanwhile(self, server, client):
        server.answer("2", SUBSCRIBER, "51", "Yes!")
        data = client.read("get_all_subscriber_flow_info", flow_campaign_id="2")["data"]
        assert data == {
            SUBSCRIBER: [
                {"question_id": "51", "question": "Will you join the ride on 1 May?", "answer": "Yes!"}
            ]
        }
