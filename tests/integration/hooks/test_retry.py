"""How often each kind of call reaches a server, for each kind of fault: counted by the server."""

from __future__ import annotations

import gzip
import logging
import socket
import time

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotResponseError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.transport import retry

REPEATABLE = {
    "read": lambda hook: hook.get_flow_campaigns(),
    "read with fields": lambda hook: hook.get_contact(7),
    "update user": lambda hook: hook.update_user(1, name="Ann"),
    "update group": lambda hook: hook.update_contact_group(1, name="Riders"),
    "update contact": lambda hook: hook.update_contact(1, first_name="Ann"),
    "delete group": lambda hook: hook.delete_contact_group(1),
    "delete contact": lambda hook: hook.delete_contact(1),
    "assign": lambda hook: hook.assign_labels(page_id=1, subscriber_id=2, label_ids=[3]),
    "stream": lambda hook: list(hook.iter_flow_answers(1)),
}
CREATES = {
    "user": lambda hook: hook.create_user(
        name="Ann", email="ann@example.com", password="s3cr3t-s3cr3t", package_id=1, expired_date="2030-01-01"
    ),
    "label": lambda hook: hook.create_label(label_name="VIP", page_id=1),
    "group": lambda hook: hook.create_contact_group(name="Riders"),
    "contact": lambda hook: hook.create_contact(contact_type_id=1, email="ann@example.com"),
}

SHORT = b'{"status":"succ'
HTML = "<html><head><title>Log in</title></head></html>"


def cut_off(answers, body=b'[{"id":"1"'):
    return answers.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + body)


#: What a read ends with, and whether a create may have happened.
LOSING = {
    "reset": lambda a: a.reset,
    "closed": lambda a: a.close,
    "no HTTP": lambda a: a.raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "cut off in the head": lambda a: a.raw(b"HTTP/1.1 200 OK\r\nContent-"),
    "cut off in the body": cut_off,
    "cut off before the body": lambda a: cut_off(a, b""),
    "cut off between chunks": lambda a: a.raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n" + SHORT + b"\r\n"
    ),
    "cut off in a chunk": lambda a: a.raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + SHORT
    ),
    "no chunks": lambda a: a.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" + SHORT),
    "JSON cut off": lambda a: a.ok(SHORT),
    "JSON cut off at the close": lambda a: a.raw(b"HTTP/1.0 200 OK\r\n\r\n" + SHORT),
    "empty": lambda a: a.ok(""),
    "gzip cut off": lambda a: a.ok(gzip.compress(b"[" + b" " * 999 + b"]")[:-12], "Content-Encoding: gzip"),
    "gzip without its check sum": lambda a: a.ok(gzip.compress(b"[]")[:-8], "Content-Encoding: gzip"),
    "no gzip": lambda a: a.ok("[]", "Content-Encoding: gzip"),
    "500": lambda a: a.ok(HTML, status="500 Internal Server Error"),
    "502": lambda a: a.ok(HTML, status="502 Bad Gateway"),
    "503": lambda a: a.ok(HTML, "Retry-After: 0", status="503 Service Unavailable"),
    "504": lambda a: a.ok(HTML, status="504 Gateway Timeout"),
    "408": lambda a: a.ok(HTML, status="408 Request Timeout"),
    "a web page": lambda a: a.ok(HTML),
    "two lengths": lambda a: a.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]"),
    "an endless header": lambda a: a.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
}


class TestAnswersLost:
    @pytest.mark.parametrize("fault", LOSING)
    def test_a_read_is_repeated(self, fault, fault_server, answers, connect, holds_no_key):
        fault_server.will(LOSING[fault](answers))
        with pytest.raises((CyTechBotTransportError, CyTechBotResponseError)) as caught:
            connect(fault_server.base_url).get_flow_campaigns()
        assert len(fault_server.requests) == 3
        assert (type(caught.value) is CyTechBotResponseError) == (fault == "a web page")
        assert caught.value.request == "GET get_flow_campaigns/"
        holds_no_key(caught.value)

    @pytest.mark.parametrize("fault", LOSING)
    def test_a_stream_is_repeated_before_its_first_byte_alone(
        self, fault, fault_server, answers, connect, holds_no_key
    ):
        fault_server.will(LOSING[fault](answers))
        with pytest.raises((CyTechBotTransportError, CyTechBotResponseError)) as caught:
            list(connect(fault_server.base_url).iter_flow_answers(1))
        assert 1 <= len(fault_server.requests) <= 3
        assert caught.value.request == "GET get_all_subscriber_flow_info/"
        assert caught.value.connection == "cytechbot_default"
        holds_no_key(caught.value)

    @pytest.mark.parametrize("fault", LOSING)
    def test_a_create_is_sent_once_and_never_again(self, fault, fault_server, answers, connect, holds_no_key):
        fault_server.will(LOSING[fault](answers))
        with pytest.raises(CyTechBotAmbiguousWriteError) as caught:
            CREATES["group"](connect(fault_server.base_url))
        assert len(fault_server.requests) == 1
        holds_no_key(caught.value)

    @pytest.mark.parametrize("fault", ["reset", "cut off in the body", "503", "a web page"])
    @pytest.mark.parametrize("create", CREATES)
    def test_every_create(self, create, fault, fault_server, answers, connect, holds_no_key):
        fault_server.will(LOSING[fault](answers))
        with pytest.raises(CyTechBotAmbiguousWriteError) as caught:
            CREATES[create](connect(fault_server.base_url))
        assert len(fault_server.requests) == 1
        assert "s3cr3t" not in str(caught.value)
        holds_no_key(caught.value)

    @pytest.mark.parametrize("fault", ["reset", "503"])
    @pytest.mark.parametrize("call", REPEATABLE)
    def test_everything_else_is_repeated(self, call, fault, fault_server, answers, connect, holds_no_key):
        fault_server.will(LOSING[fault](answers))
        with pytest.raises(CyTechBotTransportError) as caught:
            REPEATABLE[call](connect(fault_server.base_url))
        assert len(fault_server.requests) == 3
        holds_no_key(caught.value)

    def test_no_first_byte(self, fault_server, answers, connect, holds_no_key):
        hook = connect(fault_server.base_url, timeout=0.2)
        fault_server.will(answers.hang)
        with pytest.raises(CyTechBotTransportError, match=r"no data came for 0\.2 s") as caught:
            hook.get_flow_campaigns()
        assert len(fault_server.requests) == 3
        holds_no_key(caught.value)
        fault_server.will(answers.hang)
        with pytest.raises(CyTechBotAmbiguousWriteError) as caught:
            CREATES["contact"](hook)
        assert len(fault_server.requests) == 1
        holds_no_key(caught.value)

    def test_the_slow_call_is_not_started_again_while_the_server_may_still_be_at_it(
        self, fault_server, answers, connect, holds_no_key
    ):
        hook = connect(fault_server.base_url, timeout=0.2)
        fault_server.will(answers.hang)
        for send in (hook.get_flow_answers, lambda campaign: list(hook.iter_flow_answers(campaign))):
            fault_server.requests.clear()
            with pytest.raises(CyTechBotTransportError, match="takes the server minutes") as caught:
                send(1)
            assert len(fault_server.requests) == 1
            holds_no_key(caught.value)

    def test_no_retries_wanted(self, fault_server, answers, connect):
        fault_server.will(answers.reset)
        with pytest.raises(CyTechBotTransportError):
            connect(fault_server.base_url, max_retries=0).get_flow_campaigns()
        assert len(fault_server.requests) == 1


class TestRejections:
    def test_429_is_repeated_also_for_a_create(self, fault_server, answers, connect, holds_no_key):
        hook = connect(fault_server.base_url, max_retries=2)
        fault_server.will(answers.ok(HTML, status="429 Too Many Requests"), answers.ok("[]"))
        assert hook.get_flow_campaigns() == []
        fault_server.will(answers.ok(HTML, "Retry-After: 0", status="429 Too Many Requests"))
        with pytest.raises(CyTechBotTransportError, match="HTTP 429") as caught:
            CREATES["group"](hook)
        assert len(fault_server.requests) == 3
        holds_no_key(caught.value)

    @pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "400 Bad Request"])
    def test_another_server_answered(self, status, fault_server, answers, connect, holds_no_key):
        fault_server.will(answers.ok(HTML, status=status))
        hook = connect(fault_server.base_url)
        for send in (REPEATABLE["read"], CREATES["group"], REPEATABLE["stream"]):
            fault_server.requests.clear()
            with pytest.raises(CyTechBotResponseError, match='a web page titled "Log in"') as caught:
                send(hook)
            assert len(fault_server.requests) == 1
            holds_no_key(caught.value)


class TestNothingSent:
    def closed_port(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return listener.getsockname()[1]

    @pytest.mark.parametrize("create", CREATES)
    def test_a_create_is_repeated_where_no_connection_could_be_made(
        self, create, connect, caplog, holds_no_key
    ):
        hook = connect(f"http://127.0.0.1:{self.closed_port()}")
        with pytest.raises(
            CyTechBotTransportError, match=r"no connection to 127\.0\.0\.1:.* could be made"
        ) as caught:
            CREATES[create](hook)
        assert caplog.text.count("Retrying") == 2
        holds_no_key(caught.value)

    def test_a_create_is_repeated_where_the_name_cannot_be_resolved(self, connect, caplog, holds_no_key):
        hook = connect("https://no-such-host.invalid")
        with pytest.raises(CyTechBotTransportError, match="could not be resolved") as caught:
            CREATES["group"](hook)
        assert caplog.text.count("Retrying") == 2
        holds_no_key(caught.value)

    def test_a_create_reaches_a_server_that_comes_up_late(self, connect, monkeypatch):
        from airflow_provider_cytechbot.sandbox.server import SandboxServer

        port = self.closed_port()
        server = SandboxServer(port=port)
        monkeypatch.setattr(
            "tenacity.nap.time.sleep", lambda _: server.start() if not server._server else None
        )
        try:
            assert connect(f"http://127.0.0.1:{port}", server.api_key).create_contact_group(name="Riders")
            assert server.journal.took_effect("create_contact_group") == 1
        finally:
            server.stop()

    def test_an_error_that_the_caller_is_handling_is_not_part_of_the_failure(
        self, fault_server, answers, connect
    ):
        import requests

        hook = connect(fault_server.base_url)
        fault_server.will(answers.reset)
        for theirs in (requests.ConnectTimeout(), socket.gaierror("name"), requests.exceptions.ProxyError()):
            fault_server.requests.clear()
            try:
                raise theirs
            except OSError:
                with pytest.raises(CyTechBotAmbiguousWriteError):
                    CREATES["group"](hook)
            assert len(fault_server.requests) == 1


class TestAgainstTheSandbox:
    """What took effect, as the API itself counts it."""

    @pytest.mark.parametrize(
        ("kind", "options", "happened"),
        [
            ("reset_before", {}, 0),
            ("reset_after", {}, 1),
            ("truncate", {}, 1),
            ("truncate_json", {}, 1),
            ("truncate_chunked", {}, 1),
            ("html", {}, 0),
            ("status", {"status": 500}, 0),
            ("status", {"status": 502, "effect": True}, 1),
            ("status", {"status": 503, "retry_after": 0}, 0),
        ],
    )
    def test_a_lost_create(self, kind, options, happened, sandbox, hook):
        sandbox.fault(kind, "create_contact_group", **options)
        with pytest.raises(CyTechBotAmbiguousWriteError):
            hook.create_contact_group(name="Riders")
        assert sandbox.journal.received("create_contact_group") == 1
        assert sandbox.journal.took_effect("create_contact_group") == happened

    @pytest.mark.parametrize("kind", ["reset_before", "reset_after", "truncate", "truncate_json", "html"])
    @pytest.mark.parametrize("quirks", ["none", "all"])
    def test_a_delete_succeeds_after_a_lost_response(self, kind, quirks, sandbox, hook):
        sandbox.quirks = quirks
        sandbox.fault(kind, "delete_contact")
        sandbox.fault(kind, "delete_contact_group")
        hook.delete_contact(4)
        hook.delete_contact_group(3)
        for endpoint in ("delete_contact", "delete_contact_group"):
            assert sandbox.journal.received(endpoint) == 2
            assert sandbox.journal.took_effect(endpoint) == 1

    def test_a_delete_of_what_never_was_is_an_error(self, sandbox, hook):
        for delete in (hook.delete_contact, hook.delete_contact_group):
            with pytest.raises(CyTechBotNotFoundError):
                delete(999)
        sandbox.fault("status", "delete_contact", status=429)
        with pytest.raises(CyTechBotNotFoundError):
            hook.delete_contact(999)

    def test_an_update_repeated_after_a_lost_answer_ends_in_info_which_is_logged(
        self, sandbox, hook, monkeypatch
    ):
        reason = []
        monkeypatch.setattr(type(hook), "log", property(lambda _: logging.getLogger("of-the-hook")))
        monkeypatch.setattr(
            logging.getLogger("of-the-hook"), "info", lambda text, *args: reason.append(text % args)
        )
        sandbox.quirks = ["info_when_unchanged"]
        sandbox.fault("reset_after", "update_contact")
        hook.update_contact(1, first_name="Nora")
        assert sandbox.journal.received("update_contact") == 2
        assert hook.get_contact(1)["first_name"] == "Nora"
        (line,) = reason
        assert line.startswith("Updated contact 1 over connection ")
        assert ": unchanged (" in line

    def test_an_assignment_is_repeated(self, sandbox, hook):
        sandbox.fault("reset_after", "assign_label", times=2)
        hook.assign_labels(
            page_id="104857600000001", subscriber_id="24994546734902202", label_ids=["2472856209402188"]
        )
        assert sandbox.journal.received("assign_label") == 3

    def test_a_refused_field_is_not_repeated(self, sandbox, hook):
        with pytest.raises(CyTechBotRequestError):
            hook.create_contact(contact_type_id=1, email="maya@example.com")
        assert sandbox.journal.received("create_contact") == 1

    @pytest.mark.parametrize("as_date", [False, True])
    def test_retry_after_is_waited_for_and_capped(self, as_date, sandbox, hook, monkeypatch):
        monkeypatch.setattr(retry, "MAX_RETRY_AFTER", 0.4)
        sandbox.fault("status", "get_flow_campaigns", status=503, retry_after=3600, retry_after_date=as_date)
        start = time.monotonic()
        assert hook.get_flow_campaigns()
        assert 0.4 <= time.monotonic() - start < 2

    def test_retry_after_that_is_short(self, sandbox, hook):
        sandbox.fault("status", "get_flow_campaigns", status=429, retry_after=1)
        start = time.monotonic()
        assert hook.get_flow_campaigns()
        assert 1 <= time.monotonic() - start < 2.5
