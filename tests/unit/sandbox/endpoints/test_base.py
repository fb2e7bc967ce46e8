from __future__ import annotations

import pytest

from airflow_provider_cytechbot.sandbox.endpoints.base import (
    RefusedError,
    Reply,
    Request,
    change,
    facebook_error,
    success,
)
from airflow_provider_cytechbot.sandbox.large_campaign import LargeCampaign
from airflow_provider_cytechbot.sandbox.quirks import Quirk
from airflow_provider_cytechbot.sandbox.state import State


def request(*quirks, **fields):
    return Request(State({}), frozenset(quirks), fields, path_id="", user_id="1")


@pytest.mark.parametrize(
    ("fields", "text"), [({}, ""), ({"x": ""}, ""), ({"x": "0"}, ""), ({"x": " 0"}, " 0")]
)
def test_zero_counts_as_empty(fields, text):
    assert request(**fields).field("x") == text


def test_updates_hold_the_fields_that_were_sent():
    fields = {"a": "1", "b": "", "c": "0", "d": "x"}
    assert request(**fields).updates("a", "b", "c", "e") == {"a": "1", "b": "", "c": "0"}
    assert request(Quirk.FALSY_FIELDS_DROPPED, **fields).updates("a", "b", "c") == {"a": "1"}


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (success(id=1), "success"),
        (Reply([]), "success"),
        (Reply({"id": "1"}), "success"),
        (RefusedError("no").reply, "error"),
        (RefusedError("no change", "info").reply, "info"),
    ],
)
def test_outcome(reply, outcome):
    assert reply.outcome == outcome


@pytest.mark.parametrize("reply", [Reply({"a": "é/"}), Reply(large_campaign=LargeCampaign(3))])
def test_length_is_that_of_the_pieces(reply):
    pieces, length = reply.body()
    assert sum(map(len, pieces)) == length


def test_facebook_error_is_text_or_object():
    assert facebook_error(request(), "(#100) No").reply.payload["message"] == "(#100) No"
    message = facebook_error(request(Quirk.FACEBOOK_ERROR_OBJECTS), "(#100) No").reply.payload["message"]
    assert (message["message"], message["code"]) == ("(#100) No", 100)


def test_change_returns_false_for_a_repeat():
    record = {"a": "1", "b": "2"}
    assert not change(record, {"a": "1"})
    assert change(record, {"a": "1", "b": "3"})
    assert record == {"a": "1", "b": "3"}
