from __future__ import annotations

import html
import json
import pickle
import re
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from unicodedata import category
from urllib.parse import quote, quote_plus
from zoneinfo import ZoneInfo

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api import endpoints as e
from airflow_provider_cytechbot.api import errors
from airflow_provider_cytechbot.api.answers import decipher
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.http_status import REJECTED
from airflow_provider_cytechbot.api.messages import MAX_REASON
from airflow_provider_cytechbot.api.records import WriteOutcome

#: The values of the vendor's examples, and what else is not just a number.
VALUES = {
    "user_id": 39,
    "subscriber_id": "134242424",
    "contact_type_id": 4567,
    "contact_id": 233,
    "password": "p@ss word",
    "expired_date": "2027-01-01",
    "label_ids": [3],
}


def build_call(endpoint):
    """Return a call with the fields that the endpoint needs, and no others."""
    names = [field.name for field in endpoint.fields if field.required]
    names += [group[0] for group in (endpoint.one_of, endpoint.any_of) if group]
    return build(endpoint, **{name: VALUES.get(name, "1") for name in names})


CALLS = {endpoint.name: build_call(endpoint) for endpoint in e.ENDPOINTS}
EACH_CALL = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
BARE = {name for name, call in CALLS.items() if call.endpoint.answer and not call.endpoint.answer.member}
WRITES = [name for name, call in CALLS.items() if call.endpoint.answer is None]
CREATES = [name for name in CALLS if name.startswith("create_")]
EXAMPLES = Path(__file__).parents[1] / "sandbox" / "vendor_examples.txt"


def vendor_examples():
    """Return (endpoint's name, JSON) of each example on the vendor's page."""
    found = []
    for section in EXAMPLES.read_text().split("== ")[1:]:
        name, text = section.split("\n", 1)
        text = text.replace("// more", "")
        while (start := min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)) >= 0:
            value, end = json.JSONDecoder().raw_decode(text, start)
            found.append((name.strip(), value, text[start:end]))
            text = text[end:]
    return found


def is_error(value):
    return isinstance(value, dict) and value.get("status") == "error"


SUCCESSES = [(name, value, text) for name, value, text in vendor_examples() if not is_error(value)]
ERRORS = [(name, value["message"], text) for name, value, text in vendor_examples() if is_error(value)]

BERLIN = ZoneInfo("Europe/Berlin")


def answer(call, body, *, status=200, headers=None, **kwargs):
    if isinstance(call, str):
        call = CALLS[call]
    body = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return decipher(call, status, headers or {}, body, **kwargs)


def failure(call, body, **kwargs):
    with pytest.raises(errors.CyTechBotError) as caught:
        answer(call, body, **kwargs)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


def expected_of(name, value):
    """Return what the vendor's example should become, written apart from the code."""
    if name in WRITES:
        return WriteOutcome(True, value.get("message"))
    if name in CREATES:
        (member,) = value.keys() - {"status"}
        return str(value[member])
    if name in BARE:
        return value
    (member,) = value.keys() - {"status"}
    return value[member]


ZONED = {
    "2020-09-27 08:13:01": "2020-09-27T08:13:01+02:00",
    "2020-10-27 00:00:00": "2020-10-27T00:00:00+01:00",
    "2020-10-28 13:40:46": "2020-10-28T13:40:46+01:00",
    "0000-00-00 00:00:00": None,
    "0000-00-00": None,
}


def with_times(value):
    if isinstance(value, dict):
        return {name: with_times(each) for name, each in value.items()}
    if isinstance(value, list):
        return [with_times(each) for each in value]
    return ZONED.get(value, value) if isinstance(value, str) else value


def test_the_vendor_gives_an_example_of_each_endpoint():
    assert {name for name, _, _ in SUCCESSES} == set(CALLS)
    assert len(ERRORS) >= 19


@pytest.mark.parametrize(("name", "value", "text"), SUCCESSES, ids=[row[0] for row in SUCCESSES])
def test_vendors_success(name, value, text):
    result = answer(name, text, zone=BERLIN)
    if isinstance(result, WriteOutcome):
        assert result == expected_of(name, value)
    else:
        assert result == with_times(expected_of(name, value))


NOT_FOUND = {
    "No Matching User Found",
    "No Matching Subscriber Found",
    "User not found with the ID: 12",
    "The contact ID does not exist",
    "The flow campaign ID does not exist",
}


@pytest.mark.parametrize(("name", "message", "text"), ERRORS, ids=[f"{row[0]}-{row[1]}" for row in ERRORS])
def test_vendors_error(name, message, text):
    if message == "No Matching Label Found":
        assert answer(name, text) == []
        return
    error = failure(name, text)
    if message.strip() in NOT_FOUND:
        assert type(error) is errors.CyTechBotNotFoundError
    elif "API Key" in message:
        assert type(error) is errors.CyTechBotAuthError
    else:
        assert type(error) is errors.CyTechBotRequestError
    assert f'"{message.strip()}"' in str(error)


@EACH_CALL
@pytest.mark.parametrize(
    "message",
    ["API Key is required", "Either API Key Invalid or Member Validity Expired", " api key INVALID "],
)
def test_wrong_key(call, message):
    error = failure(call, {"status": "error", "message": message})
    assert type(error) is errors.CyTechBotAuthError
    assert not error.retryable
    assert ("admin" in error.hint) is call.endpoint.admin


@EACH_CALL
@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Some trouble", '"Some trouble"'),
        ("  leading \n and \t inner  ", '"leading and inner"'),
        ({"message": " (#100) Bad parameter", "code": 100}, '"(#100) Bad parameter"'),
        ({"error": {"message": "(#803) Alias", "type": "x"}}, '"(#803) Alias"'),
        ({"code": 100}, '"{"code": "100"}"'),
        (["a", "b"], '"["a", "b"]"'),
        (None, "(no message)"),
        ("", "(no message)"),
        ({}, "(no message)"),
        (False, "(no message)"),
        (5, '"5"'),
        ("half \ud83d \x1b[31m", '"half \ufffd \ufffd[31m"'),
    ],
    ids=ascii,
)
def test_a_refusal_in_the_servers_words(call, message, reason):
    error = failure(call, {"status": "error", "message": message})
    assert type(error) is errors.CyTechBotRequestError
    assert error.reason == f"the API refused: {reason}."
    assert str(error).encode()


@EACH_CALL
@pytest.mark.parametrize(
    "message",
    [
        "Database is busy",
        "database is locked",
        "Deadlock found when trying to get lock; try restarting transaction",
        "Something went wrong, please try again later.",
        "Please retry in a moment",
        "Service temporarily unavailable",
        "Temporary failure, sorry",
        "Too many connections",
        "MySQL server has gone away",
        "Lock wait timeout exceeded",
        {"message": "The server is overloaded"},
    ],
    ids=str,
)
def test_a_temporary_failure_of_the_server_is_transient(call, message):
    error = failure(call, {"status": "error", "message": message})
    assert type(error) is errors.CyTechBotTransportError
    assert error.is_transient
    assert not error.is_rate_limit
    assert "temporary" in error.hint


@pytest.mark.parametrize(
    "message",
    [
        "Please try with different email",
        "Email already exists",
        "The database name is wrong",
        "Label is locked",
    ],
)
def test_other_refusals_are_final(message):
    error = failure("create_contact", {"status": "error", "message": message})
    assert type(error) is errors.CyTechBotRequestError


@pytest.mark.parametrize(
    ("status", "headers", "is_rate_limit"),
    [
        (429, {}, True),
        (429, {"Retry-After": "3"}, True),
        (503, {"Retry-After": "3"}, True),
        (503, {"Retry-After": "soon"}, False),
        (503, {}, False),
        (500, {"Retry-After": "3"}, False),
    ],
)
def test_statuses_that_limit_the_rate(status, headers, is_rate_limit):
    assert failure("get_contact", "x", status=status, headers=headers).is_rate_limit is is_rate_limit


def test_a_refusal_without_any_message():
    assert "(no message)" in str(failure("get_contact", {"status": "error"}))


@pytest.mark.parametrize("name", [name for name in CALLS if name != "get_all_labels"])
@pytest.mark.parametrize("message", ["No Matching Label Found", " no matching  label FOUND "])
@pytest.mark.parametrize("status", ["error", "info"])
def test_no_labels_is_an_answer_to_that_request_alone(name, message, status):
    assert answer("get_all_labels", {"status": status, "message": message}) == []
    if status == "error":
        kind = errors.CyTechBotNotFoundError if name == "assign_label" else errors.CyTechBotRequestError
        assert type(failure(name, {"status": status, "message": message})) is kind


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("message", ["Nothing changed", " Nothing\nchanged "])
def test_info_means_that_it_was_so_already(name, message):
    assert answer(name, {"status": "info", "message": message}) == WriteOutcome(False, "Nothing changed")
    assert answer(name, {"status": "info"}) == WriteOutcome(False, None)


@pytest.mark.parametrize("name", [name for name in CALLS if name not in WRITES])
def test_info_in_place_of_a_result_is_a_refusal(name):
    error = failure(name, {"status": "info", "message": "Nothing inserted"})
    assert type(error) is errors.CyTechBotRequestError
    assert "Nothing inserted" in str(error)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_answered_without_an_outcome_is_an_error(name):
    for body in (
        "null",
        "[]",
        "{}",
        '"success"',
        "1",
        {"status": "Success!"},
        {"success": True},
        {"status": []},
    ):
        assert type(failure(name, body)) is errors.CyTechBotResponseError


@pytest.mark.parametrize("name", CREATES)
@pytest.mark.parametrize(
    "body",
    ["null", "[]", "{}", {"status": "success"}, {"status": "success", "ID": 1}, {"id": 1, "label_id": 2}],
)
def test_a_create_without_a_new_id_may_have_happened(name, body):
    error = failure(name, body)
    assert type(error) is errors.CyTechBotResponseError
    assert not error.is_transient
    assert type(CALLS[name].as_unanswered(error)) is errors.CyTechBotAmbiguousWriteError


@pytest.mark.parametrize("new_id", [0, "0", None, "", False, []])
@pytest.mark.parametrize("name", CREATES)
def test_a_create_with_an_empty_new_id_may_have_happened(name, new_id):
    error = failure(name, {"status": "success", CALLS[name].endpoint.answer.member: new_id})
    assert type(error) is errors.CyTechBotResponseError
    assert error.may_have_acted


@pytest.mark.parametrize(("new_id", "read"), [(29, "29"), ("29", "29"), (10**30, "1" + "0" * 30)])
@pytest.mark.parametrize("name", CREATES)
def test_a_new_id_is_text(name, new_id, read):
    assert answer(name, {"status": "success", CALLS[name].endpoint.answer.member: new_id}) == read


@pytest.mark.parametrize("name", [name for name in CALLS if name != "get_flow_campaigns"])
def test_null_in_place_of_a_record_is_refused(name):
    assert type(failure(name, "null")) is errors.CyTechBotResponseError


@pytest.mark.parametrize("name", [name for name in CALLS if name in BARE])
def test_an_empty_object_is_refused(name):
    assert type(failure(name, "{}")) is errors.CyTechBotResponseError


@pytest.mark.parametrize("before", [b"", b"Notice: caf\xe9 on line 5\n"])
@pytest.mark.parametrize("name", ["caf\xe9", "\xed\xa0\x80", "\xff"])
def test_a_record_whose_text_is_not_utf8_is_refused(name, before):
    body = b'[{"id":"1","flow_name":"' + name.encode("latin-1") + b'"}]'
    with pytest.raises(errors.CyTechBotResponseError, match="has text that is not UTF-8") as caught:
        decipher(CALLS["get_flow_campaigns"], 200, {}, before + body)
    assert not caught.value.is_transient


def test_a_notice_need_not_be_utf8():
    body = b"Notice: caf\xe9 on line 5\n" + '[{"id":"1","flow_name":"café"}]'.encode()
    found = decipher(CALLS["get_flow_campaigns"], 200, {}, body)
    assert found == [{"id": "1", "flow_name": "café"}]


def test_null_for_a_list_is_an_empty_one():
    assert answer("get_flow_campaigns", "null") == []
    assert answer("get_all_packages", {"status": "success", "packages": None}) == []


def test_ids_are_read_from_numbers_and_from_text():
    as_numbers = {"id": 233, "user_id": 87, "contact_type_id": 67, "phone_number": 1234567891, "deleted": 0}
    as_texts = {name: str(value) for name, value in as_numbers.items()}
    assert answer("get_contact", as_numbers) == answer("get_contact", as_texts)


def test_unknown_fields_are_left_out_and_missing_ones_are_none():
    contact = answer("get_contact", {"id": "233", "internal": "secret", "email": None})
    assert set(contact.values()) == {"233", None}
    assert len(contact) == 10


def test_long_ids_keep_all_digits():
    body = '{"id":1,"flow_name":"x","data":{"24994546734902201":[{"id":24994546734902201,"answer":1.50}]}}'
    assert answer("get_all_subscriber_flow_info", body)["data"] == {
        "24994546734902201": [{"question_id": "24994546734902201", "question": None, "answer": "1.50"}]
    }


@pytest.mark.parametrize("name", ["get_all_subscriber_flow_info", "get_single_subscriber_flow_info"])
def test_nobody_has_answered_yet(name):
    result = answer(name, '{"id": null, "flow_name": null, "data": []}')
    assert (result["id"], result["flow_name"], len(result["data"])) == ("1", None, 0)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("get_user_info", {"status": "success", "user_info": {"id": "40"}}),
        ("subscriber_information", {"status": "success", "subscriber_info": {"subscriber_id": "666"}}),
        ("get_contact", {"id": "234"}),
        ("get_contact_group", {"id": 4568}),
        ("get_flow_campaign_info", {"id": "2", "flow_name": "x", "questions": []}),
        ("get_single_subscriber_flow_info", {"id": "2", "flow_name": "x", "data": []}),
        ("get_all_subscriber_flow_info", {"id": "2", "flow_name": "x", "data": {}}),
    ],
)
def test_an_answer_to_another_request_is_refused_and_retried(name, body):
    error = failure(name, body)
    assert type(error) is errors.CyTechBotResponseError
    assert error.is_transient
    assert "belongs to another request" in error.reason


def test_a_user_is_compared_by_what_was_requested():
    call = build(e.GET_USER, email="A@b.example")
    found = {"status": "success", "user_info": {"id": "5", "email": "a@B.example "}}
    assert answer(call, found)["id"] == "5"
    other = {"status": "success", "user_info": {"id": "5", "email": "c@b.example"}}
    assert "belongs to another request" in failure(call, other).reason


@EACH_CALL
@pytest.mark.parametrize(
    "before",
    ["\ufeff", "\ufeff\ufeff", '\n<br />\n<b>Notice</b>:  x["a"] in <b>/x</b> on line <b>5</b><br />\n'],
)
def test_notices_before_an_answer_are_skipped(call, before):
    for name, _, text in SUCCESSES:
        if CALLS[name] is call:
            assert answer(call, before + text) == answer(call, text)
    error = failure(call, before + '{"status":"error","message":"Some trouble"}')
    assert type(error) is errors.CyTechBotRequestError


@pytest.mark.parametrize(("name", "value", "text"), SUCCESSES, ids=[row[0] for row in SUCCESSES])
@pytest.mark.parametrize("before", ["", "\nNotice: x in /x on line 5\n"], ids=["plain", "behind a notice"])
def test_a_truncated_body_is_refused_wherever_it_ends(name, value, text, before):
    text = json.dumps(json.loads(text))
    step = max(1, len(text) // 60)
    for end in range(2, len(text), step):
        error = failure(name, before + text[:end])
        assert type(error) is errors.CyTechBotTransportError
        assert "cut off or damaged" in str(error)
        assert error.may_have_acted


@EACH_CALL
@pytest.mark.parametrize("body", [b"", b" \r\n", b"\xef\xbb\xbf"])
def test_empty_body(call, body):
    error = failure(call, body)
    assert type(error) is errors.CyTechBotTransportError
    assert "empty" in str(error)


PAGE = "<!DOCTYPE html><html><head><title>\n Log in &amp; go </title></head><body>{}</body></html>"


@EACH_CALL
@pytest.mark.parametrize(
    ("body", "headers", "what"),
    [
        (PAGE, {"Content-Type": "text/html"}, 'a web page titled "Log in &amp; go"'),
        ("<p>Hello</p>", {"content-type": "text/html; charset=utf-8"}, "text/html; charset=utf-8"),
        ("Service busy", {}, "something else"),
        ("Service busy", {"Content-Type": "application/json"}, "something else"),
        ("<br />\n<b>Fatal error</b>", {"Content-Type": "application/json; charset=utf-8"}, "HTML"),
        ("a" * 9000 + "<title>x</title>", {"CONTENT-TYPE": ""}, "something else"),
    ],
    ids=["page", "html", "text", "text as JSON", "HTML as JSON", "late title"],
)
def test_a_web_page_is_refused(call, body, headers, what):
    error = failure(call, body, headers=headers)
    assert type(error) is errors.CyTechBotResponseError
    assert error.reason == f"the answer is not JSON but {what}."
    assert error.may_have_acted


@EACH_CALL
@pytest.mark.parametrize("body", [PAGE, "", '{"status":"success"}', '{"id":1}'])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_an_answer(call, body, status):
    location = "https://u:pw@www.example.com:8443/login/index.php?api_key=abc&x=1#f"
    error = failure(call, body, status=status, headers={"LOCATION": location})
    assert type(error) is errors.CyTechBotResponseError
    assert "a redirect to https://www.example.com:8443/login/index.php, which" in str(error)
    assert "pw" not in str(error)
    assert "abc" not in str(error)
    assert not error.is_transient
    assert error.may_have_acted  # a 303 even states that the call was carried out
    assert error.concerns_every_row


@pytest.mark.parametrize(
    ("location", "to"),
    [("/login?x=1", " to /login"), ("", ""), ("https://[bad", ""), ("?x=1", ""), ("//h/x", " to ://h/x")],
)
def test_odd_redirects(location, to):
    error = failure("get_contact", "", status=302, headers={"Location": location})
    assert f"HTTP 302, a redirect{to}, which is never followed." in str(error)


def test_a_redirect_without_a_target():
    assert "a redirect, which" in str(failure("get_contact", "", status=302))


@EACH_CALL
@pytest.mark.parametrize("status", sorted(REJECTED - {429}))
def test_a_status_given_before_the_application_runs_is_a_refusal(call, status):
    body = "<title>403 Forbidden</title>"
    error = failure(call, body, status=status)
    assert isinstance(error, errors.CyTechBotResponseError)
    assert f"HTTP {status}" in str(error)
    assert not error.is_transient
    assert not error.may_have_acted
    assert error.concerns_every_row


UNSURE_4XX = [402, 406, 408, 409, 410, 412, 416, 418, 422, 423, 424, 425, 428, 444, 451, 460, 499]
INTERIM = [100, 101, 102, 103, 199]
UNSURE = [*UNSURE_4XX, *INTERIM, -1, 0, 99, 300, 303, 304, 399, 500, 501, 503, 505, 530, 600]


@EACH_CALL
@pytest.mark.parametrize("status", UNSURE)
def test_any_other_status_can_follow_a_write_that_was_carried_out(call, status):
    error = failure(call, '{"status":"success","id":1}', status=status)
    assert f"HTTP {status}" in str(error)
    assert error.may_have_acted
    reported = call.as_unanswered(error)
    if call.is_repeatable:
        assert reported is error
    else:
        assert type(reported) is errors.CyTechBotAmbiguousWriteError
        assert reported.concerns_every_row is error.concerns_every_row is not error.is_transient


@pytest.mark.parametrize("status", INTERIM)
def test_an_interim_answer_without_a_final_one_is_transient(status):
    error = failure("get_contact", "", status=status)
    assert error.is_transient
    assert "interim" in error.reason


@pytest.mark.parametrize("name", CREATES)
@pytest.mark.parametrize("body", ["", "{}", "null", '{"status":"success"}', "<p>Accepted</p>"])
@pytest.mark.parametrize("status", [201, 202, 204, 206, 226])
def test_an_unusual_success_without_an_id_may_have_happened(name, body, status):
    call = CALLS[name]
    error = call.as_unanswered(failure(name, body, status=status))
    assert type(error) is errors.CyTechBotAmbiguousWriteError


def test_the_page_of_a_refusal_is_named():
    error = failure("get_contact", "<title>403 Forbidden</title>", status=403)
    assert 'HTTP 403 with a web page titled "403 Forbidden".' in str(error)


@EACH_CALL
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520, 999])
@pytest.mark.parametrize("body", ["", PAGE, '{"status":"success","id":1}'])
def test_a_server_in_trouble_may_have_acted(call, status, body):
    error = failure(call, body, status=status)
    assert type(error) is errors.CyTechBotTransportError
    assert error.retryable
    assert error.is_transient
    assert error.may_have_acted
    assert f"HTTP {status}" in str(error)


@EACH_CALL
def test_too_many_requests_never_reach_the_api(call):
    error = failure(call, "", status=429)
    assert type(error) is errors.CyTechBotTransportError
    assert error.is_transient
    assert not error.may_have_acted
    assert call.as_unanswered(error) is error


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 09:28:30 +0200", 30.0),
        ("Wed, 21 Oct 2026 07:28:30 -0000", 30.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("Wed, 99 Oct 2026 07:28:30 GMT", None),
        ("Wed, 21 Oct 2026 07:28:30 +99999999", None),
    ],
)
@time_machine.travel("2026-10-21T07:28:00Z", tick=False)
def test_retry_after(status, value, seconds):
    assert failure("get_contact", "", status=status, headers={"Retry-After": value}).retry_after == seconds


@time_machine.travel("2026-10-21T07:28:00Z", tick=False)
@given(st.timedeltas(timedelta(seconds=1), timedelta(days=400)))
def test_retry_after_any_date(later):
    moment = datetime.now(UTC) + later
    error = failure(
        "get_contact", "", status=429, headers={"retry-after": format_datetime(moment, usegmt=True)}
    )
    assert error.retry_after == pytest.approx(later.total_seconds(), abs=1)


DELETES = pytest.mark.parametrize(
    ("name", "thing"), [("delete_contact", "contact"), ("delete_contact_group", "contact type")]
)


@DELETES
def test_a_delete_repeated_after_a_lost_answer_is_done(name, thing):
    body = {"status": "error", "message": f"The {thing} ID does not exist"}
    assert answer(name, body, is_resend=True) == WriteOutcome(True, f"The {thing} ID does not exist")
    assert type(failure(name, body)) is errors.CyTechBotNotFoundError


@DELETES
@pytest.mark.parametrize(
    "message", ["Table 'contacts' does not exist", "User not found", "Page not found", "API route not found"]
)
def test_a_delete_refused_because_something_else_is_missing_is_not_done(name, thing, message):
    failure(name, {"status": "error", "message": message}, is_resend=True)


@pytest.mark.parametrize("name", [name for name in CALLS if not name.startswith("delete_")])
def test_any_other_repeated_call_is_judged_as_the_first(name):
    ids = [field.name for field in CALLS[name].endpoint.fields if field.name.endswith("_id")]
    for each in ids:
        body = {"status": "error", "message": f"The {each.removesuffix('_id')} ID does not exist"}
        assert type(failure(name, body, is_resend=True)) is errors.CyTechBotNotFoundError


@pytest.mark.parametrize("name", ["delete_contact", "delete_contact_group"])
@pytest.mark.parametrize("message", ["API Key is required", "Database is locked", ""])
def test_a_delete_refused_for_another_reason_is_not_done(name, message):
    failure(name, {"status": "error", "message": message}, is_resend=True)


def test_a_refusal_after_a_lost_answer_names_the_earlier_attempt():
    body = {"status": "error", "message": "Please try with different email address"}
    error = failure("update_contact", body, is_resend=True)
    assert type(error) is errors.CyTechBotRequestError
    assert "earlier attempt" in str(error)
    assert "earlier attempt" not in str(failure("update_contact", body))


def test_a_long_reason_is_cut():
    error = failure("get_contact", {"status": "error", "message": "x" * 5000})
    assert len(error.reason) == MAX_REASON + 1
    assert error.reason.endswith("x…")


def test_nested_too_deeply():
    error = failure("get_contact", '{"id":' + "[" * 200_000)
    assert type(error) is errors.CyTechBotResponseError
    assert "nested too deeply" in str(error)


@pytest.mark.parametrize(
    ("body", "outline"),
    [
        ({"b": 1, "a": 2}, "an object with a, b"),
        ({}, "an object"),
        ([], "a list"),
        ("null", "null"),
        ("1", "text"),
    ],
)
def test_a_wrong_shape_is_outlined_without_its_content(body, outline):
    assert f"({outline}" in str(failure("get_user_info", body))


# What no answer may show, however the server hands it back.

ECHOES = {
    "raw": lambda text: text,
    "quoted": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "html": html.escape,
    "json": lambda text: json.dumps(text)[1:-1],
}
SECRETS = (st.text(min_size=4, max_size=30) | st.text(" +%/\\\"'&<é\U0001f600\n", min_size=4)).filter(
    lambda text: len(text.strip()) >= 4 and "***" not in text and "…" not in text
)


def all_text(error):
    return "\n".join(
        [
            str(error),
            repr(error),
            repr(error.args),
            repr(vars(error)),
            "".join(traceback.format_exception(error)),
            str(pickle.loads(pickle.dumps(error))),
        ]
    )


#: What every error shows.
NEUTRAL = all_text(errors.CyTechBotError("neutral"))


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize(
    "place", ["message", "object", "title", "type", "location", "members", "time", "padded"]
)
@given(secret=SECRETS)
def test_a_secret_that_the_server_repeats_is_shown_nowhere(echo, place, secret):
    fields = {"name": "n", "email": "e", "package_id": 1, "expired_date": "2027-01-01"}
    is_visible = not any(category(each) in ("Cc", "Cf", "Zl", "Zp") for each in secret)
    call = build(e.CREATE_USER, **fields, password=secret if is_visible else "another password")
    expected = echo(secret)
    status, headers, body = 200, {}, json.dumps({"status": "error", "message": f"[{expected}]"})
    if place == "object":
        body = json.dumps({"status": "error", "message": {"code": [f"[{expected}]"]}})
    elif place == "title":
        body = f"<title>[{expected}]</title>"
    elif place == "type":
        headers, body = {"content-type": f"[{expected}]"}, "x"
    elif place == "location":
        status, headers = 302, {"location": f"https://example.com/[{expected}]"}
    elif place == "members":
        body = json.dumps({f"[{expected}]": 1})
    elif place == "time":
        call, body = (
            CALLS["get_contact_group"],
            json.dumps({"id": "1", "created_at": f"[{expected}]"}),
        )
    elif place == "padded":
        body = json.dumps({"status": "error", "message": "x" * (MAX_REASON - 22) + f"[{expected}]"})
    for key in (secret, "another key"):
        error = failure(call, body, status=status, headers=headers, api_key=key)
        if (call.endpoint is not e.CREATE_USER or not is_visible) and key != secret:
            continue
        shown = all_text(error)
        for form in {secret.strip(), expected.strip(), " ".join(secret.split()), repr(secret)[1:-1]}:
            if len(form) >= 4 and form not in NEUTRAL:
                assert f"[{form}" not in shown


def test_a_secret_in_the_message_of_a_write_is_masked():
    outcome = answer("update_user", {"status": "info", "message": "with the-key"}, api_key="the-key")
    assert outcome == WriteOutcome(False, "with ***")


def test_a_redirect_does_not_cut_a_key_in_two():
    headers = {"location": "https://example.com/x/abcd?efgh"}
    error = failure("get_contact", "", status=302, headers=headers, api_key="abcd?efgh")
    assert "abcd" not in all_text(error)


# Any answer at all.

MEMBERS = st.sampled_from(
    re.findall(
        r"\w+",
        "status message id data flow_name questions question_id user_info packages subscriber_info "
        "label_info label_id contact_type_id new_contact_id created_at error",
    )
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["success", "error", "info", "", "0", "0000-00-00", 10**400, 0, "2026-01-01 00:00:00"]),
    lambda x: st.lists(x, max_size=4) | st.dictionaries(MEMBERS | st.text(), x, max_size=6),
    max_leaves=20,
)
BODIES = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.tuples(st.binary(max_size=20), JSON, st.binary(max_size=5)).map(
        lambda parts: parts[0] + json.dumps(parts[1]).encode() + parts[2]
    )
    | st.sampled_from(
        [
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"9" * 10_000,
            b'{"status":"success","id":' + b"7" * 9000 + b"}",
            b"NaN",
            b'{"id":-Infinity}',
            b'{"id":"\\ud800"}',
            b"\x00",
        ]
    )
)
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "LOCATION", "content-type", "", "x"]) | st.text(max_size=5), st.text()
)


@EACH_CALL
@given(
    body=BODIES,
    status=st.just(200) | st.sampled_from([204, 302, 403, 429, 503]) | st.integers(),
    headers=HEADERS,
)
def test_any_answer_is_a_value_or_an_error_of_the_tree(call, body, status, headers):
    try:
        result = decipher(call, status, headers, body, api_key="the key", zone=BERLIN)
    except errors.CyTechBotError as error:
        expected = str(error)
        pickle.loads(pickle.dumps(error))
    else:
        expected = json.dumps(result, ensure_ascii=False)
    expected.encode()  # can be written anywhere
    assert status == 200 or 200 <= status < 300 or "HTTP" in expected


@given(st.text(st.sampled_from("0123456789 ,:-+.GMTWedOctJan"), max_size=40))
def test_any_retry_after_is_seconds_or_nothing(value):
    found = failure("get_contact", "", status=429, headers={"Retry-After": value}).retry_after
    assert found is None or found >= 0


@pytest.mark.parametrize("name", CREATES)
@pytest.mark.parametrize("status", sorted(REJECTED))
@pytest.mark.parametrize(
    "body",
    [
        '{"status":"success"}',
        ' {"status": "Success", "message": "made"}',
        '{"status":"info","message":"m"}',
        '{"status":"success"}<br /><b>Warning</b>: Unknown on line 4',
        '{"status":"success"}{"status":"success"}',
        "ID",
    ],
)
def test_a_body_that_states_a_success_counts_more_than_a_status_that_rejects(name, status, body):
    call = CALLS[name]
    if body == "ID":
        body = json.dumps({call.endpoint.answer.member: 7})
    error = failure(name, body, status=status)
    assert f"HTTP {status}" in str(error)
    assert type(call.as_unanswered(error)) is errors.CyTechBotAmbiguousWriteError


@pytest.mark.parametrize("status", [400, 403, 429])
@pytest.mark.parametrize(
    "body", ['{"message":"Too Many Requests"}', '{"status":429,"error":"m"}', "[]", "null"]
)
def test_another_body_leaves_the_status_as_it_is(status, body):
    assert not failure("create_contact_group", body, status=status).may_have_acted


@pytest.mark.parametrize(
    "failed", [{"error": "timeout"}, {"errors": ["timeout"]}, {"success": False}, {"status": "failed"}]
)
def test_a_record_beside_a_failure_is_no_result(failed):
    record = {"id": "5", "contact_type_id": "1", "first_name": "Ann", "email": "a@example.com", **failed}
    with pytest.raises(errors.CyTechBotError):
        decipher(CALLS["get_contact"], 200, {}, json.dumps(record).encode())


@pytest.mark.parametrize("name", CREATES)
@pytest.mark.parametrize("form", ["raw", "percent", "hex", "within"])
def test_a_new_id_never_repeats_the_key(name, form):
    key = "1-Ab3&k9Zq7w+pL2"
    new_id = {"raw": key, "percent": quote(key), "hex": key.encode().hex(), "within": f"label {key}"}[form]
    call = CALLS[name]
    body = json.dumps({"status": "success", call.endpoint.answer.member: new_id}).encode()
    with pytest.raises(errors.CyTechBotUnansweredError) as caught:
        decipher(call, 200, {}, body, api_key=key)
    assert new_id not in str(caught.value)
    assert type(call.as_unanswered(caught.value)) is errors.CyTechBotAmbiguousWriteError


def test_a_new_id_may_share_digits_with_a_secret():
    call = CALLS["create_contact_group"]
    assert decipher(call, 200, {}, b'{"status":"success","contact_type_id":12345}', api_key="1234") == "12345"
