"""The key, hunted where a server repeats it, where logs are written, and where Airflow masks."""

from __future__ import annotations

import html
import json
import logging
import subprocess
import sys
from functools import partial
from urllib.parse import quote, quote_plus

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotError

SPELLINGS = {
    "raw": lambda key: key,
    "percent-encoded": lambda key: quote(key, safe=""),
    "with plus": quote_plus,
    "with lower-case digits": lambda key: "".join(
        each.lower() if each.startswith("%") else each for each in _parts(quote(key, safe=""))
    ),
    "with a slash": quote,
    "encoded twice": lambda key: quote(quote(key, safe=""), safe=""),
    "in HTML": html.escape,
    "in JSON": lambda key: json.dumps(key)[1:-1],
    "in PHP's JSON": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
}


def _parts(text):
    first, *others = text.split("%")
    yield first
    for each in others:
        yield f"%{each[:2]}"
        yield each[2:]


@pytest.mark.parametrize("spelling", SPELLINGS)
class TestAServerThatRepeatsTheKey:
    def hunt(self, server, answer, connect, holds_no_key):
        server.will(answer)
        hook = connect(server.base_url, max_retries=1)
        for send in (
            hook.get_packages,
            lambda: hook.create_contact_group(name="Riders"),
            lambda: hook.update_contact(1, first_name="Ann"),
            lambda: hook.delete_contact(1),
            lambda: list(hook.iter_flow_answers(1)),
        ):
            with pytest.raises(CyTechBotError) as caught:
                send()
            assert "***" in str(caught.value)
            holds_no_key(caught.value)
        works, sentence = hook.test_connection()
        assert not works
        assert "***" in sentence

    def test_in_a_refusal(self, spelling, fault_server, answers, connect, key, holds_no_key):
        message = f"The key {SPELLINGS[spelling](key)} is no good"
        answer = answers.ok(json.dumps({"status": "error", "message": message}))
        self.hunt(fault_server, answer, connect, holds_no_key)

    def test_in_a_page(self, spelling, fault_server, answers, connect, key, holds_no_key):
        page = f"<html><title>No {SPELLINGS[spelling](key)} here</title></html>"
        for status in ("200 OK", "403 Forbidden"):
            self.hunt(fault_server, answers.ok(page, status=status), connect, holds_no_key)

    def test_in_a_redirect(self, spelling, fault_server, answers, connect, key, holds_no_key):
        location = f"https://other.example/{SPELLINGS[spelling](key)}/?api_key={quote_plus(key)}"
        head = f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n"
        answer = answers.raw(head.encode("latin-1"), goes_on=True)  # as a client reads it
        self.hunt(fault_server, answer, connect, holds_no_key)


def test_repr_of_hook_settings_and_session(fault_server, connect, key):
    hook = connect(fault_server.base_url, proxy="http://user:pass-word@127.0.0.1:1")
    session = hook.get_conn()
    for shown in (
        repr(hook),
        str(hook),
        repr(hook.settings),
        str(hook.settings),
        repr(session),
        repr(session.headers),
    ):
        assert key not in shown
        assert "pass-word" not in shown


def test_no_error_of_the_settings_shows_the_key(connect, holds_no_key, key):
    for host, extra in (
        ("ftp://x", {}),
        ("http://cytechbot.com", {}),
        ("cytechbot.com", {"timeout": "soon"}),
        ("cytechbot.com", {"proxy": f"socks5://user:{quote(key, safe='')}@x"}),
        (f"https://{quote(key, safe='')}@cytechbot.com", {}),
    ):
        hook = connect(host, **extra)
        calls = [
            hook.get_conn,
            hook.get_packages,
            partial(list, hook.iter_flow_answers(1)),
            partial(getattr, hook, "settings"),
        ]
        for send in calls:
            with pytest.raises(CyTechBotError) as caught:
                send()
            holds_no_key(caught.value)
        assert not hook.test_connection()[0]


def test_urllib3_at_debug_logs_the_call_without_the_key(fault_server, connect, caplog):
    connect(fault_server.base_url).get_flow_campaigns()
    assert '"GET /api/get_flow_campaigns/?api_key=*** HTTP/1.1" 200' in caplog.text


SCRIPT = """
import logging, sys
from airflow_provider_cytechbot.hooks import cytechbot
from airflow_provider_cytechbot.transport import retry
retry.FIRST_WAIT = 0.01
hook = cytechbot.CyTechBotHook()
hook.settings
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, force=True)
hook.get_flow_campaigns()
from airflow.sdk.log import redact
key = hook.settings.api_key
from urllib.parse import quote, quote_plus
print(redact(f"masked: {key} {quote(key, safe='')} {quote_plus(key)}"))
hook.get_contact(10 ** 9)
"""


def test_a_process_with_root_handlers_at_debug(fault_server, answers, connect, key):
    """Nothing on either stream of a fresh process, traceback of an uncaught error included."""
    connect(fault_server.base_url)
    fault_server.will(answers.ok("[]"), answers.ok("<title>Sorry</title>", status="500 Oops"))
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert "CyTechBotTransportError: GET get_contact/ (connection 'cytechbot_default')" in done.stderr
    assert "urllib3.connectionpool" in done.stdout + done.stderr
    assert "During handling of" not in done.stderr
    assert "masked: *** *** ***" in done.stdout
    reason = done.stdout + done.stderr
    for spelling in SPELLINGS.values():
        assert spelling(key) not in reason


def test_logging_is_really_on():
    assert logging.getLogger("urllib3.connectionpool").isEnabledFor(logging.DEBUG)
