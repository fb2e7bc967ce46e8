from __future__ import annotations

import inspect
import json
import logging

import pytest
from requests_mock import ANY

from airflow_provider_cytechbot import connection_form
from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.endpoints import ENDPOINTS, Repeat
from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotResponseError,
)
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.hooks.secrets import reveal

#: Each method with its endpoint and what it takes, written apart from the code.
METHODS = {
    "get_user": (endpoints.GET_USER, "*, user_id=None, email=None"),
    "create_user": (
        endpoints.CREATE_USER,
        "*, name, email, password, package_id, expired_date, mobile=None, address=None",
    ),
    "update_user": (
        endpoints.UPDATE_USER,
        "user_id, *, name=None, mobile=None, address=None, package_id=None, expired_date=None, status=None",
    ),
    "get_packages": (endpoints.GET_PACKAGES, ""),
    "get_subscriber": (endpoints.GET_SUBSCRIBER, "subscriber_id"),
    "get_labels": (endpoints.GET_LABELS, "page_id"),
    "create_label": (endpoints.CREATE_LABEL, "*, label_name, page_id"),
    "assign_labels": (endpoints.ASSIGN_LABELS, "*, page_id, subscriber_id, label_ids"),
    "get_contact_group": (endpoints.GET_CONTACT_GROUP, "contact_type_id"),
    "create_contact_group": (endpoints.CREATE_CONTACT_GROUP, "*, name"),
    "update_contact_group": (endpoints.UPDATE_CONTACT_GROUP, "contact_type_id, *, name"),
    "delete_contact_group": (endpoints.DELETE_CONTACT_GROUP, "contact_type_id"),
    "get_contact": (endpoints.GET_CONTACT, "contact_id"),
    "create_contact": (
        endpoints.CREATE_CONTACT,
        "*, contact_type_id, email=None, phone_number=None, first_name=None, last_name=None",
    ),
    "update_contact": (
        endpoints.UPDATE_CONTACT,
        "contact_id, *, email=None, phone_number=None, first_name=None, last_name=None",
    ),
    "delete_contact": (endpoints.DELETE_CONTACT, "contact_id"),
    "get_flow_campaigns": (endpoints.GET_FLOW_CAMPAIGNS, ""),
    "get_flow_campaign": (endpoints.GET_FLOW_CAMPAIGN, "flow_campaign_id"),
    "get_subscriber_flow_answers": (endpoints.GET_SUBSCRIBER_FLOW_ANSWERS, "flow_campaign_id, subscriber_id"),
    "get_flow_answers": (endpoints.GET_FLOW_ANSWERS, "flow_campaign_id"),
}


def plain_signature(method):
    parameters = list(inspect.signature(method).parameters.values())[1:]
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
    return str(inspect.Signature(bare))[1:-1]


class TestMethods:
    def test_each_endpoint_has_a_method(self):
        assert {endpoint.name for endpoint, _ in METHODS.values()} == {each.name for each in ENDPOINTS}

    @pytest.mark.parametrize("name", METHODS)
    def test_signature(self, name):
        assert plain_signature(getattr(CyTechBotHook, name)) == METHODS[name][1]

    @pytest.mark.parametrize("name", METHODS)
    def test_every_parameter_reaches_its_endpoint_under_its_own_name(self, name, monkeypatch):
        endpoint = METHODS[name][0]
        method = getattr(CyTechBotHook, name)
        given = {each: f"the {each}" for each in list(inspect.signature(method).parameters)[1:]}
        assert set(given) == {field.name for field in endpoint.fields}
        seen = []
        monkeypatch.setattr(
            CyTechBotHook, "call", lambda self, endpoint, **fields: seen.append((endpoint, fields))
        )
        method(CyTechBotHook(), **given)
        ((called, fields),) = seen
        assert called is endpoint
        assert {name: reveal(value) for name, value in fields.items()} == given

    @pytest.mark.parametrize("name", METHODS)
    def test_the_docstring_names_endpoint_and_parameters(self, name):
        endpoint = METHODS[name][0]
        text = getattr(CyTechBotHook, name).__doc__
        assert f"``{endpoint.verb} {endpoint.path}``" in text
        for field in endpoint.fields:
            assert f":param {field.name}:" in text
        if endpoint.repeat is Repeat.UNSAFE:
            assert ":raises CyTechBotAmbiguousWriteError:" in text


class TestInAirflow:
    def test_airflows_class_attributes_are_set(self):
        assert CyTechBotHook.conn_name_attr == "cytechbot_conn_id"
        assert CyTechBotHook.default_conn_name == CyTechBotHook().cytechbot_conn_id == "cytechbot_default"
        assert CyTechBotHook.conn_type == "cytechbot"
        assert CyTechBotHook.hook_name == "CyTechBot"

    def test_the_form_equals_the_metadata(self):
        assert CyTechBotHook.get_ui_field_behaviour() == connection_form.ui_field_behaviour()
        assert set(CyTechBotHook.get_connection_form_widgets()) == set(connection_form.CONN_FIELDS)

    def test_the_constructor_reads_no_connection(self, monkeypatch):
        monkeypatch.setattr(CyTechBotHook, "get_connection", lambda *_: pytest.fail("request"))
        CyTechBotHook("anything")

    def test_the_connection_is_read_once(self, connect, monkeypatch):
        hook = connect()
        read = []
        original = CyTechBotHook.get_connection
        monkeypatch.setattr(
            CyTechBotHook, "get_connection", lambda self, conn_id: read.append(conn_id) or original(conn_id)
        )
        for _ in range(3):
            assert hook.settings
            assert hook.get_conn()
        assert read == ["cytechbot_default"]


class TestAnswers:
    def test_a_create_returns_its_id_as_text(self, connect, requests_mock):
        requests_mock.post(
            "https://cytechbot.com/api/create_contact", text='{"status":"success","new_contact_id":7}'
        )
        assert connect().create_contact(contact_type_id=1, email="ann@example.com") == "7"

    def test_records_are_json(self, connect, requests_mock):
        requests_mock.get(
            "https://cytechbot.com/api/get_contact_group/",
            text='{"id":5,"type":"Riders","created_at":"2026-01-10 13:40:46","deleted":"0"}',
        )
        group = connect(server_timezone="Asia/Dhaka").get_contact_group(5)
        assert json.loads(json.dumps(group)) == group
        assert group["id"] == "5"
        assert group["created_at"] == "2026-01-10T13:40:46+06:00"

    def test_the_repr_of_an_error_is_masked(self, connect, requests_mock):
        requests_mock.get(
            "https://cytechbot.com/api/get_flow_campaigns/",
            text="<title>no 1-the-api-key</title>",
            status_code=404,
        )
        with pytest.raises(CyTechBotResponseError) as caught:
            connect().get_flow_campaigns()
        assert "1-the-api-key" not in repr(caught.value)
        assert caught.value.args == (
            caught.value.reason,
            caught.value.hint,
            "GET get_flow_campaigns/",
            "cytechbot_default",
        )

    def test_an_error_keeps_no_frames_of_its_cause(self, connect, requests_mock):
        requests_mock.get("https://cytechbot.com/api/get_flow_campaigns/", text="", status_code=404)
        with pytest.raises(CyTechBotError) as caught:
            connect().get_flow_campaigns()
        assert [entry.name for entry in caught.traceback][-1] == "_run"


WRITES = [endpoint for endpoint in ENDPOINTS if endpoint.verb == "POST"]
VALUES = {"expired_date": "2030-01-01", "label_ids": "5,6", "password": "pass-word"}


@pytest.fixture
def log_lines(monkeypatch):
    """The lines that hooks log, on each version of Airflow."""
    lines = []
    logger = logging.Logger("hook")
    logger.addHandler(logging.Handler())
    logger.handlers[0].emit = lambda record: lines.append(record.getMessage())
    monkeypatch.setattr(CyTechBotHook, "log", logger, raising=False)
    return lines


class TestLogOfWrites:
    def write(self, connect, requests_mock, endpoint, **answer):
        requests_mock.register_uri("POST", ANY, json=answer)
        fields = {each.name: VALUES.get(each.name, "7") for each in endpoint.fields}
        connect("mine").call(endpoint, **fields)

    @pytest.mark.parametrize("endpoint", WRITES, ids=lambda each: each.name)
    def test_a_write_logs_one_line_with_id_and_connection(self, endpoint, connect, requests_mock, log_lines):
        new_id = {endpoint.answer.member: 31} if endpoint.answer else {}
        self.write(connect, requests_mock, endpoint, status="success", **new_id)
        (line,) = log_lines
        assert " over connection 'mine': " in line
        assert line.endswith("id 31.") if new_id else "changed" in line
        assert "7" in line
        assert "pass-word" not in line

    @pytest.mark.parametrize(
        "endpoint", [each for each in WRITES if not each.answer], ids=lambda each: each.name
    )
    def test_a_write_that_changed_nothing_is_logged_as_unchanged(
        self, endpoint, connect, requests_mock, log_lines
    ):
        self.write(connect, requests_mock, endpoint, status="info", message="Nothing to do")
        (line,) = log_lines
        assert line.endswith(" over connection 'mine': unchanged (Nothing to do).")

    def test_an_update_names_the_fields_and_not_their_values(self, connect, requests_mock, log_lines):
        requests_mock.post(ANY, json={"status": "success"})
        connect("mine").update_contact(4, first_name="Nora", phone_number="+49")
        assert log_lines == ["Updated contact 4 over connection 'mine': changed (phone_number, first_name)."]

    def test_a_read_logs_nothing(self, connect, requests_mock, log_lines):
        requests_mock.get(ANY, json=[])
        connect("mine").get_flow_campaigns()
        assert log_lines == []

    def test_a_refused_write_logs_nothing(self, connect, requests_mock, log_lines):
        requests_mock.post(ANY, json={"status": "error", "message": "no"})
        with pytest.raises(CyTechBotRequestError):
            connect("mine").delete_contact(4)
        assert log_lines == []


@pytest.mark.parametrize(
    ("method", "fields", "message", "looked_up"),
    [
        ("get_subscriber", {"subscriber_id": "111"}, " No Matching Subscriber Found", "subscriber_id '111'"),
        ("get_user", {"email": "a@b.org"}, "No Matching User Found", "email 'a@b.org'"),
        ("get_user", {"user_id": 3}, "No Matching User Found", "user_id '3'"),
        (
            "create_contact",
            {"contact_type_id": 12, "email": "a@b.org"},
            "The contact ID does not exist",
            "contact_type_id '12'",
        ),
        ("update_contact", {"contact_id": 4, "email": "x"}, "contact does not exist", "contact_id '4'"),
        ("delete_contact_group", {"contact_type_id": 9}, "The group does not exist", "contact_type_id '9'"),
        ("get_flow_campaign", {"flow_campaign_id": 5}, "Campaign not found", "flow_campaign_id '5'"),
        (
            "assign_labels",
            {"page_id": 1, "subscriber_id": "2", "label_ids": [3, 4]},
            "No matching label",
            "page_id '1', subscriber_id '2' or label_ids '3,4'",
        ),
        ("create_label", {"label_name": "VIP", "page_id": 1}, "The page was not found", "page_id '1'"),
        (
            "get_subscriber",
            {"subscriber_id": "x" * 99},
            "Subscriber not found",
            f"subscriber_id '{'x' * 60}…'",
        ),
    ],
)
def test_a_not_found_error_names_the_ids_that_were_looked_up(
    method, fields, message, looked_up, connect, requests_mock
):
    requests_mock.register_uri(ANY, ANY, json={"status": "error", "message": message})
    with pytest.raises(CyTechBotNotFoundError) as caught:
        getattr(connect("mine"), method)(**fields)
    assert f"Nothing was found for {looked_up}: check " in str(caught.value)


def test_a_not_found_error_masks_the_key_as_an_id(connect, requests_mock):
    requests_mock.get(ANY, json={"status": "error", "message": "Subscriber not found"})
    with pytest.raises(CyTechBotNotFoundError) as caught:
        connect("mine").get_subscriber("1-the-api-key")
    assert "1-the-api-key" not in str(caught.value)
