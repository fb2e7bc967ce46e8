from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api import endpoints as e
from airflow_provider_cytechbot.api.calls import Call, build
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotFieldError,
    CyTechBotResponseError,
    CyTechBotTransportError,
)

BASE = "https://example.com/chat/api"
KEY = "K-e y+%&=/é"

# Endpoint, its fields, the path of the request, the fields that arrive beside the key.
CALLS = [
    (e.GET_USER, {"user_id": 39}, "get_user_info/", {"user_id": "39"}),
    (e.GET_USER, {"email": "a+b@x.org"}, "get_user_info/", {"email": "a+b@x.org"}),
    (
        e.CREATE_USER,
        {
            "name": "Ann",
            "email": "a@x.org",
            "password": "p&q=1",
            "package_id": 16,
            "expired_date": "2027-01-31",
            "mobile": "+49 1",
            "address": "Heaven 21\nTop",
        },
        "create_system_user",
        {
            "name": "Ann",
            "email": "a@x.org",
            "password": "p&q=1",
            "package_id": "16",
            "expired_date": "2027-01-31",
            "mobile": "+49 1",
            "address": "Heaven 21\nTop",
        },
    ),
    (
        e.UPDATE_USER,
        {
            "user_id": "39",
            "name": "Ann",
            "mobile": "1",
            "address": "x",
            "package_id": 1,
            "expired_date": "2027-01-31",
            "status": "1",
        },
        "update_user/39",
        {
            "name": "Ann",
            "mobile": "1",
            "address": "x",
            "package_id": "1",
            "expired_date": "2027-01-31",
            "status": "1",
        },
    ),
    (e.GET_PACKAGES, {}, "get_all_packages/", {}),
    (
        e.GET_SUBSCRIBER,
        {"subscriber_id": 24994546734902201},
        "subscriber_information/",
        {"subscriber_id": "24994546734902201"},
    ),
    (e.GET_LABELS, {"page_id": "1"}, "get_all_labels/", {"page_id": "1"}),
    (
        e.CREATE_LABEL,
        {"label_name": "Wichtig & neu", "page_id": 1},
        "create_label",
        {"label_name": "Wichtig & neu", "page_id": "1"},
    ),
    (
        e.ASSIGN_LABELS,
        {"page_id": 1, "subscriber_id": "a/b", "label_ids": [1, "2"]},
        "assign_label",
        {"page_id": "1", "subscriber_id": "a/b", "label_ids": "1,2"},
    ),
    (e.GET_CONTACT_GROUP, {"contact_type_id": 4}, "get_contact_group/", {"contact_type_id": "4"}),
    (e.CREATE_CONTACT_GROUP, {"name": "Group 12"}, "create_contact_group", {"name": "Group 12"}),
    (
        e.UPDATE_CONTACT_GROUP,
        {"contact_type_id": 4, "name": "G"},
        "update_contact_group/4",
        {"name": "G"},
    ),
    (e.DELETE_CONTACT_GROUP, {"contact_type_id": 4}, "delete_contact_group", {"contact_type_id": "4"}),
    (e.GET_CONTACT, {"contact_id": 5}, "get_contact/", {"contact_id": "5"}),
    (
        e.CREATE_CONTACT,
        {
            "contact_type_id": 4,
            "email": "a@x.org",
            "phone_number": "0123",
            "first_name": "Ann",
            "last_name": "O'Hara",
        },
        "create_contact",
        {
            "contact_type_id": "4",
            "email": "a@x.org",
            "phone_number": "0123",
            "first_name": "Ann",
            "last_name": "O'Hara",
        },
    ),
    (
        e.UPDATE_CONTACT,
        {"contact_id": 5, "email": "a", "phone_number": "b", "first_name": "c", "last_name": "d"},
        "update_contact/5",
        {"email": "a", "phone_number": "b", "first_name": "c", "last_name": "d"},
    ),
    (e.DELETE_CONTACT, {"contact_id": 5}, "delete_contact", {"contact_id": "5"}),
    (e.GET_FLOW_CAMPAIGNS, {}, "get_flow_campaigns/", {}),
    (e.GET_FLOW_CAMPAIGN, {"flow_campaign_id": 1}, "get_flow_campaign_info/", {"flow_campaign_id": "1"}),
    (
        e.GET_SUBSCRIBER_FLOW_ANSWERS,
        {"flow_campaign_id": 1, "subscriber_id": "s?#&"},
        "get_single_subscriber_flow_info/",
        {"flow_campaign_id": "1", "subscriber_id": "s?#&"},
    ),
    (e.GET_FLOW_ANSWERS, {"flow_campaign_id": 1}, "get_all_subscriber_flow_info/", {"flow_campaign_id": "1"}),
]
IDS = [f"{row[0].name}-{i}" for i, row in enumerate(CALLS)]


def arrives(call, key=KEY):
    """Return path and fields as the server reads them, and where else nothing may be."""
    url, body = call.url(BASE, key), call.body(key)
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "example.com", "")
    if call.endpoint.verb == "GET":
        assert body is None
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    else:
        assert parts.query == ""
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return parts.path, dict(pairs)


@pytest.mark.parametrize(("endpoint", "given_fields", "path", "sent"), CALLS, ids=IDS)
def test_fields_travel_where_the_server_reads_them(endpoint, given_fields, path, sent):
    call = build(endpoint, **given_fields)
    assert arrives(call) == (f"/chat/api/{path}", {"api_key": KEY, **sent})
    assert call.request == f"{endpoint.verb} {path}"


def test_each_endpoint_is_tried():
    assert {row[0].name for row in CALLS} == {each.name for each in e.ENDPOINTS}


def test_content_type_is_a_forms_where_there_is_one():
    write, read = build(e.CREATE_CONTACT_GROUP, name="Riders"), build(e.GET_FLOW_CAMPAIGNS)
    assert write.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert read.headers == {}


#: Characters that addresses and phone numbers may not have: fillers, blanks, variation selectors.
BLANK = [
    *map(ord, "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"),
    *range(0x180B, 0x1810),
    *range(0xFE00, 0xFE10),
    *range(0xE0100, 0xE01F0),
]
#: Texts that every text field accepts, those for addresses and phone numbers included.
VISIBLE = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), min_size=1).map(
    lambda text: f"x{text}y".translate(dict.fromkeys(BLANK, "x"))
)
TEXT_ENCODERS = {f"encode_{kind}" for kind in ("text", "lines", "password", "email", "phone_number")}
TEXT_FIELDS = [
    (row[0], row[1], name)
    for row in CALLS
    for name in row[1]
    if name in {field.name for field in row[0].fields if field.encode.__name__ in TEXT_ENCODERS}
]


@pytest.mark.parametrize(
    ("endpoint", "given_fields", "name"), TEXT_FIELDS, ids=[f"{x[0].name}-{x[2]}" for x in TEXT_FIELDS]
)
@given(text=VISIBLE, key=st.text(min_size=1))
def test_any_text_and_any_key_arrive_unchanged(endpoint, given_fields, name, text, key):
    try:
        call = build(endpoint, **{**given_fields, name: text})
    except CyTechBotFieldError:
        assert name == "phone_number"  # digits of other scripts, and numbers as a spreadsheet shows them
        return
    path, fields = arrives(call, key)
    assert fields[name] == text
    assert fields["api_key"] == key
    assert path == f"/chat/api/{call.path}"


@given(text=st.text(min_size=1))
def test_an_id_in_the_query_never_alters_path_or_other_fields(text):
    try:
        call = build(e.GET_SUBSCRIBER_FLOW_ANSWERS, flow_campaign_id=1, subscriber_id=text)
    except CyTechBotFieldError:
        return
    assert arrives(call) == (
        "/chat/api/get_single_subscriber_flow_info/",
        {"api_key": KEY, "flow_campaign_id": "1", "subscriber_id": text},
    )


WITH_ID_IN_PATH = {row[0].name: row[:2] for row in CALLS if "{" in row[0].path}


@pytest.mark.parametrize(("endpoint", "given_fields"), WITH_ID_IN_PATH.values(), ids=WITH_ID_IN_PATH)
@given(text=st.text() | st.sampled_from(["..", "1/..", "1?x=2", "1#", "%2e", "{user_id}", "1;a", "\\"]))
def test_an_id_in_the_path_is_a_number_or_refused(endpoint, given_fields, text):
    id_name = endpoint.path.split("{")[1].rstrip("}")
    try:
        call = build(endpoint, **{**given_fields, id_name: text})
    except CyTechBotFieldError:
        assert not (text.isascii() and text.isdigit() and text.strip("0"))
    else:
        assert arrives(call)[0] == f"/chat/api/{endpoint.name}/{text}"


def test_even_an_unchecked_id_would_not_alter_the_path():
    assert Call(e.UPDATE_USER, {"user_id": "../x?y#z"}).path == "update_user/..%2Fx%3Fy%23z"


REQUIRED = [
    pytest.param(row[0], row[1], field.name, id=f"{row[0].name}-{field.name}")
    for row in CALLS
    for field in row[0].fields
    if field.required
]


@pytest.mark.parametrize(("endpoint", "given_fields", "name"), REQUIRED)
@pytest.mark.parametrize("missing", [None, ""], ids=["none", "empty"])
def test_a_required_field_is_required(endpoint, given_fields, name, missing):
    with pytest.raises(CyTechBotFieldError) as caught:
        build(endpoint, **{**given_fields, name: missing})
    assert f"Field {name!r} " in str(caught.value)
    assert str(caught.value).startswith(f"{endpoint.verb} {endpoint.path}: ")


def test_an_unknown_field_is_refused():
    with pytest.raises(CyTechBotFieldError, match="'page' is not a field of get_all_labels"):
        build(e.GET_LABELS, page_id=1, page=1)
    with pytest.raises(CyTechBotFieldError, match="'api_key' is not a field of get_all_packages"):
        build(e.GET_PACKAGES, api_key="x")


@pytest.mark.parametrize(
    "fields", [{}, {"user_id": 1, "email": "x"}, {"email": ""}, {"user_id": None}], ids=str
)
def test_a_user_is_found_by_exactly_one_of_id_and_address(fields):
    with pytest.raises(CyTechBotFieldError, match="Exactly one of user_id or email is needed"):
        build(e.GET_USER, **fields)


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [
        (e.UPDATE_USER, {"user_id": 1}),
        (e.UPDATE_CONTACT, {"contact_id": 1}),
        (e.CREATE_CONTACT, {"contact_type_id": 1, "first_name": "Ann"}),
        (e.CREATE_CONTACT, {"contact_type_id": 1, "email": "", "phone_number": ""}),
    ],
    ids=["update_user", "update_contact", "create_contact", "create_contact empty"],
)
def test_at_least_one_is_needed(endpoint, fields):
    with pytest.raises(CyTechBotFieldError, match="At least one of "):
        build(endpoint, **fields)


FALSY = [
    (row[0], row[1], name)
    for row in CALLS
    if row[0].name.startswith("update_")
    for name in row[3]
    if name not in {"expired_date", "package_id"}
]


@pytest.mark.parametrize("falsy", ["", "0"], ids=repr)
@pytest.mark.parametrize(
    ("endpoint", "given_fields", "name"), FALSY, ids=[f"{x[0].name}-{x[2]}" for x in FALSY]
)
def test_an_update_the_server_would_pass_over_is_refused(endpoint, given_fields, name, falsy):
    with pytest.raises(CyTechBotFieldError, match=f"Field '{name}' (cannot be set to|is empty)"):
        build(endpoint, **{**given_fields, name: falsy})


def test_a_create_may_leave_optional_text_empty():
    call = build(e.CREATE_CONTACT, contact_type_id=1, email="x", first_name="", last_name="0")
    assert arrives(call)[1] == {
        "api_key": KEY,
        "contact_type_id": "1",
        "email": "x",
        "first_name": "",
        "last_name": "0",
    }


def test_none_is_not_sent():
    call = build(e.UPDATE_CONTACT, contact_id=1, email="x", first_name=None)
    assert arrives(call)[1] == {"api_key": KEY, "email": "x"}


def test_its_repr_shows_no_field():
    call = build(e.CREATE_LABEL, label_name="very private", page_id=1)
    assert "private" not in repr(call)


def test_path_and_request_hold_no_query():
    call = build(e.GET_SUBSCRIBER, subscriber_id="12")
    assert call.request == "GET subscriber_information/"


@pytest.mark.parametrize(("endpoint", "given_fields", "path", "sent"), CALLS, ids=IDS)
def test_only_creates_may_not_be_repeated(endpoint, given_fields, path, sent):
    assert build(endpoint, **given_fields).is_repeatable is not endpoint.name.startswith("create_")


CREATES = [row for row in CALLS if row[0].name.startswith("create_")]
LOST = [
    CyTechBotTransportError("no data came for 60 s.", "Wait longer."),
    CyTechBotTransportError("HTTP 502.", retry_after=5),
    CyTechBotResponseError("the answer is not JSON.", is_transient=False),
]
NOT_ACTED = [
    CyTechBotTransportError("no connection.", was_sent=False),
    CyTechBotTransportError("HTTP 429.", was_rejected=True),
    CyTechBotResponseError("a redirect.", was_rejected=True),
]


@pytest.mark.parametrize("row", CREATES, ids=lambda row: row[0].name)
@pytest.mark.parametrize("error", LOST, ids=str)
def test_a_create_without_an_answer_may_have_happened(row, error):
    lost = build(row[0], **row[1]).as_unanswered(error)
    assert type(lost) is CyTechBotAmbiguousWriteError
    assert not lost.retryable
    assert lost.reason.startswith(error.reason)
    assert "may have happened" in lost.reason
    assert lost.hint == row[0].how_to_check


@pytest.mark.parametrize("row", CREATES, ids=lambda row: row[0].name)
@pytest.mark.parametrize("error", NOT_ACTED, ids=str)
def test_a_create_that_was_never_sent_is_not_ambiguous(row, error):
    assert build(row[0], **row[1]).as_unanswered(error) is error


@pytest.mark.parametrize("row", [row for row in CALLS if row not in CREATES], ids=lambda row: row[0].name)
@pytest.mark.parametrize("error", LOST + NOT_ACTED, ids=str)
def test_all_other_calls_stay_what_they_are(row, error):
    assert build(row[0], **row[1]).as_unanswered(error) is error


def test_redactor_has_a_password_however_short_it_is():
    call = build(e.CREATE_USER, name="n", email="e", password="pw1", package_id=1, expired_date="2027-01-01")
    assert call.redactor("the-key")("password 'pw1' is too short") == "password '***' is too short"


def test_redactor_has_key_and_password():
    call = build(
        e.CREATE_USER, name="n", email="e", password="open sesame", package_id=1, expired_date="2027-01-01"
    )
    assert call.redactor("the-key")("the-key and open+sesame, n e") == "*** and ***, n e"
