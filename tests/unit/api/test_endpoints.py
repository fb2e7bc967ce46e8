from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.endpoints import ENDPOINTS, Endpoint, Repeat

# Written apart from the code: verb, path, required fields, optional fields, of which exactly one or at least
# one is needed, what success carries ("bare": no status beside it), admin key, repeat.
TABLE = [
    ("GET", "get_user_info/", "", "user_id email", "exactly one", "user_info", "admin", "safe"),
    (
        "POST",
        "create_system_user",
        "name email password package_id expired_date",
        "mobile address",
        "",
        "id",
        "admin",
        "unsafe",
    ),
    (
        "POST",
        "update_user/{user_id}",
        "user_id",
        "name mobile address package_id expired_date status",
        "at least one",
        "",
        "admin",
        "safe",
    ),
    ("GET", "get_all_packages/", "", "", "", "packages", "admin", "safe"),
    ("GET", "subscriber_information/", "subscriber_id", "", "", "subscriber_info", "", "safe"),
    ("GET", "get_all_labels/", "page_id", "", "", "label_info", "", "safe"),
    ("POST", "create_label", "label_name page_id", "", "", "label_id", "", "unsafe"),
    ("POST", "assign_label", "label_ids page_id subscriber_id", "", "", "", "", "safe"),
    ("GET", "get_contact_group/", "contact_type_id", "", "", "bare", "", "safe"),
    ("POST", "create_contact_group", "name", "", "", "contact_type_id", "", "unsafe"),
    ("POST", "update_contact_group/{contact_type_id}", "contact_type_id name", "", "", "", "", "safe"),
    ("POST", "delete_contact_group", "contact_type_id", "", "", "", "", "gone is done"),
    ("GET", "get_contact/", "contact_id", "", "", "bare", "", "safe"),
    (
        "POST",
        "create_contact",
        "contact_type_id",
        "email phone_number first_name last_name",
        "at least one",
        "new_contact_id",
        "",
        "unsafe",
    ),
    (
        "POST",
        "update_contact/{contact_id}",
        "contact_id",
        "first_name last_name email phone_number",
        "at least one",
        "",
        "",
        "safe",
    ),
    ("POST", "delete_contact", "contact_id", "", "", "", "", "gone is done"),
    ("GET", "get_flow_campaigns/", "", "", "", "bare", "", "safe"),
    ("GET", "get_flow_campaign_info/", "flow_campaign_id", "", "", "bare", "", "safe"),
    ("GET", "get_single_subscriber_flow_info/", "flow_campaign_id subscriber_id", "", "", "bare", "", "safe"),
    ("GET", "get_all_subscriber_flow_info/", "flow_campaign_id", "", "", "bare", "", "safe"),
]
REPEAT = {"safe": Repeat.SAFE, "unsafe": Repeat.UNSAFE, "gone is done": Repeat.GONE_IS_DONE}
ROWS = {row[1].split("/")[0]: row for row in TABLE}
PAIRS = [pytest.param(each, ROWS[each.name], id=each.name) for each in ENDPOINTS if each.name in ROWS]


def test_each_endpoint_has_its_row():
    assert [each.name for each in ENDPOINTS] == list(ROWS)


@pytest.mark.parametrize(("endpoint", "row"), PAIRS)
def test_declaration_follows_the_api_page(endpoint, row):
    verb, path, required, optional, needed, carries, admin, repeat = row
    assert (endpoint.verb, endpoint.path) == (verb, path)
    assert {each.name for each in endpoint.fields if each.required} == set(required.split())
    assert {each.name for each in endpoint.fields if not each.required} == set(optional.split())
    assert endpoint.admin is (admin == "admin")
    assert endpoint.repeat is REPEAT[repeat]
    if carries:
        assert endpoint.answer.member == (None if carries == "bare" else carries)
    else:
        assert endpoint.answer is None
    assert set(endpoint.one_of) == (set(optional.split()) if needed == "exactly one" else set())
    if endpoint is endpoints.CREATE_CONTACT:
        optional = "email phone_number"
    assert set(endpoint.any_of) == (set(optional.split()) if needed == "at least one" else set())


def test_all_declarations_are_listed_once():
    declared = [value for value in vars(endpoints).values() if isinstance(value, Endpoint)]
    assert len(ENDPOINTS) == len({each.name for each in ENDPOINTS})
    assert sorted(each.name for each in declared) == sorted(each.name for each in ENDPOINTS)


def test_name_is_the_vendors():
    assert endpoints.UPDATE_USER.name == "update_user"
    assert endpoints.GET_USER.name == "get_user_info"
    assert endpoints.CREATE_LABEL.name == "create_label"


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: each.name)
def test_only_creates_have_a_way_to_check_them(endpoint):
    assert bool(endpoint.how_to_check) is endpoint.name.startswith("create_")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: each.name)
def test_only_updates_drop_falsy_values(endpoint):
    assert endpoint.drops_falsy is endpoint.name.startswith("update_")


def test_only_the_read_of_all_answers_is_slow():
    assert [each.name for each in ENDPOINTS if each.slow] == ["get_all_subscriber_flow_info"]


def test_no_labels_is_the_one_refusal_that_means_none():
    found = {
        each.name: each.answer.none_found for each in ENDPOINTS if each.answer and each.answer.none_found
    }
    assert found == {"get_all_labels": "No Matching Label Found"}


def test_only_the_password_is_secret():
    assert [field.name for each in ENDPOINTS for field in each.fields if field.secret] == ["password"]


def test_declarations_cannot_be_changed():
    with pytest.raises(AttributeError, match="cannot assign"):
        endpoints.GET_USER.verb = "POST"
