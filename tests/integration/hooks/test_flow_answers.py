"""Streaming the answers of a campaign."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import deque

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotNotFoundError,
    CyTechBotResponseError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.sandbox.server import SandboxServer

LARGE = 100_000


def rows_of(answers):
    return [
        {"subscriber_id": subscriber_id, **answer}
        for subscriber_id, items in answers["data"].items()
        for answer in items
    ]


@pytest.mark.parametrize("quirks", ["none", "all"])
@pytest.mark.parametrize("fault", [None, "gzip", "chunked", "bom", "notice"])
def test_rows_are_what_the_whole_answer_holds(fault, quirks, sandbox, hook):
    sandbox.quirks = quirks
    whole = hook.get_flow_answers(1)
    if fault:
        sandbox.fault(fault, "get_all_subscriber_flow_info")
    rows = list(hook.iter_flow_answers(1))
    assert [
        {name: row[name] for name in ("subscriber_id", "question_id", "question", "answer")} for row in rows
    ] == (rows_of(whole))
    assert {(row["flow_campaign_id"], row["flow_name"]) for row in rows} == {("1", "Product feedback")}
    (extracted_at,) = {row["extracted_at"] for row in rows}
    assert extracted_at.endswith("+00:00")


@pytest.mark.parametrize("quirks", ["none", "all"])
def test_a_campaign_that_nobody_answered(quirks, sandbox, hook):
    sandbox.quirks = quirks
    assert list(hook.iter_flow_answers(2)) == []
    with hook.open_flow_answers(2) as stream:
        assert list(stream) == []
        assert stream.flow_name == "Spring ride: sign up"
        assert stream.flow_name == "Spring ride: sign up"


def test_a_name_that_is_not_there_is_looked_up_once(fault_server, answers, connect):
    data = {str(each): [{"question_id": "1", "question": "Q", "answer": "A"}] for each in range(1, 9)}
    fault_server.will(
        answers.ok(json.dumps({"id": "1", "flow_name": None, "data": data})),
        answers.ok(json.dumps({"id": "1", "flow_name": None, "questions": []})),
    )
    rows = list(connect(fault_server.base_url).iter_flow_answers(1))
    assert len(rows) == 8
    assert {row["flow_name"] for row in rows} == {None}
    assert len(fault_server.requests) == 2


def test_an_unknown_campaign(hook, sandbox, holds_no_key):
    with pytest.raises(CyTechBotNotFoundError) as caught:
        list(hook.iter_flow_answers(999))
    assert sandbox.journal.received("get_all_subscriber_flow_info") == 1
    holds_no_key(caught.value)


@pytest.mark.parametrize("status", [200, 404])
def test_a_web_page(status, sandbox, hook, holds_no_key):
    sandbox.fault("html", "get_all_subscriber_flow_info", times=-1, status=status)
    with pytest.raises(CyTechBotResponseError, match='titled "Login"') as caught:
        list(hook.iter_flow_answers(1))
    holds_no_key(caught.value)


def test_a_fault_before_the_first_byte_is_repeated(sandbox, hook):
    sandbox.fault("reset_before", "get_all_subscriber_flow_info")
    sandbox.fault("status", "get_all_subscriber_flow_info", status=503)
    assert len(list(hook.iter_flow_answers(1))) == 24
    assert sandbox.journal.received("get_all_subscriber_flow_info") == 3


def body(subscribers=5000):
    data = {
        str(each): [{"question_id": "1", "question": "How?", "answer": f"So {each}"}]
        for each in range(1, subscribers + 1)
    }
    return json.dumps({"id": "1", "flow_name": "F", "data": data}).encode()


@pytest.mark.parametrize("end", ["reset", "close"])
@pytest.mark.parametrize("framing", ["length", "chunked", "until the close", "gzip", "JSON"])
def test_a_cut_in_the_body(framing, end, fault_server, answers, connect, holds_no_key):
    """Rows came before it; the error states that they are not all."""
    sent = body()[:200_000]
    head = {
        "length": b"Content-Length: 999999\r\n\r\n",
        "chunked": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(sent),
        "until the close": b"\r\n",
        "gzip": b"Content-Encoding: gzip\r\n\r\n",
        "JSON": b"Content-Length: 200000\r\n\r\n",
    }[framing]
    if framing == "gzip":
        sent = gzip.compress(body(50_000))[:200_000]

    def answer(connection, server):
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + sent)
        if end == "reset":
            server.stopping.wait(0.3)  # else the reset would overtake the bytes
        return getattr(answers, end)(connection, server)

    fault_server.will(answer)
    seen = deque()
    with pytest.raises(CyTechBotTransportError) as caught:
        seen.extend(connect(fault_server.base_url).iter_flow_answers(1))
    assert 100 < len(seen) < 50_000
    assert len(fault_server.requests) == 1
    assert str(caught.value).startswith(
        "GET get_all_subscriber_flow_info/ (connection 'cytechbot_default'): "
    )
    assert not caught.value.reason.endswith("..")
    holds_no_key(caught.value)


def test_a_status_that_is_none_of_the_apis_but_a_success(fault_server, answers, connect):
    fault_server.will(answers.ok(body(3), status="201 Created"))
    assert len(list(connect(fault_server.base_url).iter_flow_answers(1))) == 3


SCRIPT = """
import resource
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
hook = CyTechBotHook()
list(hook.iter_flow_answers(1))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
with hook.open_flow_answers(100) as stream:
    rows = sum(1 for _ in stream.rows())
print(rows, stream.bytes_read, peak() - before)
"""


def test_memory_does_not_grow_with_the_campaign(connect):
    with SandboxServer(subscribers=LARGE) as server:
        connect(server.base_url, server.api_key)
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=200, check=True
        )
    rows, bytes_read, kibibytes = map(int, done.stdout.split()[-3:])
    assert rows >= LARGE
    assert bytes_read > 20_000_000
    assert kibibytes < 12_000, f"{kibibytes} KiB more at the peak"
