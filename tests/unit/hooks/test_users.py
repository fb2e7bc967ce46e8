from __future__ import annotations

import pytest
import requests

from airflow_provider_cytechbot.api.errors import CyTechBotError

from ..frames import shown_by_error_trackers

URL = "https://cytechbot.com/api/create_system_user"
PASSWORD = "the-new-users-password"
FAULTS = {
    "refused": {"text": '{"status":"error","message":"Email already exists"}'},
    "bad key": {"text": '{"status":"error","message":"API Key is required"}'},
    "no JSON": {"text": "<title>Login</title>"},
    "500": {"status_code": 500},
    "429": {"status_code": 429},
    "timeout": {"exc": requests.ReadTimeout()},
    "not connected": {"exc": requests.ConnectionError()},
    "interrupted": {"exc": KeyboardInterrupt},
}


def create(hook, **changed):
    user = {"name": "Ann", "email": "ann@example.com", "package_id": 1, "expired_date": "2030-01-01"}
    return hook.create_user(password=PASSWORD, **{**user, **changed})


@pytest.mark.parametrize("fault", FAULTS)
def test_no_frame_shows_the_password_or_the_key(fault, connect, requests_mock, waits):
    requests_mock.post(URL, **FAULTS[fault])
    with pytest.raises((CyTechBotError, KeyboardInterrupt)) as caught:
        create(connect(max_retries=1))
    shown = [
        each for each in shown_by_error_trackers(caught.value) if PASSWORD in each or "1-the-api-key" in each
    ]
    assert shown == []


def test_no_frame_shows_the_password_of_a_call_that_is_not_sent(connect):
    with pytest.raises(CyTechBotError) as caught:
        create(connect(), expired_date="soon")
    assert PASSWORD not in "".join(shown_by_error_trackers(caught.value))


def test_the_password_is_sent(connect, requests_mock):
    requests_mock.post(URL, text='{"status":"success","id":7}')
    assert create(connect()) == "7"
    assert f"password={PASSWORD}" in requests_mock.last_request.text
