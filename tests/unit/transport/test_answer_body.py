from __future__ import annotations

from contextlib import suppress

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.transport import answer_body
from airflow_provider_cytechbot.transport.answer_body import AnswerBody
from airflow_provider_cytechbot.transport.answer_limits import ERROR_PAGE_BYTES, MAX_TIMEOUTS
from airflow_provider_cytechbot.transport.settings import Settings

CALL = build(endpoints.CREATE_CONTACT_GROUP, name="Riders")
SETTINGS = Settings("mine", "https://cytechbot.com/api", "1-the-api-key", timeout=60)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(answer_body, "time", clock)
    return clock


@pytest.fixture
def limit(monkeypatch):
    monkeypatch.setattr(answer_body, "max_bytes", lambda call: 5)


def test_blocks_are_appended_up_to_the_limit(limit):
    body = AnswerBody(CALL, SETTINGS, 200)
    assert body.add(b"abc")
    assert body.add(b"de")
    with pytest.raises(CyTechBotTransportError, match="the answer is larger than"):
        body.add(b"f")
    assert body.content == b"abcde"


@pytest.mark.parametrize("status", [301, 404, 503])
def test_the_beginning_of_an_error_page_is_kept(status):
    body = AnswerBody(CALL, SETTINGS, status)
    assert body.add(b"<title>")
    assert not body.add(b"x" * ERROR_PAGE_BYTES)
    assert len(body.content) == ERROR_PAGE_BYTES


def test_a_body_has_a_deadline(clock):
    body = AnswerBody(CALL, SETTINGS, 200)
    clock.now = MAX_TIMEOUTS * 60.0
    assert body.add(b"a")
    clock.now += 1
    with pytest.raises(CyTechBotTransportError, match="slow"):
        body.add(b"b")


@pytest.mark.parametrize(("status", "is_ignored"), [(200, False), (201, False), (302, True), (500, True)])
def test_only_an_error_page_may_end_early(status, is_ignored):
    ended_early = CyTechBotTransportError("the answer ended early.", "")

    def read():
        with suppress(*AnswerBody(CALL, SETTINGS, status).ignored_errors):
            raise ended_early
        return "used"

    if is_ignored:
        assert read() == "used"
    else:
        with pytest.raises(CyTechBotTransportError):
            read()
