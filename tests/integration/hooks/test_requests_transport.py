"""The wire: redirects, TLS, proxies, time-outs, kept-alive connections, encodings."""

from __future__ import annotations

import gzip
import importlib.metadata
import socket
import threading
import time
import zlib

import pytest

from airflow_provider_cytechbot import __version__
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotResponseError,
    CyTechBotSettingsError,
    CyTechBotTransportError,
    CyTechBotUnansweredError,
)

from .tls import Authority, tunnel_to, without_tls

MADE = '{"status":"success","message":"made","contact_type_id":7}'


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("to", ["same host", "other host"])
    def test_none_is_followed(self, status, to, fault_server, start_server, answers, connect, holds_no_key):
        other = start_server()
        base_url = fault_server.base_url if to == "same host" else other.base_url
        location = f"Location: {base_url}/elsewhere/?api_key=leak-leak"
        hook = connect(fault_server.base_url)
        # A create may have happened: 303 means that it has.
        for send, error in (
            (hook.get_flow_campaigns, CyTechBotResponseError),
            (lambda: hook.create_contact_group(name="Riders"), CyTechBotAmbiguousWriteError),
            (lambda: hook.delete_contact(1), CyTechBotResponseError),
            (lambda: list(hook.iter_flow_answers(1)), CyTechBotResponseError),
        ):
            fault_server.will(answers.ok("", location, status=f"{status} Moved"))
            with pytest.raises(error, match=r"a redirect to .*never followed") as caught:
                send()
            assert len(fault_server.requests) == 1
            assert "leak-leak" not in str(caught.value)
            holds_no_key(caught.value)
        assert not other.requests

    def test_nor_by_the_session_itself(self, fault_server, start_server, answers, connect):
        other = start_server()
        fault_server.will(answers.ok("", f"Location: {other.base_url}/", status="302 Found"))
        session = connect(fault_server.base_url).get_conn()
        for verb in ("GET", "POST"):
            response = session.request(verb, fault_server.base_url, allow_redirects=True, timeout=5)
            assert response.status_code == 302
            assert response.history == []
        assert len(fault_server.requests) == 2
        assert not other.requests


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path):
        return Authority(tmp_path)

    def test_an_unknown_authority_is_a_clear_error_and_not_retried(
        self, authority, start_server, connect, holds_no_key, caplog
    ):
        server = start_server(authority.server("127.0.0.1"))
        hook = connect(server.base_url)
        for send in (hook.get_flow_campaigns, lambda: hook.create_contact_group(name="Riders")):
            with pytest.raises(CyTechBotTransportError) as caught:
                send()
            assert f"the TLS certificate of 127.0.0.1:{server.port} is not trusted: " in str(caught.value)
            assert "extra 'ca_bundle'" in str(caught.value)
            holds_no_key(caught.value)
        assert not server.requests
        assert "Retrying" not in caplog.text

    @pytest.mark.parametrize(
        ("host", "days", "reason"), [("example.com", 1, "mismatch"), ("127.0.0.1", -1, "expired")]
    )
    def test_a_wrong_host_and_an_expired_certificate(
        self, host, days, reason, authority, start_server, connect
    ):
        server = start_server(authority.server(host, days))
        with pytest.raises(CyTechBotTransportError, match=f"is not trusted: .*{reason}") as caught:
            connect(server.base_url, ca_bundle=authority.bundle).get_flow_campaigns()
        assert ".." not in str(caught.value)
        assert not server.requests

    def test_ca_bundle(self, authority, start_server, connect):
        server = start_server(authority.server("127.0.0.1"))
        assert connect(server.base_url, ca_bundle=authority.bundle).get_flow_campaigns() == []

    @pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_the_bundle_of_the_environment(self, name, authority, start_server, connect, monkeypatch):
        server = start_server(authority.server("127.0.0.1"))
        monkeypatch.setenv(name, authority.bundle)
        assert connect(server.base_url).get_flow_campaigns() == []
        monkeypatch.setenv(name, "/no/such/file")
        with pytest.raises(CyTechBotSettingsError, match=f"variable {name} names a path that does not exist"):
            connect(server.base_url).create_contact_group(name="Riders")
        assert connect(server.base_url, ca_bundle=authority.bundle).get_flow_campaigns() == []

    def test_verify_tls_false(self, authority, start_server, connect, monkeypatch):
        server = start_server(authority.server("example.com", -1))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.bundle)
        hook = connect(server.base_url, verify_tls=False)
        with pytest.warns(match="Unverified HTTPS request"):
            assert hook.get_flow_campaigns() == []

    def test_a_server_that_speaks_no_tls(self, cytechbot_sandbox, connect, holds_no_key, caplog):
        hook = connect(cytechbot_sandbox.base_url.replace("http:", "https:"))
        with pytest.raises(CyTechBotTransportError, match="Does the host speak https") as caught:
            hook.create_contact_group(name="Riders")
        holds_no_key(caught.value)
        assert "Retrying" not in caplog.text

    @pytest.mark.parametrize(
        "content", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64, b"\x15\x03\x03\0\2\2\x28"]
    )
    def test_a_create_that_was_sent_is_ambiguous_when_its_answer_is_not_tls(
        self, content, authority, start_server, connect, holds_no_key
    ):
        server = start_server(authority.server("127.0.0.1"))
        server.will(without_tls(content))
        with pytest.raises(CyTechBotAmbiguousWriteError, match=r"the TLS connection to .* failed") as caught:
            connect(server.base_url, ca_bundle=authority.bundle).create_contact_group(name="Riders")
        assert len(server.requests) == 1
        holds_no_key(caught.value)

    @pytest.mark.parametrize("content", [b"", b"\x15\x03\x03\0\2\2\x28"])
    def test_nothing_is_sent_before_the_handshake_is_over(self, content, connect):
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve():
                for _ in range(2):
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(content)

            server = threading.Thread(target=serve, daemon=True)
            server.start()
            hook = connect(f"https://127.0.0.1:{listener.getsockname()[1]}", max_retries=1)
            with pytest.raises(CyTechBotTransportError, match=r"the TLS connection to .* failed") as caught:
                hook.create_contact_group(name="Riders")
            server.join(5)
        assert not caught.value.was_sent
        assert not server.is_alive()


class TestCredentialsAndProxies:
    def test_netrc_is_not_read(self, fault_server, connect, tmp_path, monkeypatch):
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password netrc-password\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        connect(fault_server.base_url).get_flow_campaigns()
        assert "authorization" not in fault_server.requests[0].headers

    def test_the_environments_proxy_is_not_used_for_loopback(
        self, fault_server, start_server, connect, monkeypatch
    ):
        proxy = start_server()
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert connect(fault_server.base_url).get_flow_campaigns() == []
        assert not proxy.requests

    def test_the_environments_proxy_is_used_for_other_hosts(self, start_server, connect, monkeypatch):
        proxy = start_server()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert connect("http://bot.example/api", allow_http=True).get_flow_campaigns() == []
        assert proxy.requests[0].target.startswith("http://bot.example/api/get_flow_campaigns/?")
        monkeypatch.setenv("no_proxy", "bot.example")
        hook = connect("http://bot.example/api", allow_http=True)
        assert hook.get_conn().proxies == {}

    def test_a_proxy_of_the_connection_wins(self, fault_server, start_server, connect, monkeypatch):
        proxy, other = start_server(), start_server()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{other.port}")
        hook = connect(fault_server.base_url, proxy=f"http://user:pass-word@127.0.0.1:{proxy.port}")
        assert hook.get_flow_campaigns() == []
        assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")
        assert not other.requests
        assert not fault_server.requests

    def test_a_proxy_that_is_not_there(self, connect, holds_no_key, caplog):
        hook = connect("https://bot.example", proxy="http://user:pass-word@127.0.0.1:1")
        with pytest.raises(CyTechBotTransportError, match="the proxy could not be reached") as caught:
            hook.create_contact_group(name="Riders")
        assert caplog.text.count("Retrying") == 2
        assert "pass-word" not in caplog.text + str(caught.value)
        holds_no_key(caught.value)

    def test_a_proxy_that_refuses_the_tunnel(self, start_server, answers, connect, holds_no_key):
        proxy = start_server()
        proxy.will(answers.ok("", status="407 Proxy Authentication Required"))
        hook = connect("https://bot.example", proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(CyTechBotTransportError, match=r"would not connect to bot\.example") as caught:
            hook.create_contact_group(name="Riders")
        assert {request.target for request in proxy.requests} == {"bot.example:443"}
        holds_no_key(caught.value)

    def test_a_create_lost_behind_a_proxy_is_ambiguous(self, start_server, answers, connect, holds_no_key):
        proxy = start_server()
        proxy.will(answers.reset)
        hook = connect("http://bot.example", allow_http=True, proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(CyTechBotAmbiguousWriteError) as caught:
            hook.create_contact_group(name="Riders")
        assert len(proxy.requests) == 1
        holds_no_key(caught.value)

    @pytest.mark.parametrize("end", ["reset", "close"])
    def test_a_create_lost_in_a_tunnel_is_ambiguous(
        self, end, start_server, answers, connect, tmp_path, holds_no_key
    ):
        authority = Authority(tmp_path)
        server = start_server(authority.server("bot.example"))
        server.will(getattr(answers, end))
        proxy = start_server()
        proxy.will(tunnel_to(server.port))
        hook = connect(
            "https://bot.example", proxy=f"http://127.0.0.1:{proxy.port}", ca_bundle=authority.bundle
        )
        with pytest.raises(CyTechBotAmbiguousWriteError) as caught:
            hook.create_contact_group(name="Riders")
        assert len(server.requests) == 1
        holds_no_key(caught.value)
        server.will(answers.ok("[]"))
        assert hook.get_flow_campaigns() == []

    def test_a_proxy_of_the_environment_that_requests_cannot_use(
        self, connect, monkeypatch, holds_no_key, caplog
    ):
        monkeypatch.setenv("https_proxy", "socks5://user:pass-word@127.0.0.1:1")
        with pytest.raises(CyTechBotTransportError) as caught:
            connect("https://bot.example").create_contact_group(name="Riders")
        assert "pass-word" not in caplog.text + str(caught.value)
        holds_no_key(caught.value)


class TestTimeouts:
    def test_connecting(self, connect, holds_no_key):
        # A full backlog: the kernel takes no further connection.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            fillers = [socket.socket() for _ in range(3)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            start = time.monotonic()
            with pytest.raises(CyTechBotTransportError, match="no connection to") as caught:
                connect(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2).create_contact_group(
                    name="R"
                )
            assert 0.6 <= time.monotonic() - start < 3
            for filler in fillers:
                filler.close()
        holds_no_key(caught.value)

    def test_a_gap_within_the_body(self, fault_server, answers, connect, holds_no_key):
        fault_server.will(answers.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[", b"]", seconds=9))
        hook = connect(fault_server.base_url, timeout=0.2, max_retries=0)
        for send in (hook.get_flow_campaigns, lambda: list(hook.iter_flow_answers(1))):
            with pytest.raises(CyTechBotTransportError, match=r"no data came for 0\.2 s") as caught:
                send()
            holds_no_key(caught.value)

    def test_a_body_that_trickles_may_take_longer_than_the_timeout(self, fault_server, answers, connect):
        pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", *(bytes([each]) for each in b"[    ]")]
        fault_server.will(answers.raw(*pieces, seconds=0.1))
        start = time.monotonic()
        assert connect(fault_server.base_url, timeout=0.4).get_flow_campaigns() == []
        assert time.monotonic() - start > 0.5

    def test_the_default(self, fault_server, connect):
        hook = connect(fault_server.base_url, timeout=None)
        assert hook.settings.timeout == 60


class TestKeepAlive:
    def test_one_connection_serves_all_calls(self, fault_server, answers, connect):
        fault_server.will(answers.ok("[]"))
        hook = connect(fault_server.base_url)
        for _ in range(5):
            hook.get_flow_campaigns()
        assert {request.connection for request in fault_server.requests} == {1}

    def test_also_after_errors_and_streams(self, cytechbot_sandbox, connect):
        hook = connect(cytechbot_sandbox.base_url, cytechbot_sandbox.api_key)
        cytechbot_sandbox.fault("status", "get_flow_campaigns", status=503)
        hook.get_flow_campaigns()
        list(hook.iter_flow_answers(1))
        hook.update_contact_group(1, name="Riders")
        assert len({request.client_port for request in cytechbot_sandbox.requests()}) == 1

    def test_a_connection_that_the_server_closed_is_opened_again(self, fault_server, answers, connect):
        fault_server.will(answers.ok("[]", keep=False))
        hook = connect(fault_server.base_url)
        hook.get_flow_campaigns()
        time.sleep(0.05)
        fault_server.will(answers.ok(MADE))
        assert hook.create_contact_group(name="Riders") == "7"
        assert len(fault_server.requests) == 1

    def test_a_create_opens_a_new_connection(self, fault_server, answers, connect):
        hook = connect(fault_server.base_url)

        def close_if_it_is_used_again(connection, server):
            answers.ok("[]")(connection, server)
            connection.recv(1)
            return answers.reset(connection, server)

        fault_server.will(close_if_it_is_used_again, answers.ok(MADE))
        hook.get_flow_campaigns()
        assert hook.create_contact_group(name="Riders") == "7"

    def test_an_answer_that_is_left_half_read_spoils_no_later_one(self, cytechbot_sandbox, connect):
        hook = connect(cytechbot_sandbox.base_url, cytechbot_sandbox.api_key)
        for _ in hook.iter_flow_answers(1):
            break
        assert len(hook.get_flow_campaigns()) > 1


class TestErrorPagesThatAreCutOff:
    """Their status shows what happened, whatever there is of the page."""

    PAGE = b"HTTP/1.1 %s\r\nRetry-After: 0\r\nLocation: /login\r\nContent-Length: 500\r\n\r\n<html>"

    def test_a_read_is_repeated_when_the_server_requires_it(self, fault_server, answers, connect):
        fault_server.will(answers.raw(self.PAGE % b"429 Too Many Requests"), answers.ok("[]"))
        assert connect(fault_server.base_url).get_flow_campaigns() == []
        assert len(fault_server.requests) == 2

    @pytest.mark.parametrize(
        ("status", "sends"), [(b"429 Too Many Requests", 3), (b"403 Forbidden", 1), (b"404 Not Found", 1)]
    )
    def test_a_rejected_create_is_not_ambiguous(self, status, sends, fault_server, answers, connect):
        fault_server.will(answers.raw(self.PAGE % status))
        with pytest.raises(CyTechBotUnansweredError, match=status[:3].decode()):
            connect(fault_server.base_url, max_retries=2).create_contact_group(name="Riders")
        assert len(fault_server.requests) == sends

    @pytest.mark.parametrize("status", [b"302 Found", b"408 Request Timeout", b"502 Bad Gateway"])
    def test_a_create_that_may_have_happened_is_ambiguous(self, status, fault_server, answers, connect):
        fault_server.will(answers.raw(self.PAGE % status))
        with pytest.raises(CyTechBotAmbiguousWriteError):
            connect(fault_server.base_url).create_contact_group(name="Riders")
        assert len(fault_server.requests) == 1


class TestHeaders:
    def test_the_user_agent(self, fault_server, connect):
        connect(fault_server.base_url).get_flow_campaigns()
        headers = fault_server.requests[0].headers
        airflow = importlib.metadata.version("apache-airflow")
        assert headers["user-agent"] == f"airflow-provider-cytechbot/{__version__} apache-airflow/{airflow}"
        assert "content-type" not in headers

    def test_a_read_carries_its_key_and_fields_in_the_query(self, fault_server, answers, connect, key):
        fault_server.will(answers.ok('{"status":"error","message":"No"}'))
        with pytest.raises(Exception, match="No"):
            connect(fault_server.base_url).get_user(email="ann+bot@example.com")
        (request,) = fault_server.requests
        assert (request.verb, request.path) == ("GET", "/api/get_user_info/")
        assert request.query == {"api_key": key, "email": "ann+bot@example.com"}
        assert request.form == {}

    def test_a_write_carries_them_in_the_form(self, fault_server, answers, connect, key):
        fault_server.will(answers.ok('{"status":"success"}'))
        connect(fault_server.base_url).update_contact(5, first_name="Zoë & co")
        (request,) = fault_server.requests
        assert (request.verb, request.target) == ("POST", "/api/update_contact/5")
        assert request.form == {"api_key": key, "first_name": "Zoë & co"}
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"


class TestEncodings:
    BODY = '[{"id":"1","flow_name":"Café ☕"}]'.encode()

    @pytest.mark.parametrize("endpoint", ["whole", "streamed"])
    @pytest.mark.parametrize(
        "encoding", ["identity", "gzip", "deflate", "chunked", "until the close", "with a BOM"]
    )
    def test_each_arrives(self, encoding, endpoint, fault_server, answers, connect):
        answered = b'[{"question_id":"4","question":"Q","answer":"\xe2\x98\x95"}]'
        streamed = b'{"id":"1","flow_name":"F","data":{"9":' + answered + b"}}"
        body = self.BODY if endpoint == "whole" else streamed
        fault_server.will(
            {
                "identity": answers.ok(body),
                "gzip": answers.ok(gzip.compress(body), "Content-Encoding: gzip"),
                "deflate": answers.ok(zlib.compress(body), "Content-Encoding: deflate"),
                "chunked": answers.raw(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + b"".join(b"1\r\n%c\r\n" % byte for byte in body)
                    + b"0\r\n\r\n"
                ),
                "until the close": answers.raw(b"HTTP/1.0 200 OK\r\n\r\n" + body),
                "with a BOM": answers.ok(b"\xef\xbb\xbf" + body),
            }[encoding]
        )
        hook = connect(fault_server.base_url)
        if endpoint == "whole":
            assert hook.get_flow_campaigns() == [{"id": "1", "flow_name": "Café ☕"}]
        else:
            (row,) = hook.iter_flow_answers(1)
            assert (row["subscriber_id"], row["answer"]) == ("9", "☕")
