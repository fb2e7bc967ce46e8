"""Contact groups and contacts beyond the vendor's examples: errors, writes, quirks."""

from __future__ import annotations

import re

from airflow_provider_cytechbot.sandbox.quirks import Quirk

from .replies import effects, error


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
