from __future__ import annotations

import warnings
from copy import copy

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotAuthError,
    CyTechBotError,
    CyTechBotResponseError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.transport.rate_limiter import RateLimiter
from airflow_provider_cytechbot.transport.retry import (
    FIRST_WAIT,
    MAX_RETRY_AFTER,
    MAX_WAIT,
    send_with_retries,
)

READ = build(endpoints.GET_CONTACT, contact_id=1)
UPDATE = build(endpoints.UPDATE_CONTACT, contact_id=1, first_name="Ann")
DELETE = build(endpoints.DELETE_CONTACT, contact_id=1)
ASSIGN = build(endpoints.ASSIGN_LABELS, page_id=1, subscriber_id=2, label_ids=[3])
CREATE = build(endpoints.CREATE_CONTACT_GROUP, name="Riders")

LOST = CyTechBotTransportError("it was cut off.")
NOT_SENT = CyTechBotTransportError("no connection.", was_sent=False)
RATE_LIMITED = CyTechBotTransportError("HTTP 429.", was_rejected=True, is_rate_limit=True)
NOT_THE_API = CyTechBotResponseError("a web page.")


class Server:
    """Answers each attempt with the next of the given results."""

    def __init__(self, *ends):
        self.ends = list(ends)
        self.lost_before = []

    def __call__(self, call, answer_was_lost):
        self.lost_before.append(answer_was_lost)
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    @property
    def attempts(self):
        return len(self.lost_before)


@pytest.mark.parametrize("call", [READ, UPDATE, DELETE, ASSIGN], ids=lambda call: call.endpoint.name)
@pytest.mark.parametrize("error", [LOST, NOT_SENT, RATE_LIMITED, NOT_THE_API])
def test_a_call_that_may_be_repeated_is(call, error, waits):
    server = Server(error, error, "answer")
    assert send_with_retries(server, call, 2) == "answer"
    assert len(waits) == 2


@pytest.mark.parametrize("max_retries", [0, 1, 4])
def test_a_call_is_repeated_max_retries_times(max_retries, waits):
    server = Server(*[LOST] * 9)
    with pytest.raises(CyTechBotTransportError) as caught:
        send_with_retries(server, READ, max_retries)
    assert server.attempts == max_retries + 1
    assert str(caught.value) == "GET get_contact/: it was cut off."
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("error", [LOST, NOT_THE_API])
def test_a_create_that_was_sent_is_not_repeated(error, waits):
    server = Server(error, "answer")
    with pytest.raises(CyTechBotAmbiguousWriteError) as caught:
        send_with_retries(server, CREATE, 4)
    assert server.attempts == 1
    assert caught.value.__context__ is None
    assert str(caught.value) == (
        f"POST create_contact_group: {error.reason} It was sent, so it may have happened, and is not sent "
        "again. The API cannot list contact groups: look for the name in the CyTechBot dashboard."
    )


@pytest.mark.parametrize("call", [CREATE, READ], ids=lambda call: call.endpoint.name)
def test_a_call_that_met_a_rate_limit_is_repeated(call, waits):
    server = Server(RATE_LIMITED, NOT_SENT, RATE_LIMITED, "answer")
    assert send_with_retries(server, call, 4) == "answer"
    assert server.lost_before == [False] * 4


def test_a_create_that_meets_a_rate_limit_each_time_cannot_have_happened(waits):
    server = Server(*[RATE_LIMITED] * 3)
    with pytest.raises(CyTechBotTransportError) as caught:
        send_with_retries(server, CREATE, 2)
    assert server.attempts == 3
    assert not caught.value.may_have_acted


def test_a_create_that_was_rejected_for_good_is_not_repeated(waits):
    error = CyTechBotResponseError("HTTP 404.", was_rejected=True, is_transient=False)
    server = Server(error, "answer")
    with pytest.raises(CyTechBotResponseError):
        send_with_retries(server, CREATE, 4)
    assert server.attempts == 1


def test_a_create_that_was_not_sent_is_repeated(waits):
    server = Server(NOT_SENT, NOT_SENT, "answer")
    assert send_with_retries(server, CREATE, 4) == "answer"


def test_a_create_whose_last_attempt_is_lost_is_ambiguous(waits):
    server = Server(NOT_SENT, LOST, "answer")
    with pytest.raises(CyTechBotAmbiguousWriteError):
        send_with_retries(server, CREATE, 4)
    assert server.attempts == 2


@pytest.mark.parametrize("call", [READ, CREATE])
def test_a_permanent_error_is_not_repeated(call, waits):
    for error in (
        CyTechBotAuthError("wrong key."),
        CyTechBotTransportError("bad certificate.", was_sent=False, is_transient=False),
        ZeroDivisionError(),
    ):
        server = Server(error, "answer")
        with pytest.raises(type(error)):
            send_with_retries(server, call, 4)
        assert server.attempts == 1
    assert not waits


@pytest.mark.parametrize(
    ("ends", "lost_before"),
    [
        ([LOST, "answer"], [False, True]),
        ([NOT_SENT, RATE_LIMITED, "answer"], [False, False, False]),
        ([NOT_SENT, LOST, NOT_SENT, "answer"], [False, False, True, True]),
    ],
)
def test_an_attempt_is_marked_as_a_resend_after_a_lost_answer(ends, lost_before, waits):
    server = Server(*ends)
    send_with_retries(server, DELETE, 4)
    assert server.lost_before == lost_before


def test_waits_double_up_to_a_ceiling_with_jitter(waits):
    with pytest.raises(CyTechBotTransportError):
        send_with_retries(Server(*[LOST] * 10), READ, 9)
    for number, wait in enumerate(waits):
        bare = min(FIRST_WAIT * 2**number, MAX_WAIT)
        assert bare <= wait <= bare + FIRST_WAIT
    assert len({wait % FIRST_WAIT for wait in waits}) > 5


@pytest.mark.parametrize(("retry_after", "wait"), [(0.0, 0), (7.0, 7), (1.5, 1.5), (3600.0, MAX_RETRY_AFTER)])
def test_a_retry_waits_as_long_as_retry_after(retry_after, wait, monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    send_with_retries(
        Server(CyTechBotTransportError("HTTP 503.", retry_after=retry_after), "answer"), READ, 1
    )
    assert waits == [wait]


def test_each_retry_is_logged(waits, caplog):
    send_with_retries(Server(LOST, LOST, "answer"), READ, 4)
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("GET get_contact/: it was cut off. Retrying in ")
    assert first.endswith(" s (attempt 1 failed).")
    assert second.endswith("(attempt 2 failed).")


def test_no_deprecated_part_of_tenacity_is_used(waits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        send_with_retries(Server(LOST, "answer"), READ, 4)


def test_the_last_error_records_that_an_earlier_attempt_may_have_acted():
    errors = [LOST, NOT_SENT]

    def send(call, answer_was_lost):
        raise errors.pop(0)

    with pytest.raises(CyTechBotTransportError, match="no connection") as raised:
        send_with_retries(send, DELETE, 1)
    assert raised.value.may_have_acted
    assert not NOT_SENT.may_have_acted


@pytest.mark.parametrize(
    ("error", "paused"),
    [
        (RATE_LIMITED, FIRST_WAIT),
        (CyTechBotTransportError("HTTP 503.", retry_after=7.0, is_rate_limit=True), 7),
        (
            CyTechBotTransportError("HTTP 429.", was_rejected=True, is_rate_limit=True, retry_after=3600.0),
            MAX_RETRY_AFTER,
        ),
        (LOST, 0),
        (NOT_SENT, 0),
    ],
)
@pytest.mark.parametrize("call", [READ, CREATE], ids=["read", "create"])
def test_a_rate_limit_pauses_all_calls_of_the_process(call, error, paused, waits):
    limiter = RateLimiter(None)
    with pytest.raises(CyTechBotError):
        send_with_retries(Server(copy(error)), call, 0, limiter)
    assert limiter.reserve() == pytest.approx(paused, abs=0.1)
