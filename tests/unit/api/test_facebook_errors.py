from __future__ import annotations

import html
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api import endpoints as e
from airflow_provider_cytechbot.api import errors
from airflow_provider_cytechbot.api.answers import decipher
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.facebook_errors import FacebookError, find_facebook_error

ASSIGN = build(e.ASSIGN_LABELS, page_id=1, subscriber_id=2, label_ids=[3])
CREATE = build(e.CREATE_LABEL, page_id=1, label_name="n")
READ = build(e.GET_SUBSCRIBER, subscriber_id=1)
GROUP = build(e.CREATE_CONTACT_GROUP, name="n")

#: How an error of Facebook can stand in an answer.
SHAPES = {
    "object": lambda error: {"message": error},
    "nested": lambda error: {"message": {"error": error}},
    "error member": lambda error: {"error": error},
    "list": lambda error: {"message": [error]},
    "list of nested": lambda error: {"message": ["1 failed", {"error": error}]},
    "JSON text": lambda error: {"message": json.dumps(error)},
    "JSON text nested": lambda error: {"message": json.dumps({"error": error})},
    "behind words": lambda error: {"message": f"Facebook said: {json.dumps({'error': error})}"},
    "body of a batch": lambda error: {
        "message": [{"code": 400, "body": json.dumps({"error": error})}, {"code": 200, "body": "{}"}]
    },
    "text alone": lambda error: {"message": f" (#{error['code']}) {error['message']}"},
    "the answer itself": lambda error: {**error, "type": "OAuthException"},
}
RATE_LIMITS = [4, 17, 32, 341, 368, 613, 80000, 80006, 80014]
TRANSIENT = [1, 2]
PAGE_ACCESS = [3, 5, 10, 101, 102, 104, 190, 200, 230, 299, 2500]


def error_of(call, answer, **kwargs):
    with pytest.raises(errors.CyTechBotError) as caught:
        decipher(call, 200, {}, json.dumps(answer).encode(), **kwargs)
    return caught.value


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("call", [ASSIGN, CREATE, READ], ids=lambda call: call.endpoint.name)
@pytest.mark.parametrize("code", RATE_LIMITS)
def test_a_rate_limit_is_transient_and_did_nothing(shape, call, code):
    error = error_of(call, {"status": "error", **shape({"message": "Calls exceed", "code": code})})
    assert type(error) is errors.CyTechBotTransportError
    assert (error.is_rate_limit, error.is_transient, error.was_rejected) == (True, True, True)
    assert call.as_unanswered(error) is error


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("code", TRANSIENT)
def test_a_failure_of_the_moment_is_transient_and_may_have_acted(shape, code):
    answer = {"status": "error", **shape({"message": "An unexpected error.", "code": code})}
    error = error_of(ASSIGN, answer)
    assert type(error) is errors.CyTechBotTransportError
    assert (error.is_rate_limit, error.is_transient, error.may_have_acted) == (False, True, True)
    assert type(CREATE.as_unanswered(error)) is errors.CyTechBotAmbiguousWriteError


@pytest.mark.parametrize("shape", [each for name, each in SHAPES.items() if name != "text alone"])
@pytest.mark.parametrize("flag", [True, "true", 1])
def test_the_flag_makes_any_code_transient(shape, flag):
    answer = {"status": "error", **shape({"message": "x", "code": 9999, "is_transient": flag})}
    assert find_facebook_error(answer, {}) is FacebookError.TRANSIENT


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("code", PAGE_ACCESS)
def test_a_lost_page_connection_is_an_auth_error_that_names_it(shape, code):
    error = error_of(ASSIGN, {"status": "error", **shape({"message": "Some words", "code": code})})
    assert type(error) is errors.CyTechBotAuthError
    assert error.concerns_every_row
    assert "page's connection" in error.reason
    assert "reconnect the page" in error.hint


@pytest.mark.parametrize("subcode", [*range(458, 468), 492])
def test_token_subcodes_count_without_a_code(subcode):
    assert find_facebook_error({"message": {"error_subcode": subcode}}, {}) is FacebookError.PAGE_ACCESS


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("Error validating access token: Session has expired on Friday", FacebookError.PAGE_ACCESS),
        ("Invalid OAuth access token.", FacebookError.PAGE_ACCESS),
        ("Calls to this api have exceeded the rate limit.", FacebookError.RATE_LIMIT),
        ("Application request limit reached", FacebookError.RATE_LIMIT),
        ("Error code: 613", FacebookError.RATE_LIMIT),
        ("(#2) x, then (#613) y", FacebookError.TRANSIENT),
        ("(#100) Invalid parameter", None),
        ("(#803) Some of the aliases you requested do not exist", None),
        ("(#10) This message is sent outside of allowed window.", None),
        ("(#200) This person isn't receiving messages", None),
        ("Label 613 exists", None),
        ("Please try with different email", None),
        ({"code": 10, "error_subcode": 2018278, "message": "(#10) x"}, None),
        ('{"error": {"code": 200, "error_subcode": 2018108, "message": "(#200) x"}}', None),
        ([{"code": 2}, {"code": 190}, {"code": 4}], FacebookError.PAGE_ACCESS),
        ({"code": 4.5}, None),
        ({"code": True}, None),
        ({"code": None, "message": None}, None),
    ],
    ids=str,
)
def test_words_and_persons(message, meaning):
    assert find_facebook_error({"status": "error", "message": message}, {}) is meaning


@pytest.mark.parametrize("code", [1, 2, 4, 10, 200, 404])
def test_the_servers_own_code_is_not_facebooks(code):
    answer = {"status": "error", "message": "The subscriber ID does not exist", "code": code}
    assert type(error_of(ASSIGN, answer)) is errors.CyTechBotNotFoundError


def test_an_error_passed_on_without_a_status_is_a_refusal():
    error = error_of(ASSIGN, {"error": {"message": "(#613) Limit", "code": 613}})
    assert error.is_rate_limit
    error = error_of(ASSIGN, {"error": {"message": "(#100) Bad", "code": 100}})
    assert type(error) is errors.CyTechBotRequestError


@pytest.mark.parametrize("status", ["error", "info"])
@pytest.mark.parametrize("call", [ASSIGN, CREATE, READ], ids=lambda call: call.endpoint.name)
def test_an_error_of_facebook_counts_under_either_status(status, call):
    assert error_of(call, {"status": status, "message": "(#613) Limit"}).is_rate_limit
    assert error_of(call, {"status": status, "message": {"code": 190}}).concerns_every_row


@pytest.mark.parametrize("code", [613, 2])
def test_the_wait_that_the_server_names_is_kept(code):
    body = json.dumps({"status": "error", "message": f"(#{code}) x"}).encode()
    with pytest.raises(errors.CyTechBotTransportError) as caught:
        decipher(ASSIGN, 200, {"Retry-After": "7"}, body)
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    "name",
    ["New (#190) label", "(#613)", "Error code: 4", "Invalid OAuth", "Database is busy", "Retry later"],
)
def test_values_of_the_call_are_not_read_as_a_facebook_error(name):
    call = build(e.CREATE_LABEL, page_id=1, label_name=name)
    for message in (f"Label '{name}' already exists", {"message": f"{name} exists", "code": 100}):
        assert type(error_of(call, {"status": "error", "message": message})) is errors.CyTechBotRequestError
    assert error_of(call, {"status": "error", "message": f"(#4) {name}: request limit reached"}).is_rate_limit


@pytest.mark.parametrize(
    "message",
    [
        "x" * 10**6,
        '{"a":' * 10**5,
        "{[" * 10**5,
        "(#" * 10**5,
        "code " * 10**5,
        [{"a": [1]}] * 10**5,
        {str(number): "(#5" for number in range(10**5)},
        [{str(number): '{"x":"' + "y" * 500 + '"}' for number in range(200)}] * 50,
    ],
    ids=["text", "objects", "brackets", "marks", "words", "list", "members", "nested texts"],
)
def test_a_long_message_is_read_fast(message):
    started = time.process_time()
    assert find_facebook_error({"status": "error", "message": message}, {}) is None
    assert time.process_time() - started < 0.5


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text('{}[]"#()613,: '),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["code", "message", "error", "body"]), inner)
    ),
)


@given(JSON)
def test_any_message_gets_a_verdict(message):
    assert isinstance(error_of(CREATE, {"status": "error", "message": message}), errors.CyTechBotError)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "0", "error": {"message": "limit", "code": 613}},
        {"status": False, "error": {"message": "limit", "code": 613.0}},
        {"status": "failed", "error": {"message": "limit", "code": "(#613)"}},
        {"status": "ERROR", "message": "(#613) Calls to this api have exceeded the rate limit."},
        {"success": False, "message": "(#613) limit"},
        {"error": "(#613) limit"},
        [{"error": {"message": "limit", "code": 613}}],
        {"status": "success", "error": {"message": "limit", "code": 613}},
        {"status": "success", "message": {"message": "limit", "code": 613}},
        {"status": "success", "success": {"error": {"message": "limit", "code": 613}}},
        {"status": "success", "success": False, "message": "(#613) limit"},
        {"status": "error", "message": json.dumps(json.dumps({"error": {"message": "limit", "code": 613}}))},
        {"status": "error", "message": html.escape(json.dumps({"error": {"message": "m", "code": 613}}))},
        {"status": "error", "message": "(&#35;613) limit"},
        {"status": "error", "message": "Array ( [error] => Array ( [message] => m [code] => 613 ) )"},
        {"status": "error", "message": "Error #613: limit"},
        {"status": "error", "message": "Facebook error (613): limit"},
        {"status": "error", "message": "Error code 613 from Facebook"},
        {"status": "error", "message": "[613] limit"},
    ],
)
@pytest.mark.parametrize("call", [ASSIGN, CREATE, READ], ids=lambda call: call.endpoint.name)
def test_a_rate_limit_is_found_in_other_shapes_of_a_refusal(answer, call):
    error = error_of(call, answer)
    assert type(error) is errors.CyTechBotTransportError
    assert error.is_rate_limit


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
@pytest.mark.parametrize(
    ("code", "kind"), [(613, errors.CyTechBotTransportError), (190, errors.CyTechBotAuthError)]
)
def test_facebooks_error_counts_under_facebooks_own_http_status(status, code, kind):
    body = json.dumps({"error": {"message": "m", "type": "OAuthException", "code": code}}).encode()
    with pytest.raises(kind) as caught:
        decipher(ASSIGN, status, {"Content-Type": "application/json"}, body)
    assert type(caught.value) is kind


@pytest.mark.parametrize("answer", [{"success": False}, {"error": {"code": 100, "message": "m"}}])
def test_a_success_with_a_failure_in_it_is_none(answer):
    error = error_of(ASSIGN, {"status": "success", **answer})
    assert type(error) is errors.CyTechBotRequestError
    error = error_of(CREATE, {"status": "success", "label_id": "7", **answer})
    assert type(CREATE.as_unanswered(error)) is errors.CyTechBotAmbiguousWriteError


@pytest.mark.parametrize(
    "message",
    [
        "Status code: 200",
        "HTTP code: 190 from the mail server",
        "Label #4 does not belong to the page",
        "Order 613 is unknown",
        "User 190 has no bot",
    ],
)
def test_other_numbers_are_no_codes_of_facebook(message):
    assert find_facebook_error({"status": "error", "message": message}, {}) is None


#: Codes of gateways, such as gRPC's 4 (deadline exceeded) and 10 (aborted), are Facebook's for other things.
PASSED_ON = [
    {"error": {"code": 4, "message": "context deadline exceeded"}},
    {"error": {"code": 10, "message": "aborted"}},
    {"error": {"code": 17, "message": "m"}},
    {"error": "Request limit reached: too many requests are waiting for the upstream server"},
    [{"error": {"code": 613, "message": "m"}}],
    {"status": "success", "error": {"code": 4, "message": "m"}},
]


@pytest.mark.parametrize("answer", PASSED_ON)
@pytest.mark.parametrize(
    ("call", "statuses"), [(GROUP, (200, 202, 500, 502, 503, 504)), (CREATE, (500, 502, 503, 504))]
)
def test_an_error_of_a_gateway_leaves_a_create_ambiguous(call, statuses, answer):
    for status in statuses:
        with pytest.raises(errors.CyTechBotUnansweredError) as caught:
            decipher(call, status, {}, json.dumps(answer).encode())
        assert type(call.as_unanswered(caught.value)) is errors.CyTechBotAmbiguousWriteError


@pytest.mark.parametrize("status", [200, 400, 403, 429])
def test_facebooks_rate_limit_rejects_a_label(status):
    body = json.dumps({"error": {"code": 4, "message": "m", "type": "OAuthException"}}).encode()
    with pytest.raises(errors.CyTechBotTransportError) as caught:
        decipher(CREATE, status, {}, body)
    assert caught.value.is_rate_limit
    assert not caught.value.may_have_acted


@pytest.mark.parametrize(
    "message",
    [
        {"Message": "m", "Code": 613},
        {"ERROR_CODE": "613"},
        {"errorCode": "6.13e2"},
        [{"code": 429, "body": "{}"}],
        "<error><code>613</code><message>m</message></error>",
        'a:1:{s:5:"error";a:2:{s:7:"message";s:1:"x";s:4:"code";i:613;}}',
        's:4:"code";s:3:"613";',
        "Request failed with status code 429",
        "HTTP status: 429",
        "The server returned HTTP/1.1 429",
    ],
)
def test_a_rate_limit_is_found_in_the_shapes_of_other_libraries(message):
    error = error_of(ASSIGN, {"status": "error", "message": message})
    assert type(error) is errors.CyTechBotTransportError
    assert error.is_rate_limit


@pytest.mark.parametrize(
    "message",
    [
        {"Code": 99, "IsTransient": True},
        [{"code": 503, "body": "{}"}],
        "Request failed with status code 503",
        "HTTP error 502",
    ],
)
def test_a_passing_failure_is_found_in_the_shapes_of_other_libraries(message):
    error = error_of(ASSIGN, {"status": "error", "message": message})
    assert type(error) is errors.CyTechBotTransportError
    assert not error.is_rate_limit
    assert error.may_have_acted


@pytest.mark.parametrize(
    "message",
    [
        "Malformed access token EAAB",
        "The access token could not be decrypted",
        "An active access token must be used to query information about the current user.",
        "An access token is required to request this resource.",
        "API access deactivated. To reactivate, go to the app dashboard.",
        "Missing page access token",
        {"Error_Subcode": 463},
    ],
)
def test_any_words_about_the_token_concern_the_whole_page(message):
    assert type(error_of(ASSIGN, {"status": "error", "message": message})) is errors.CyTechBotAuthError


@pytest.mark.parametrize(
    "message", ["Order 429 is unknown", "Status: 5", "HTTP access is disabled", {"code": True}]
)
def test_other_words_are_no_error_of_facebook(message):
    assert type(error_of(ASSIGN, {"status": "error", "message": message})) is errors.CyTechBotRequestError


@pytest.mark.parametrize(
    "message", [{"code": 4}, {"code": 613, "message": "m"}, "Request failed with status code 429"]
)
def test_a_limit_of_a_further_api_leaves_a_create_ambiguous(message):
    error = error_of(GROUP, {"status": "error", "message": message})
    assert type(GROUP.as_unanswered(error)) is errors.CyTechBotAmbiguousWriteError
    error = error_of(GROUP, {"status": "error", "message": "Too many requests, try again later"})
    assert not error.may_have_acted
