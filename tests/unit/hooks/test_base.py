from __future__ import annotations

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.hooks.base import CyTechBotBaseHook
from airflow_provider_cytechbot.hooks.secrets import hide


def hook():
    base = CyTechBotBaseHook()
    base.cytechbot_conn_id = "mine"
    return base


def test_hidden_fields_are_sent_as_they_are():
    call = hook().build_call(endpoints.CREATE_CONTACT_GROUP, {"name": hide("Riders")})
    assert call.fields == {"name": "Riders"}


def test_a_task_error_names_the_connection_and_keeps_no_frames():
    try:
        raise CyTechBotTransportError("it was cut off.", request="GET get_contact/")
    except CyTechBotTransportError as error:
        failure = hook().task_error(error)
    assert failure.connection == "mine"
    assert failure.__traceback__ is None
    assert "mine" in failure.args
