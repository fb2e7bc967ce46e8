"""Answers that are not UTF-8: read if the charset is certain, refused if characters would be lost."""

from __future__ import annotations

import asyncio
import json

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotResponseError
from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook

NAME, ANSWER = "Enquête Ω5", "naïve café Ω \U0001f44d"
LATIN_NAME, LATIN_ANSWER = "Enquête 5", "naïve café, ñandú, “quoted” €"


def campaign(name, answer):
    data = {
        str(each): [{"question_id": "1", "question": name, "answer": f"{answer} {each}"}]
        for each in range(1, 3000)
    }
    return json.dumps({"id": "1", "flow_name": name, "data": data}, ensure_ascii=False, separators=(",", ":"))


async def read_async():
    async with CyTechBotAsyncHook() as hook, hook.open_flow_answers(1) as stream:
        return {subscriber_id: answers[0]["answer"] async for subscriber_id, answers in stream}


def read(hook):
    with hook.open_flow_answers(1) as stream:
        return {subscriber_id: answers[0]["answer"] for subscriber_id, answers in stream}


def read_whole(hook):
    answers = hook.get_flow_answers(1)["data"]
    return {subscriber_id: items[0]["answer"] for subscriber_id, items in answers.items()}


READERS = {"stream": read, "whole": read_whole, "async": lambda hook: asyncio.run(read_async())}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("application/json; charset=ISO-8859-1", "utf-8"),
        ("application/json", "utf-16"),
        ("application/json; charset=utf-16", "utf-16-be"),
    ],
)
def test_any_character(content_type, charset, reader, fault_server, answers, connect):
    fault_server.will(answers.ok(campaign(NAME, ANSWER).encode(charset), f"Content-Type: {content_type}"))
    found = reader(connect(fault_server.base_url))
    assert found == {str(each): f"{ANSWER} {each}" for each in range(1, 3000)}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("charset", ["iso-8859-1", "Windows-1252"])
def test_a_named_charset(charset, reader, fault_server, answers, connect):
    body = campaign(LATIN_NAME, LATIN_ANSWER).encode("cp1252")
    fault_server.will(answers.ok(body, f"Content-Type: application/json; charset={charset}"))
    found = reader(connect(fault_server.base_url))
    assert found == {str(each): f"{LATIN_ANSWER} {each}" for each in range(1, 3000)}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    "content_type", ["application/json", "text/html; charset=utf-8", "a; charset=koi8-r"]
)
@pytest.mark.parametrize("wrong", ["1", "1500", "2999", "name"])
def test_no_character_is_lost_in_silence(
    wrong, content_type, reader, fault_server, answers, connect, holds_no_key
):
    body = campaign("name", "answer").encode()
    old = b'"flow_name":"name"' if wrong == "name" else f'"answer {wrong}"'.encode()
    assert body.count(old) == 1
    fault_server.will(answers.ok(body.replace(old, old[:-1] + b'\xe9"'), f"Content-Type: {content_type}"))
    with pytest.raises(CyTechBotResponseError, match="has text that is not UTF-8") as caught:
        reader(connect(fault_server.base_url))
    holds_no_key(caught.value)
    assert len(fault_server.requests) == 1


def test_a_refusal_keeps_its_meaning(fault_server, answers, connect):
    fault_server.will(answers.ok(b'{"status":"error","message":"le num\xe9ro existe"}'))
    with pytest.raises(CyTechBotError, match='"le num\ufffdro existe"'):
        connect(fault_server.base_url).call(endpoints.CREATE_CONTACT_GROUP, name="R")


def test_a_create_keeps_its_id(fault_server, answers, connect):
    fault_server.will(answers.ok(b'{"status":"success","message":"cr\xe9\xe9","contact_type_id":7}'))
    assert connect(fault_server.base_url).call(endpoints.CREATE_CONTACT_GROUP, name="R") == "7"
