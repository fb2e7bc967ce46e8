from __future__ import annotations

import gzip
import http.client
import socket
import ssl

import certifi
import pytest
import requests
import urllib3
from requests_mock import ANY

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.transport.answer_limits import ERROR_PAGE_BYTES
from airflow_provider_cytechbot.transport.content_coding import BLOCK_SIZE
from airflow_provider_cytechbot.transport.requests_transport import RequestsTransport
from airflow_provider_cytechbot.transport.settings import Settings

KEY = "1-the-api-key"
CALL = build(endpoints.CREATE_CONTACT_GROUP, name="Riders")
READ = build(endpoints.GET_FLOW_CAMPAIGNS)
SLOW = build(endpoints.GET_FLOW_ANSWERS, flow_campaign_id=1)
URL = "https://cytechbot.com/api/create_contact_group"


def transport(**fields):
    return RequestsTransport(Settings("mine", "https://cytechbot.com/api", KEY, **fields))


class TestSession:
    def test_defaults(self):
        session = transport().session
        assert session.trust_env is False
        assert session.verify is True
        assert session.proxies == {}
        assert session.headers["User-Agent"].startswith("airflow-provider-cytechbot/")

    def test_it_does_not_hold_the_key(self):
        session = transport().session
        assert KEY not in repr(vars(session))
        assert KEY not in repr(session.headers)

    def test_verify(self):
        assert transport(verify_tls=False, ca_bundle="/some/file").session.verify is False
        assert transport(ca_bundle=certifi.where()).session.verify == certifi.where()

    def test_proxy(self, monkeypatch):
        monkeypatch.setenv("https_proxy", "http://other.example")
        assert transport().session.proxies["https"] == "http://other.example"
        proxies = transport(proxy="http://proxy.example").session.proxies
        assert proxies == {"http": "http://proxy.example", "https": "http://proxy.example"}


class TestSend:
    def test_a_request_has_the_calls_method_url_and_body(self, requests_mock):
        requests_mock.post(URL, text="{}")
        status, _, body = transport().send(CALL)
        assert (status, body) == (200, b"{}")
        request = requests_mock.last_request
        assert request.text == "api_key=1-the-api-key&name=Riders"
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert request.timeout == (10, 60)
        assert request.stream is True

    def test_connecting_never_takes_longer_than_the_timeout(self, requests_mock):
        requests_mock.post(URL, text="{}")
        transport(timeout=3).send(CALL)
        assert requests_mock.last_request.timeout == (3, 3)

    def test_whatever_the_status(self, requests_mock):
        requests_mock.post(URL, text="oops", status_code=500, headers={"Retry-After": "7"})
        status, headers, body = transport().send(CALL)
        assert (status, headers["retry-after"], body) == (500, "7", b"oops")


POOL = urllib3.HTTPSConnectionPool("cytechbot.com")


def retried(reason):
    return urllib3.exceptions.MaxRetryError(POOL, f"/api/?api_key={KEY}", reason)


def timed_out():
    return urllib3.exceptions.ReadTimeoutError(POOL, f"/api/?api_key={KEY}", "Read timed out.")


UNSENT = {
    "refused": requests.ConnectionError(retried(urllib3.exceptions.NewConnectionError(POOL, "refused"))),
    "connect timeout": requests.ConnectTimeout(retried(urllib3.exceptions.ConnectTimeoutError())),
    "bad certificate": requests.exceptions.SSLError(
        retried(urllib3.exceptions.SSLError(ssl.SSLCertVerificationError()))
    ),
    "no proxy": requests.exceptions.ProxyError(
        retried(urllib3.exceptions.ProxyError("No", urllib3.exceptions.NewConnectionError(POOL, "refused")))
    ),
    "no tunnel": requests.exceptions.ProxyError(
        retried(urllib3.exceptions.ProxyError("No", OSError("Tunnel connection failed: 407 No")))
    ),
    "no URL": requests.exceptions.InvalidURL(f"https://?api_key={KEY}"),
    "no SOCKS": requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support."),
}
PERHAPS_SENT = {
    "read timeout": requests.ReadTimeout(timed_out()),
    "read timeout in the body": requests.ConnectionError(timed_out()),
    "reset": requests.ConnectionError(
        urllib3.exceptions.ProtocolError("Aborted", ConnectionResetError(104, "Reset"))
    ),
    "reset behind a proxy": requests.exceptions.ProxyError(
        retried(urllib3.exceptions.ProxyError("Unable", ConnectionResetError(104, "Reset")))
    ),
    "closed behind a proxy": requests.exceptions.ProxyError(
        retried(urllib3.exceptions.ProxyError("Unable", http.client.RemoteDisconnected("gone")))
    ),
    "cut off": requests.exceptions.ChunkedEncodingError(
        urllib3.exceptions.ProtocolError("Broken", urllib3.exceptions.IncompleteRead(5, 9))
    ),
    "TLS": requests.exceptions.SSLError(retried(urllib3.exceptions.SSLError(ssl.SSLError(1, "alert")))),
    "bare timeout": TimeoutError("timed out"),
    "bare reset": ConnectionResetError(104, "Reset"),
    "anything": requests.RequestException(f"?api_key={KEY}"),
    "anything of urllib3": urllib3.exceptions.HTTPError(f"?api_key={KEY}"),
}


class TestErrors:
    def fail(self, error, requests_mock, call=CALL):
        requests_mock.register_uri(ANY, ANY, exc=error)
        with pytest.raises(CyTechBotTransportError) as caught:
            transport().send(call)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        assert KEY not in str(caught.value) + repr(caught.value)
        return caught.value

    @pytest.mark.parametrize("name", UNSENT)
    def test_nothing_was_sent(self, name, requests_mock):
        assert not self.fail(UNSENT[name], requests_mock).may_have_acted

    @pytest.mark.parametrize("name", PERHAPS_SENT)
    def test_it_may_have_been_sent(self, name, requests_mock):
        assert self.fail(PERHAPS_SENT[name], requests_mock).may_have_acted

    @pytest.mark.parametrize("name", ["bad certificate", "no URL", "no SOCKS"])
    def test_permanent_failures_are_not_transient(self, name, requests_mock):
        assert not self.fail(UNSENT[name], requests_mock).is_transient

    def test_the_name_of_the_host(self, requests_mock):
        unknown = urllib3.exceptions.NameResolutionError(
            "cytechbot.com", POOL, socket.gaierror(-2, "unknown")
        )
        unknown.__cause__ = socket.gaierror(-2, "unknown")
        error = self.fail(requests.ConnectionError(retried(unknown)), requests_mock)
        assert str(error).startswith("the name of the host cytechbot.com could not be resolved.")
        assert not error.was_sent

    def test_how_much_arrived(self, requests_mock):
        assert "cut off after 5 bytes." in str(self.fail(PERHAPS_SENT["cut off"], requests_mock))

    def test_a_timeout_of_the_slow_call(self, requests_mock):
        error = self.fail(requests.ReadTimeout(timed_out()), requests_mock, SLOW)
        assert "takes the server minutes" in str(error)
        assert not error.is_transient
        assert self.fail(requests.ReadTimeout(timed_out()), requests_mock, READ).is_transient

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
    def test_other_exceptions_are_not_translated(self, error, requests_mock):
        requests_mock.post(URL, exc=error)
        with pytest.raises(error):
            transport().send(CALL)


class TestBody:
    URL = "https://cytechbot.com/api/get_all_subscriber_flow_info/"
    BODY = b"what people write " * 10_000

    @pytest.fixture(params=["blocks", "body"])
    def read(self, request, requests_mock):
        """Read a body either way, and return its blocks."""

        def read(body, coding):
            requests_mock.get(self.URL, content=body, headers={"Content-Encoding": coding})
            sender = transport()
            with sender.open(SLOW) as response:
                if request.param == "blocks":
                    return list(sender.blocks(SLOW, response))
                return [sender.body(SLOW, response)]

        return read

    def test_only_what_can_be_checked_is_accepted(self, read, requests_mock):
        read(b"", "")
        assert requests_mock.last_request.headers["Accept-Encoding"] == "gzip"

    @pytest.mark.parametrize(("body", "coding"), [(BODY, ""), (gzip.compress(BODY), "gzip")])
    def test_is_decompressed(self, read, body, coding):
        assert b"".join(read(body, coding)) == self.BODY

    @pytest.mark.parametrize(("body", "coding"), [(BODY, ""), (gzip.compress(BODY), "gzip")])
    def test_blocks_are_no_larger_than_they_should_be(self, requests_mock, body, coding):
        requests_mock.get(self.URL, content=body, headers={"Content-Encoding": coding})
        sender = transport()
        with sender.open(SLOW) as response:
            assert max(map(len, sender.blocks(SLOW, response))) == BLOCK_SIZE

    @pytest.mark.parametrize(
        ("body", "coding", "message"),
        [
            (gzip.compress(BODY)[:-1], "gzip", "compression ends early"),
            (BODY, "gzip", "compression is damaged"),
            (BODY, "br", "did not accept"),
        ],
    )
    def test_an_incomplete_body_is_an_error(self, read, body, coding, message):
        with pytest.raises(CyTechBotTransportError, match=message) as caught:
            read(body, coding)
        assert caught.value.__context__ is None

    @pytest.mark.parametrize(("body", "coding"), [(gzip.compress(BODY)[:-1], "gzip"), (BODY, "br")])
    def test_of_an_error_page_the_status_is_enough(self, requests_mock, body, coding):
        requests_mock.get(self.URL, content=body, headers={"Content-Encoding": coding}, status_code=503)
        status, _, page = transport().send(SLOW)
        assert status == 503
        assert len(page) <= ERROR_PAGE_BYTES
        assert self.BODY.startswith(page)


class TestPace:
    def test_each_request_waits_for_its_moment(self, requests_mock, waits):
        requests_mock.post(URL, text="{}")
        paced = transport(requests_per_second=0.5)
        for _ in range(3):
            paced.send(CALL)
        assert waits == [pytest.approx(2, abs=0.5), pytest.approx(4, abs=0.5)]
