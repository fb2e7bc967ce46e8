from __future__ import annotations

import pickle

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotAuthError, CyTechBotTransportError
from airflow_provider_cytechbot.hooks.base import as_task_error
from airflow_provider_cytechbot.triggers.events import (
    EVENT_VERSION,
    CyTechBotTriggerEventError,
    error_of,
    failed,
    reached,
    timed_out,
    validate,
)


@pytest.mark.parametrize("event", [reached(), reached({"answered": 1}), timed_out()])
def test_a_written_event_is_valid(event):
    assert validate(event) == event


def test_an_error_keeps_its_class_and_text():
    error = CyTechBotTransportError("it broke.", "Mend it.", "GET x/")
    expected = error_of(validate(failed(error, 6)))
    assert type(expected) is CyTechBotTransportError
    assert expected.reason == "6 polls in a row failed, the last because: it broke."
    assert (expected.hint, expected.request) == ("Mend it.", "GET x/")


def test_a_task_error_is_written_by_its_public_name():
    event = failed(as_task_error(CyTechBotAuthError("no.")), 1)
    assert event["error"] == "CyTechBotAuthError"
    assert type(error_of(event)) is CyTechBotAuthError


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (None, "None"),
        (True, "bool"),
        ("success", "str"),
        ({}, "version None"),
        ({"status": "success", "result": 1}, "version None"),
        (reached() | {"version": EVENT_VERSION + 1}, f"version {EVENT_VERSION + 1}"),
        (reached() | {"version": str(EVENT_VERSION)}, f"version '{EVENT_VERSION}'"),
        (reached() | {"status": "done"}, "'done'"),
        ({"version": EVENT_VERSION}, "status is None"),
        ({"version": EVENT_VERSION, "status": []}, "status is []"),
        ({"version": EVENT_VERSION, "status": "success"}, "result"),
        ({"version": EVENT_VERSION, "status": "error"}, "failed_polls"),
        (failed(CyTechBotAuthError("no."), 1) | {"error": "SystemExit"}, "SystemExit"),
    ],
)
def test_an_invalid_event_is_rejected(event, problem):
    with pytest.raises(CyTechBotTriggerEventError) as caught:
        validate(event)
    assert problem in str(caught.value)
    pickle.loads(pickle.dumps(caught.value))
