"""The asynchronous hook over real HTTP: it reports faults as the synchronous one does, and shows no key."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotSettingsError,
)
from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook

from .tls import Authority, tunnel_to, without_tls

CAMPAIGN = '{"id":"1","flow_name":"Feedback","questions":["How?"]}'
ANSWERS = '{"id":"1","flow_name":"Feedback","data":{"31":[{"id":"4","question":"How?","answer":"So"}]}}'


async def send():
    async with CyTechBotAsyncHook() as hook:
        return await hook.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id="1")


async def stream():
    async with CyTechBotAsyncHook() as hook, hook.open_flow_answers("1") as answers:
        return [subscriber_id async for subscriber_id, _ in answers]


@pytest.fixture
def same_error(holds_no_key):
    """Call both hooks, check that they fail alike, and return the error's text."""

    def check(hook):
        with pytest.raises(CyTechBotError) as sync:
            hook.get_flow_campaign("1")
        with pytest.raises(CyTechBotError) as asynchronous:
            asyncio.run(send())
        assert type(asynchronous.value).__name__ == type(sync.value).__name__
        for attribute in ("hint", "request", "was_sent", "was_rejected", "is_transient"):
            assert getattr(asynchronous.value, attribute, None) == getattr(sync.value, attribute, None)
        holds_no_key(asynchronous.value)
        return str(asynchronous.value)

    return check


def test_sends_what_the_synchronous_hook_sends(fault_server, answers, connect, key):
    fault_server.will(answers.ok(CAMPAIGN))
    hook = connect(fault_server.base_url)
    assert asyncio.run(send()) == hook.get_flow_campaign("1")
    first, second = fault_server.requests
    assert (first.verb, first.target) == (second.verb, second.target)
    assert first.query == {"api_key": key, "flow_campaign_id": "1"}
    assert first.headers["user-agent"] == second.headers["user-agent"]


def test_repeats_by_the_policy(fault_server, answers, connect):
    fault_server.will(answers.ok(status="503 Busy"), answers.close, answers.ok(CAMPAIGN))
    connect(fault_server.base_url)
    assert asyncio.run(send())["flow_name"] == "Feedback"


def test_streams(fault_server, answers, connect):
    fault_server.will(answers.ok(ANSWERS))
    connect(fault_server.base_url)
    assert asyncio.run(stream()) == ["31"]


def test_only_what_can_be_checked_is_requested(fault_server, answers, connect):
    compressed = gzip.compress(CAMPAIGN.encode()), gzip.compress(ANSWERS.encode())
    fault_server.will(*(answers.ok(body, "Content-Encoding: gzip") for body in compressed))
    connect(fault_server.base_url)
    assert asyncio.run(send())["flow_name"] == "Feedback"
    assert asyncio.run(stream()) == ["31"]
    assert [request.headers["accept-encoding"] for request in fault_server.requests] == ["gzip", "gzip"]


def test_a_stream_whose_compression_has_no_end(fault_server, answers, connect):
    fault_server.will(answers.ok(gzip.compress(ANSWERS.encode())[:-8], "Content-Encoding: gzip"))
    connect(fault_server.base_url)
    with pytest.raises(CyTechBotError, match="compression ends early"):
        asyncio.run(stream())


@pytest.mark.parametrize(
    "fault",
    [
        lambda answers: answers.ok("busy", status="503 Busy"),
        lambda answers: answers.ok("moved", "Location: /elsewhere?api_key=x", status="302 Found"),
        lambda answers: answers.ok("<title>Login</title>"),
        lambda answers: answers.reset,
        lambda answers: answers.close,
        lambda answers: answers.hang,
        lambda answers: answers.ok('{"id":"1"'),
        lambda answers: answers.ok("garbage", "Content-Encoding: gzip"),
        lambda answers: answers.ok(gzip.compress(CAMPAIGN.encode())[:-8], "Content-Encoding: gzip"),
        lambda answers: answers.ok(CAMPAIGN, "Content-Encoding: br"),
        lambda answers: answers.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", goes_on=False),
        lambda answers: answers.ok('{"status":"error","message":"API Key invalid"}'),
    ],
)
def test_each_fault_is_the_same_error_for_both_hooks(fault_server, answers, connect, same_error, fault):
    fault_server.will(fault(answers))
    same_error(connect(fault_server.base_url, max_retries=0, timeout=0.5))


def test_a_stream_that_is_cut_off(fault_server, answers, connect, holds_no_key):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(ANSWERS) + 5}\r\n\r\n{ANSWERS[:-9]}"
    fault_server.will(answers.raw(head.encode()))
    connect(fault_server.base_url)
    with pytest.raises(CyTechBotError, match="cut off") as caught:
        asyncio.run(stream())
    holds_no_key(caught.value)


def test_nobody_is_there(connect, holds_no_key):
    connect("http://127.0.0.1:9", max_retries=0)
    with pytest.raises(CyTechBotError, match="no connection") as caught:
        asyncio.run(send())
    assert not caught.value.was_sent
    holds_no_key(caught.value)


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path):
        return Authority(tmp_path)

    @pytest.fixture
    def server(self, authority, start_server, answers):
        server = start_server(authority.server("127.0.0.1"))
        server.will(answers.ok(CAMPAIGN))
        return server

    def test_an_unknown_authority(self, server, connect, same_error):
        assert "is not trusted" in same_error(connect(server.base_url))
        assert not server.requests

    @pytest.mark.parametrize(
        ("host", "days", "reason"),
        [("example.com", 1, "IP address mismatch"), ("127.0.0.1", -1, "certificate has expired")],
    )
    def test_a_wrong_host_and_an_expired_certificate(
        self, host, days, reason, authority, start_server, connect, same_error
    ):
        server = start_server(authority.server(host, days))
        assert reason in same_error(connect(server.base_url, ca_bundle=authority.bundle))
        assert not server.requests

    def test_ca_bundle(self, authority, server, connect):
        connect(server.base_url, ca_bundle=authority.bundle)
        assert asyncio.run(send())["flow_name"] == "Feedback"

    def test_the_bundle_of_the_environment(self, authority, server, connect, monkeypatch):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.bundle)
        connect(server.base_url)
        assert asyncio.run(send())["flow_name"] == "Feedback"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
        with pytest.raises(CyTechBotSettingsError, match="variable REQUESTS_CA_BUNDLE"):
            asyncio.run(send())

    @pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_a_file_of_junk_in_the_environment(self, name, connect, monkeypatch, tmp_path):
        (tmp_path / "junk.pem").write_text("junk")
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        monkeypatch.setenv(name, str(tmp_path / "junk.pem"))
        hook = connect("https://127.0.0.1:1")
        with pytest.raises(CyTechBotSettingsError, match="is not a PEM file of certificates"):
            hook.get_flow_campaign("1")
        with pytest.raises(CyTechBotSettingsError, match="is not a PEM file of certificates"):
            asyncio.run(send())
        with pytest.raises(CyTechBotSettingsError, match="'cytechbot_default'"):
            connect("https://127.0.0.1:1").get_conn()

    def test_verify_tls_false(self, authority, start_server, answers, connect):
        server = start_server(authority.server("example.com", -1))
        server.will(answers.ok(CAMPAIGN))
        connect(server.base_url, verify_tls=False)
        assert asyncio.run(send())["flow_name"] == "Feedback"

    def test_a_server_that_speaks_no_tls(self, cytechbot_sandbox, connect, same_error):
        host = cytechbot_sandbox.base_url.replace("http:", "https:")
        assert "Does the host speak https" in same_error(connect(host, max_retries=0))

    def test_a_create_that_was_sent_is_ambiguous_when_its_answer_is_not_tls(
        self, authority, start_server, connect, holds_no_key
    ):
        async def create():
            async with CyTechBotAsyncHook() as hook:
                await hook.call(endpoints.CREATE_CONTACT_GROUP, name="Riders")

        server = start_server(authority.server("127.0.0.1"))
        server.will(without_tls(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        connect(server.base_url, ca_bundle=authority.bundle)
        with pytest.raises(CyTechBotAmbiguousWriteError) as caught:
            asyncio.run(create())
        assert len(server.requests) == 1
        holds_no_key(caught.value)


class TestProxies:
    @pytest.fixture
    def proxy(self, start_server, answers):
        proxy = start_server()
        proxy.will(answers.ok(CAMPAIGN))
        return proxy

    def test_of_the_connection(self, fault_server, proxy, connect, key):
        connect(fault_server.base_url, proxy=f"http://user:pass-word@127.0.0.1:{proxy.port}")
        assert asyncio.run(send())["flow_name"] == "Feedback"
        (request,) = proxy.requests
        assert request.target.startswith(f"{fault_server.base_url}/get_flow_campaign_info/?")
        assert request.query["api_key"] == key
        assert request.headers["proxy-authorization"].startswith("Basic ")
        assert not fault_server.requests

    def test_of_the_environment_but_not_for_loopback(
        self, fault_server, answers, proxy, connect, monkeypatch
    ):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        fault_server.will(answers.ok(CAMPAIGN))
        connect(fault_server.base_url)
        asyncio.run(send())
        assert (len(fault_server.requests), len(proxy.requests)) == (1, 0)
        connect("http://bot.example/api", allow_http=True)
        asyncio.run(send())
        assert proxy.requests[0].target.startswith("http://bot.example/api/get_flow_campaign_info/?")

    def test_a_tunnel(self, start_server, answers, proxy, connect, tmp_path, key):
        authority = Authority(tmp_path)
        server = start_server(authority.server("bot.example"))
        server.will(answers.ok(CAMPAIGN))
        proxy.will(tunnel_to(server.port))
        connect("https://bot.example", proxy=f"http://127.0.0.1:{proxy.port}", ca_bundle=authority.bundle)
        assert asyncio.run(send())["flow_name"] == "Feedback"
        assert [request.target for request in proxy.requests] == ["bot.example:443"]
        assert [request.query["api_key"] for request in server.requests] == [key]

    def test_one_that_is_not_there(self, connect, same_error, caplog):
        hook = connect("https://bot.example", proxy="http://user:pass-word@127.0.0.1:1", max_retries=0)
        reason = same_error(hook)
        assert "the proxy could not be reached" in reason
        assert "pass-word" not in caplog.text + reason

    def test_one_whose_name_is_unknown(self, connect, same_error):
        hook = connect("https://bot.example", proxy="http://no-such-proxy.invalid:3128", max_retries=0)
        assert "the proxy could not be reached" in same_error(hook)

    def test_one_that_refuses_the_tunnel(self, answers, proxy, connect, same_error):
        proxy.will(answers.ok("", status="407 Proxy Authentication Required"))
        hook = connect("https://bot.example", proxy=f"http://127.0.0.1:{proxy.port}", max_retries=0)
        assert "would not connect to bot.example" in same_error(hook)


def test_two_event_loops_share_a_hook(fault_server, answers, connect):
    fault_server.will(answers.ok(CAMPAIGN))
    connect(fault_server.base_url)
    hook = CyTechBotAsyncHook()

    async def read():
        async with hook:
            return await hook.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id="1")

    async def read_in_both():
        async with hook:
            before = await hook.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id="1")
            beside = await asyncio.to_thread(asyncio.run, read())
            after = await hook.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id="1")
        return [before, beside, after]

    first, *others = [*asyncio.run(read_in_both()), asyncio.run(read())]
    assert first["flow_name"] == "Feedback"
    assert others == [first] * 3


def test_two_tasks_share_a_hook(fault_server, answers, connect):
    fault_server.will(answers.ok(CAMPAIGN))
    connect(fault_server.base_url)
    hook = CyTechBotAsyncHook()
    sessions = set()

    async def read(number):
        async with hook:
            sessions.update(hook.transport._sessions.values())
            await asyncio.sleep(0.02 * number)  # each leaves at another time
            found = await hook.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id="1")
            async with hook:
                pass
            return found, await hook.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id="1")

    async def read_all():
        return await asyncio.gather(*map(read, range(4)))

    found = [each for pair in asyncio.run(read_all()) for each in pair]
    assert [each["flow_name"] for each in found] == ["Feedback"] * 8
    assert all(session.closed for session in sessions)
    assert len(sessions) == 2


def test_a_hook_that_is_not_open_in_the_event_loop(fault_server, connect):
    connect(fault_server.base_url)
    hook = CyTechBotAsyncHook()

    async def call():
        await hook.call(endpoints.GET_FLOW_CAMPAIGNS)

    async def call_in_another():
        async with hook:
            await asyncio.to_thread(asyncio.run, call())

    for run in (call, call_in_another):
        with pytest.raises(RuntimeError, match="not open in this event loop: use it within 'async with"):
            asyncio.run(run())
    assert not fault_server.requests
