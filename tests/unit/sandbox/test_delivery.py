"""Each kind of fault as a client meets it on the wire."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest
import requests

from airflow_provider_cytechbot.sandbox.faults import FaultKind
from airflow_provider_cytechbot.sandbox.server import SandboxServer

CONTACT = {"contact_id": "1"}
NEW = {"contact_type_id": "1", "email": "new@example.com"}


@pytest.fixture
def whole(client) -> bytes:
    return client.get("get_contact", **CONTACT).content


@pytest.fixture(scope="module")
def large_server() -> Iterator[SandboxServer]:
    with SandboxServer(subscribers=10_000) as server:
        yield server


def raw(server: SandboxServer, endpoint: str, **fields: str) -> bytes:
    """Read everything up to the connection's end, without an HTTP library between."""
    query = "&".join(f"{name}={value}" for name, value in {"api_key": server.api_key, **fields}.items())
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(f"GET /api/{endpoint}/?{query} HTTP/1.1\r\nHost: sandbox\r\n\r\n".encode())
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def until_cut_off(response: requests.Response) -> bytes:
    received = b""
    try:
        for piece in response.iter_content(100_000):
            received += piece
    except requests.exceptions.ChunkedEncodingError:
        return received
    raise AssertionError("the answer was whole")


def created(server: SandboxServer) -> bool:
    return any(contact["email"] == NEW["email"] for contact in server.state.contacts.values())


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
def test_reset(server, client, kind):
    server.fault(kind, "get_contact")
    with pytest.raises(ConnectionResetError):
        raw(server, "get_contact", **CONTACT)

    server.fault(kind, "create_contact")
    with pytest.raises(requests.ConnectionError, match="reset"):
        client.post("create_contact", **NEW)
    assert created(server) == (kind == "reset_after")
    assert server.journal.received("create_contact") == 1
    assert server.journal.took_effect("create_contact") == (kind == "reset_after")
    # The fault was for one request: the next one succeeds.
    assert client.write("create_contact", **NEW)["status"] == (
        "error" if kind == "reset_after" else "success"
    )


def test_delay(server, client, whole):
    server.fault("delay", seconds=0.3)
    started = time.monotonic()
    assert client.get("get_contact", **CONTACT).content == whole
    assert time.monotonic() - started >= 0.3


def test_delay_beyond_the_client_s_timeout_takes_effect(server, client):
    server.fault("delay", "create_contact", seconds=30)
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{server.base_url}/create_contact", data={**client.key, **NEW}, timeout=0.2)
    assert created(server)


def test_trickle(server, client, whole):
    server.fault("trickle", seconds=0.05, size=60)
    started = time.monotonic()
    response = client.session.get(
        f"{server.base_url}/get_contact", params={**client.key, **CONTACT}, stream=True, timeout=5
    )
    assert response.raw.read(60) == whole[:60]
    early = time.monotonic() - started
    assert response.raw.read() == whole[60:]
    late = time.monotonic() - started
    assert late - early > 0.05 * (len(whole) // 60 - 1)


def test_trickle_ends_with_the_whole_answer(server, client, whole):
    server.fault("trickle", size=7)
    assert client.get("get_contact", **CONTACT).content == whole


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503, 504])
def test_status(server, client, status):
    server.fault("status", "create_contact", status=status)
    response = client.post("create_contact", **NEW)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")
    assert "retry-after" not in response.headers
    assert not created(server)


def test_status_after_the_effect(server, client):
    server.fault("status", "create_contact", status=504, effect=True)
    assert client.post("create_contact", **NEW).status_code == 504
    assert created(server)


def test_retry_after(server, client):
    server.fault("status", status=429, retry_after=3)
    assert client.get("get_contact").headers["retry-after"] == "3"
    server.fault("status", status=503, retry_after=60, retry_after_date=True)
    response = client.get("get_contact")
    later = parsedate_to_datetime(response.headers["retry-after"]).timestamp() - time.time()
    assert 55 < later <= 61


def test_html(server, client):
    server.fault("html")
    response = client.get("get_contact", **CONTACT)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("status", [None, 301, 307, 308])
def test_redirect(server, client, status):
    server.fault("redirect", "create_contact", status=status, location="http://127.0.0.1:1/elsewhere")
    response = client.post("create_contact", **NEW)
    assert response.status_code == (status or 302)
    assert response.headers["location"] == "http://127.0.0.1:1/elsewhere"
    assert not created(server)


def test_truncate(server, whole):
    server.fault("truncate", size=20)
    head, _, body = raw(server, "get_contact", **CONTACT).partition(b"\r\n\r\n")
    assert f"content-length: {len(whole)}".encode() in head.lower()
    assert body == whole[:20]


def test_truncate_to_half_takes_effect(server, client):
    server.fault("truncate", "create_contact")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        client.post("create_contact", **NEW)
    assert created(server)


def test_truncate_chunked(server, whole):
    server.fault("truncate_chunked", size=20)
    head, _, body = raw(server, "get_contact", **CONTACT).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    assert b"content-length" not in head.lower()
    assert body == b"14\r\n" + whole[:20] + b"\r\n"


def test_truncate_json_claims_to_be_whole(server, client, whole):
    server.fault("truncate_json", size=20)
    response = client.get("get_contact", **CONTACT)
    assert response.content == whole[:20]
    assert response.headers["content-length"] == "20"
    server.fault("truncate_json", size=10_000)
    assert client.get("get_contact", **CONTACT).content == whole


@pytest.mark.parametrize("body", ["null", "", "[]", "\ufeff{}", '{"status": "success"'])
def test_body(server, client, body):
    server.fault("body", body=body)
    response = client.get("get_contact", **CONTACT)
    assert response.status_code == 200
    assert response.content == body.encode()
    assert response.headers["content-length"] == str(len(body.encode()))


def test_byte_order_mark(server, client, whole):
    server.fault("bom")
    assert client.get("get_contact", **CONTACT).content == b"\xef\xbb\xbf" + whole


def test_notice(server, client, whole):
    server.fault("notice")
    response = client.get("get_contact", **CONTACT)
    assert response.content.startswith(b"<br />\n<b>Notice</b>")
    assert response.content.endswith(b"<br />\n" + whole)
    server.fault("notice", body="Warning: x\n")
    assert client.get("get_contact", **CONTACT).content == b"Warning: x\n" + whole


def test_gzip(server, client, whole):
    server.fault("gzip")
    response = client.session.get(
        f"{server.base_url}/get_contact",
        params={**client.key, **CONTACT},
        headers={"accept-encoding": "identity"},
        stream=True,
        timeout=5,
    )
    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(response.raw.read(decode_content=False)) == whole


def test_chunked(server, client, whole):
    server.fault("chunked")
    response = client.get("get_contact", **CONTACT)
    assert response.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in response.headers
    assert response.content == whole


# Not "interim": a plain client takes the answer behind it for that of its next request.
@pytest.mark.parametrize(
    "kind", [kind for kind in FaultKind if kind not in (FaultKind.STATUS, FaultKind.INTERIM)]
)
def test_server_is_well_after_every_kind(server, client, whole, kind):
    server.fault(kind)
    with contextlib.suppress(requests.RequestException):
        client.get("get_contact", **CONTACT)
    assert client.get("get_contact", **CONTACT).content == whole
    assert [entry.fault for entry in server.requests("get_contact")] == [None, kind.value, None]


@pytest.mark.parametrize("status", [None, 100, 102, 199])
def test_interim_answer_comes_before_the_whole_one(server, client, status):
    whole = client.get("get_contact", **CONTACT).content
    server.fault("interim", "get_contact", status=status)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        query = f"api_key={server.api_key}&contact_id=1"
        request = f"GET /api/get_contact/?{query} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    interim, head, body = received.split(b"\r\n\r\n", 2)
    assert interim.startswith(f"HTTP/1.1 {status or 103} ".encode())
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == whole


def test_write_with_an_interim_answer_takes_effect(server, client):
    server.fault("interim", "create_contact")
    with contextlib.suppress(requests.RequestException):
        client.post("create_contact", **NEW)
    assert created(server)


@pytest.mark.parametrize(
    ("code", "text", "is_transient"),
    [
        (613, "(#613) Calls to this api have exceeded the rate limit.", True),
        (190, "(#190) Error validating access token: Session has expired.", False),
        (999, "(#999) An unknown error has occurred.", False),
    ],
)
def test_facebook_error(server, client, code, text, is_transient):
    server.fault("facebook_error", "create_contact", code=code)
    answer = client.write("create_contact", **NEW)
    assert answer["status"] == "error"
    message = answer["message"]
    assert (message["message"], message["code"], message["is_transient"]) == (text, code, is_transient)
    server.fault("facebook_error", "create_contact", code=code, as_text=True)
    assert client.write("create_contact", **NEW) == {"status": "error", "message": text}
    assert not created(server)


def test_connection_is_kept_between_requests(server, client):
    for _ in range(3):
        client.get("get_flow_campaigns")
    assert len({entry.client_port for entry in server.requests()}) == 1


def test_small_answers_are_not_held_back(client):
    # The system would join a head and a body sent one after the other, each time 40 ms late.
    client.get("get_flow_campaigns")
    assert min(client.get("get_flow_campaigns").elapsed.total_seconds() for _ in range(30)) < 0.03


class TestLargeCampaign:
    @pytest.fixture
    def server(self, large_server):
        large_server.reset()
        return large_server

    def read(self, client, **options):
        return client.session.get(
            f"{client.server.base_url}/get_all_subscriber_flow_info/",
            params={**client.key, "flow_campaign_id": "100"},
            timeout=10,
            **options,
        )

    @pytest.mark.parametrize("kind", [None, "chunked", "gzip"])
    def test_whole(self, server, client, kind):
        if kind:
            server.fault(kind)
        response = self.read(client)
        assert ("content-length" in response.headers) == (kind is None)
        data = json.loads(response.content)["data"]
        assert len(data) == 10_000
        subscriber_id, answers = list(data.items())[7777]
        single = client.read(
            "get_single_subscriber_flow_info", flow_campaign_id="100", subscriber_id=subscriber_id
        )
        assert single == {"id": "100", "flow_name": "Large campaign", "data": answers}
        info = client.read("subscriber_information", subscriber_id=subscriber_id)
        assert info["subscriber_info"]["subscriber_id"] == subscriber_id

    @pytest.mark.parametrize("kind", ["truncate", "truncate_chunked"])
    def test_cut_off(self, server, client, kind):
        server.fault(kind, size=3_000_000)
        received = until_cut_off(self.read(client, stream=True))
        assert 2_900_000 <= len(received) <= 3_000_000

    def test_client_that_closes_early(self, client):
        response = self.read(client, stream=True)
        next(response.iter_content(10))
        response.close()
        assert client.get("get_flow_campaigns").status_code == 200
