from __future__ import annotations

import json

import pytest

from airflow_provider_cytechbot.api import endpoints as e
from airflow_provider_cytechbot.api.answers import decipher
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.errors import CyTechBotResponseError
from airflow_provider_cytechbot.api.matching import check_match, is_same


@pytest.mark.parametrize(
    ("answered", "requested", "same"),
    [
        ("1", "1", True),
        ("1", "001", True),
        (" A@b.c", "a@B.c", True),
        ("", "1", True),
        ("jos\u00e9@x.org", "JOSE@x.org", True),
        ("e\u0301", "\u00c9", True),
        ("007", "7", True),
        ("a07", "a7", False),
        ("1", "2", False),
        ("1", "10", False),
        ("24994546734902200", "24994546734902201", False),
    ],
)
def test_ids_are_compared_as_the_server_does(answered, requested, same):
    assert is_same(answered, requested) is same


def test_only_what_both_name_is_compared():
    check_match({"id": "1", "email": None}, {"email": "a"}, {"id": "user_id", "email": "email"})
    with pytest.raises(CyTechBotResponseError, match="'id' is not the requested 'user_id'"):
        check_match({"id": "1"}, {"user_id": "2"}, {"id": "user_id"})


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (build(e.GET_LABELS, page_id="9"), {"page_id": "8", "label_info": []}),
        (build(e.ASSIGN_LABELS, page_id="9", subscriber_id="1", label_ids="5"), {"subscriber_id": "666"}),
        (build(e.DELETE_CONTACT, contact_id="4"), {"contact_id": 5}),
        (build(e.UPDATE_CONTACT, contact_id="4", first_name="A"), {"contact_id": "5"}),
        (
            build(e.CREATE_CONTACT, contact_type_id="4", email="a@b.c"),
            {"new_contact_id": 7, "contact_type_id": 5},
        ),
        (
            build(e.CREATE_CONTACT, contact_type_id="4", email="a@b.c"),
            {"new_contact_id": 7, "email": "x"},
        ),
        (
            build(e.GET_SUBSCRIBER_FLOW_ANSWERS, flow_campaign_id="1", subscriber_id="1"),
            {"id": "1", "flow_name": "f", "data": [], "subscriber_id": "666"},
        ),
    ],
    ids=lambda each: each.endpoint.name if hasattr(each, "endpoint") else "",
)
def test_an_id_of_the_request_that_an_answer_repeats_is_compared(call, body):
    answer = json.dumps({"status": "success", **body}).encode()
    with pytest.raises(CyTechBotResponseError, match="belongs to another request"):
        decipher(call, 200, {}, answer)
