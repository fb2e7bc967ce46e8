"""The hook against the sandbox, and as Airflow itself makes and tests it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAuthError,
    CyTechBotFieldError,
    CyTechBotNotFoundError,
    CyTechBotSettingsError,
)
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

PAGE = "104857600000001"
MAYA = "24994546734902201"


class TestEveryEndpoint:
    @pytest.mark.parametrize("quirks", ["none", "all"])
    def test_users(self, quirks, sandbox, hook):
        sandbox.quirks = quirks
        new = hook.create_user(
            name="Ann",
            email="ann@example.com",
            password="s3cr3t-s3cr3t",
            package_id=2,
            expired_date="2030-01-31",
        )
        assert isinstance(new, str)
        assert hook.update_user(new, mobile="+1 555 0100") is None
        user = hook.get_user(user_id=new)
        assert (user["id"], user["name"], user["mobile"]) == (new, "Ann", "+1 555 0100")
        assert hook.get_user(email="ann@example.com")["id"] == new
        assert user["expired_date"].startswith("2030-01-31")
        with pytest.raises(CyTechBotNotFoundError):
            hook.get_user(user_id=999)

    def test_packages_and_subscribers(self, hook):
        assert {package["id"] for package in hook.get_packages()} == {"1", "2", "3"}
        subscriber = hook.get_subscriber(int(MAYA))
        assert subscriber["subscriber_id"] == MAYA
        with pytest.raises(CyTechBotNotFoundError):
            hook.get_subscriber("1")

    @pytest.mark.parametrize("quirks", ["none", "all"])
    def test_labels(self, quirks, sandbox, hook):
        sandbox.quirks = quirks
        new = hook.create_label(label_name="VIP ⭐", page_id=PAGE)
        assert new in {label["label_id"] for label in hook.get_labels(PAGE)}
        assert hook.get_labels("104857600000003") == []
        assert (
            hook.assign_labels(page_id=PAGE, subscriber_id=MAYA, label_ids=[new, "2328660457215897"]) is None
        )

    @pytest.mark.parametrize("quirks", ["none", "all"])
    def test_contacts_and_their_groups(self, quirks, sandbox, hook):
        sandbox.quirks = quirks
        group = hook.create_contact_group(name="Riders & friends")
        assert hook.update_contact_group(group, name="Riders / friends") is None
        assert hook.get_contact_group(group)["type"] == "Riders / friends"
        contact = hook.create_contact(
            contact_type_id=group, email="zoe+1@example.com", phone_number="+15550100", first_name="Zoë"
        )
        assert hook.update_contact(contact, last_name="Ång") is None
        assert hook.get_contact(contact)["last_name"] == "Ång"
        assert hook.delete_contact(contact) is None
        assert hook.delete_contact_group(group) is None
        with pytest.raises(CyTechBotNotFoundError):
            hook.get_contact(contact)

    @pytest.mark.parametrize("quirks", ["none", "all"])
    def test_flow_campaigns(self, quirks, sandbox, hook):
        sandbox.quirks = quirks
        campaigns = hook.get_flow_campaigns()
        assert {"id": "1", "flow_name": "Product feedback"} in campaigns
        assert hook.get_flow_campaign("1")["questions"][0] == "What do you like to do?"
        one = hook.get_subscriber_flow_answers(1, MAYA)
        everybody = hook.get_flow_answers(1)
        assert everybody["data"][MAYA] == one["data"]
        assert one["data"][0]["question_id"] == "45"
        nobody = hook.get_flow_answers(2)
        assert (nobody["id"], nobody["data"]) == ("2", {})

    def test_a_members_key_on_an_admins_endpoint(self, sandbox, connect):
        hook = connect(sandbox.base_url, sandbox.member_api_key)
        assert hook.get_flow_campaigns() is not None
        with pytest.raises(CyTechBotAuthError, match="needs an admin's key"):
            hook.get_packages()
        assert sandbox.journal.received("get_all_packages") == 1

    def test_a_bad_field_is_refused_before_anything_is_sent(self, sandbox, hook):
        for send in (
            lambda: hook.get_contact(1.0),
            lambda: hook.update_contact(1),
            lambda: hook.get_user(),
            lambda: list(hook.iter_flow_answers("one")),
        ):
            with pytest.raises(CyTechBotFieldError, match="cytechbot_default"):
                send()
        assert not sandbox.requests()

    def test_a_ceiling_of_requests(self, sandbox, connect):
        hooks = [connect(sandbox.base_url, sandbox.api_key, requests_per_second=20) for _ in range(2)]
        for _ in range(3):
            for hook in hooks:
                hook.get_flow_campaigns()
        moments = [request.seconds for request in sandbox.requests()]
        assert moments[-1] - moments[0] > 0.15  # without a ceiling: a hundredth


class TestTestConnection:
    """One plain sentence each, after one request."""

    def test_a_right_key(self, sandbox, hook):
        assert hook.test_connection() == (
            True,
            f"{sandbox.base_url} accepts the API key; it has 3 flow campaigns.",
        )

    def test_one_flow_campaign(self, fault_server, answers, connect):
        fault_server.will(answers.ok('[{"id":"1","flow_name":"F"}]'))
        assert connect(fault_server.base_url).test_connection()[1].endswith("it has 1 flow campaign.")

    def test_a_wrong_key(self, sandbox, connect):
        assert connect(sandbox.base_url, "1-wrong-key").test_connection() == (
            False,
            (
                'The API refused: "Either API Key Invalid or Member Validity Expired"; '
                "check the API key in the connection and the member's validity."
            ),
        )
        assert sandbox.journal.received() == 1

    def test_an_unreachable_host(self, connect):
        assert connect("http://127.0.0.1:1").test_connection() == (
            False,
            (
                "No connection to 127.0.0.1:1 could be made; "
                "check the host in the connection, and whether the server can be reached from the worker."
            ),
        )

    def test_an_unknown_name(self, connect):
        assert connect("no-such-host.invalid").test_connection() == (
            False,
            (
                "The name of the host no-such-host.invalid could not be resolved; "
                "check the host in the connection, and the worker's DNS."
            ),
        )

    @pytest.mark.parametrize(
        ("answer", "sentence"),
        [
            (
                ("<html><title>Log in</title></html>",),
                (
                    'The answer is not JSON but a web page titled "Log in"; '
                    "check the host in the connection: it should be the API's base URL."
                ),
            ),
            (
                ("", "Location: https://www.example.com/api/get_flow_campaigns/?api_key=x"),
                (
                    "A web server or proxy answered HTTP 302, a redirect to "
                    "https://www.example.com/api/get_flow_campaigns/, which is never followed; "
                    "put the address that answers without one into the connection's host."
                ),
            ),
        ],
    )
    def test_something_else(self, answer, sentence, fault_server, answers, connect):
        fault_server.will(answers.ok(*answer, status="302 Found" if len(answer) > 1 else "200 OK"))
        assert connect(fault_server.base_url).test_connection() == (False, sentence)
        assert len(fault_server.requests) == 1

    def test_a_server_in_trouble_gets_one_request(self, fault_server, answers, connect):
        fault_server.will(answers.ok("", "Retry-After: 60", status="503 Service Unavailable"))
        start = time.monotonic()
        works, sentence = connect(fault_server.base_url, max_retries=4).test_connection()
        assert (works, len(fault_server.requests)) == (False, 1)
        assert sentence.startswith("A web server or proxy answered HTTP 503; ")
        assert time.monotonic() - start < 2

    def test_a_missing_key(self, connect):
        assert connect("cytechbot.com", "").test_connection() == (
            False,
            (
                "The connection cannot be used: the API key (its password field) is missing; "
                "correct it under Admin > Connections."
            ),
        )

    def test_a_missing_connection(self):
        works, sentence = CyTechBotHook("not_there").test_connection()
        assert not works
        assert "not_there" in sentence
        assert "\n" not in sentence

    def test_a_missing_connection_of_a_call(self):
        with pytest.raises(Exception, match="not_there"):
            CyTechBotHook("not_there").get_packages()

    def test_as_the_form_does(self, sandbox, monkeypatch):
        from airflow.models import Connection

        connection = Connection(
            conn_id="form", conn_type="cytechbot", host=sandbox.base_url, password=sandbox.api_key, port=0
        )
        monkeypatch.setenv("AIRFLOW_CONN_FORM", connection.get_uri())
        works, sentence = connection.test_connection()
        assert works, sentence
        connection.password = "1-wrong-key"
        monkeypatch.setenv("AIRFLOW_CONN_FORM", connection.get_uri())
        assert connection.test_connection()[0] is False

    def test_as_the_command_line_does(self, sandbox, tmp_path):
        environ = {
            **os.environ,
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_GOOD": sandbox.connection_json(),
            "AIRFLOW_CONN_BAD": sandbox.connection_json().replace(sandbox.api_key, "1-wrong-key"),
        }

        def test(conn_id):
            command = [sys.executable, "-m", "airflow", "connections", "test", conn_id]
            done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100)
            return done.stdout + done.stderr

        assert "Connection success!" in test("good")
        reason = test("bad")
        assert "The API refused" in reason
        assert "1-wrong-key" not in reason


def test_a_failure_is_airflows_own_where_no_retry_helps(hook, connect):
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException) as caught:
        hook.get_contact(999)
    assert isinstance(caught.value, CyTechBotNotFoundError)
    with pytest.raises(AirflowFailException) as caught:
        connect("cytechbot.com", "").get_packages()
    assert isinstance(caught.value, CyTechBotSettingsError)
