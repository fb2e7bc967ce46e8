from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError, CyTechBotNotFoundError

API = "https://cytechbot.com/api"


def test_an_update_sends_only_the_fields_that_are_given(connect, requests_mock):
    requests_mock.post(f"{API}/update_contact/4", text='{"status":"success"}')
    assert connect().update_contact(4, first_name="Nora") is None
    assert requests_mock.last_request.text == "api_key=1-the-api-key&first_name=Nora"


def test_a_contact_needs_an_address_or_a_phone_number(connect):
    with pytest.raises(CyTechBotFieldError):
        connect().create_contact(contact_type_id=1, first_name="Nora")


def test_an_unknown_contact_is_not_found(connect, requests_mock):
    requests_mock.post(f"{API}/delete_contact", text='{"status":"error","message":"Contact does not exist"}')
    with pytest.raises(CyTechBotNotFoundError):
        connect().delete_contact(9)


def test_a_contact_group_is_created(connect, requests_mock):
    requests_mock.post(f"{API}/create_contact_group", text='{"status":"success","contact_type_id":7}')
    assert connect().create_contact_group(name="Riders") == "7"
