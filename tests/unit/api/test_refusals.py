from __future__ import annotations

import time

import pytest

from airflow_provider_cytechbot.api import endpoints as e
from airflow_provider_cytechbot.api import errors
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.refusals import names_unknown_id, refusal, temporary_failure

SUBSCRIBER = build(e.GET_SUBSCRIBER, subscriber_id="24994546734902201")
USER = build(e.GET_USER, email="ann@example.org")
CONTACT = build(e.GET_CONTACT, contact_id=5)
GROUP = build(e.DELETE_CONTACT_GROUP, contact_type_id=5)
CAMPAIGN = build(e.GET_FLOW_ANSWERS, flow_campaign_id=5)
ANSWERS = build(e.GET_SUBSCRIBER_FLOW_ANSWERS, flow_campaign_id=5, subscriber_id="web_7")
ASSIGN = build(e.ASSIGN_LABELS, page_id=1, subscriber_id=2, label_ids=[3])
CREATE_LABEL = build(e.CREATE_LABEL, page_id=1, label_name="n")
CREATE_GROUP = build(e.CREATE_CONTACT_GROUP, name="Database is busy")
CREATE_USER = build(
    e.CREATE_USER, name="n", email="e@x.org", password="p", package_id=7, expired_date="2030-01-01"
)


def error_of(call, message, *, is_resend=False, retry_after=None):
    return refusal(
        call, {"status": "error", "message": message}, is_resend=is_resend, retry_after=retry_after
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (SUBSCRIBER, "No Matching Subscriber Found"),
        (SUBSCRIBER, " no matching subscriber found. "),
        (SUBSCRIBER, "Subscriber 24994546734902201 not found"),
        (SUBSCRIBER, "Subscriber (24994546734902201) was not found!"),
        (SUBSCRIBER, "There is no such subscriber"),
        (SUBSCRIBER, "Unknown subscriber: 24994546734902201"),
        (SUBSCRIBER, "The subscriber could not be found"),
        (SUBSCRIBER, "subscriber_id does not exist"),
        (SUBSCRIBER, {"message": "(#100) No matching subscriber found", "code": 100}),
        (USER, "No Matching User Found"),
        (USER, "User not found with the email: ann@example.org"),
        (USER, "The user with email 'ANN@example.org' doesn't exist."),
        (build(e.UPDATE_USER, user_id=12, name="n"), "User not found with the ID: 12"),
        (CONTACT, "The contact ID does not exist"),
        (CONTACT, "The contact ID (5) does not exists"),
        (CONTACT, "This contact no longer exists"),
        (CONTACT, "Contact #5 can\u2019t be found"),
        (CONTACT, "No contact was found with id 5"),
        (GROUP, "The contact type ID does not exist"),
        (GROUP, "Contact group not found"),
        (GROUP, "The contact_type_id 5 does not exist"),
        (CAMPAIGN, "The flow campaign ID does not exist"),
        (CAMPAIGN, "No such campaign"),
        (ANSWERS, "Subscriber web_7 is not found"),
        (ANSWERS, "Flow campaign not found"),
        (ASSIGN, "No matching labels found"),
        (ASSIGN, "Page not found"),
        (CREATE_USER, "Package ID not found"),
    ],
)
def test_an_unknown_id_is_not_found(call, message):
    error = error_of(call, message)
    assert type(error) is errors.CyTechBotNotFoundError
    assert error.hint.startswith("Nothing was found for ")


@pytest.mark.parametrize(
    "call", [SUBSCRIBER, CONTACT, GROUP, CAMPAIGN, ANSWERS], ids=lambda call: call.request
)
@pytest.mark.parametrize(
    "message",
    [
        "Table 'chat.subscribers' does not exist",
        "Base table or view not found: 1146 Table 'chat.contact' doesn't exist",
        "Unknown database 'chat'",
        "Page not found",
        "404 Not Found",
        "The requested URL was not found on this server",
        "API endpoint not found",
        "Class 'Subscriber' not found",
        "The method does not exist",
        "Session not found",
        "Configuration file not found",
        "No matching route found",
        "User not found",
        "Bot does not exist",
        "No Enabled Bot Found",
        "Subscriber service not found",
        "Subscriber table not found",
        "Contact's page not found",
        "The page of this subscriber does not exist",
        "Subscriber not found in the cache, and the database refused",
        "Subscriber not found: could not open socket",
        "No matching subscriber found because the page is disconnected",
        "Campaign index does not exist",
        "not found",
        "does not exist",
        "",
    ],
)
def test_other_missing_things_are_not_unknown_ids(call, message):
    assert type(error_of(call, message)) is errors.CyTechBotRequestError


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (CONTACT, "No matching subscriber found"),
        (SUBSCRIBER, "The contact ID does not exist"),
        (CREATE_LABEL, "No Matching Label Found"),
        (CREATE_GROUP, "The contact does not exist"),
        (CREATE_USER, "User not found"),
        (CONTACT, "contact ID is missing"),
        (CONTACT, "The contact ID is required"),
    ],
)
def test_an_id_that_the_call_does_not_have_is_not_the_unknown_one(call, message):
    assert type(error_of(call, message)) is errors.CyTechBotRequestError


@pytest.mark.parametrize(
    "message",
    [
        "API Key is required",
        "Either API Key Invalid or Member Validity Expired",
        "api key INVALID",
        "API key not found",
        "The API key does not exist",
        "Invalid API key",
        "Your api_key has expired",
        "Unknown API-key",
    ],
)
def test_a_refused_key_is_an_auth_error(message):
    error = error_of(CONTACT, message)
    assert type(error) is errors.CyTechBotAuthError
    assert "admin" not in error.hint
    assert "admin" in error_of(USER, message).hint


@pytest.mark.parametrize(
    "message", ["Too many connections", "Too many database connections", "max_user_connections"]
)
def test_without_a_connection_to_the_database_nothing_was_done(message):
    error = error_of(CREATE_LABEL, message)
    assert type(error) is errors.CyTechBotTransportError
    assert error.is_transient
    assert not error.may_have_acted


@pytest.mark.parametrize(
    "message", ["Database is locked", "Deadlock found", "Please try again later", "(#2) x"]
)
def test_any_other_failure_that_passes_may_follow_a_write_that_was_carried_out(message):
    error = error_of(CREATE_LABEL, message, retry_after=3.0)
    assert type(error) is errors.CyTechBotTransportError
    assert error.may_have_acted
    assert error.retry_after == 3


@pytest.mark.parametrize(
    "message",
    [
        "Maximum execution time of 30 seconds exceeded",
        "Allowed memory size of 134217728 bytes exhausted (tried to allocate 20480 bytes)",
        "Something went wrong",
        "Internal Server Error",
        "A Database Error Occurred",
        "SQLSTATE[HY000]: General error: 2006",
        "Uncaught TypeError exception",
        "An uncaught Exception was encountered",
        "Errors have occurred.",
        {"message": "Unknown error"},
    ],
    ids=str,
)
@pytest.mark.parametrize("call", [CREATE_GROUP, CREATE_LABEL, CREATE_USER], ids=["group", "label", "user"])
def test_an_application_that_failed_may_have_created_before(call, message):
    error = error_of(call, message)
    assert type(call.as_unanswered(error)) is errors.CyTechBotAmbiguousWriteError
    assert type(error_of(CONTACT, message)) is errors.CyTechBotRequestError


def test_values_of_the_call_are_not_read_as_a_failure():
    call = build(e.CREATE_CONTACT_GROUP, name="Something went wrong")
    message = "A group 'Something went wrong' exists"
    assert type(error_of(call, message)) is errors.CyTechBotRequestError


def test_values_of_the_call_are_not_read_as_a_temporary_failure():
    message = "A group 'Database is busy' exists"
    assert type(error_of(CREATE_GROUP, message)) is errors.CyTechBotRequestError
    assert temporary_failure(CREATE_GROUP, {"status": "info", "message": message}, retry_after=None) is None


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (ASSIGN, "Check the fields of the call (page_id '1', subscriber_id '2', label_ids '3')."),
        (CREATE_LABEL, "Check the fields of the call (page_id '1')."),
        (CONTACT, "Check the fields of the call (contact_id '5')."),
        (build(e.UPDATE_USER, user_id=12, name="n"), "Check the fields of the call (user_id '12')."),
        (CREATE_GROUP, "Check the fields of the call."),
        (CREATE_USER, "Check the fields of the call (package_id '7')."),
    ],
    ids=lambda value: value.endpoint.name if hasattr(value, "endpoint") else "",
)
def test_another_refusal_names_the_ids_of_the_call(call, hint):
    assert error_of(call, "No Enabled Bot Found").hint == hint


def test_a_refusal_of_a_call_that_was_sent_before_names_the_earlier_attempt():
    assert "earlier attempt" in error_of(CONTACT, "Please try another", is_resend=True).hint
    assert "earlier attempt" not in error_of(CONTACT, "Please try another").hint


@pytest.mark.parametrize(
    "word",
    ["x", "the ", "no such ", "contact ", "contact not ", "api key ", "database ", "try again ", "5 ", "(#"],
)
def test_a_long_message_is_read_fast(word):
    message = word * (10**6 // len(word))
    started = time.process_time()
    error_of(CONTACT, message)
    assert not names_unknown_id(message[:16384], CONTACT.endpoint, CONTACT.fields)
    assert time.process_time() - started < 0.5


def test_each_id_of_each_endpoint_can_be_unknown():
    for endpoint in e.ENDPOINTS:
        for field in endpoint.fields:
            name, _, ending = field.name.rpartition("_")
            if ending in ("id", "ids"):
                assert names_unknown_id(f"The {name.replace('_', ' ')} ID does not exist", endpoint, {})


def test_the_reason_quotes_the_message():
    error = error_of(CONTACT, {"code": 100})
    assert error.reason == 'the API refused: "{"code": 100}".'
