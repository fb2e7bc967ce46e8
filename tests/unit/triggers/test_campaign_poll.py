from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.flow_progress import Progress, Questionnaire
from airflow_provider_cytechbot.triggers import campaign_poll
from airflow_provider_cytechbot.triggers.campaign_poll import LARGE_COUNT, LARGE_TEXT, joined_poll
from airflow_provider_cytechbot.triggers.waiters import EventWaiter, PollSchedule, Waiter

QUESTION = "How?"


class Hook:
    """A hook with canned answers."""

    questions = (QUESTION,)
    answers = (("11", [{"question_id": "1", "question": QUESTION, "answer": "Well"}]),)
    pause = 0.0
    opened = 0

    def __init__(self, cytechbot_conn_id):
        self.settings = SimpleNamespace(timeout=0.01)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        return None

    async def call(self, endpoint, **fields):
        if endpoint is endpoints.GET_FLOW_CAMPAIGN:
            return {"id": "1", "flow_name": "Campaign", "questions": list(self.questions)}
        return {
            "id": "1",
            "flow_name": "Campaign",
            "data": dict(self.answers).get(fields["subscriber_id"], []),
        }

    @asynccontextmanager
    async def open_flow_answers(self, flow_campaign_id, max_retries):
        type(self).opened += 1
        yield Stream(self)


class Stream:
    flow_name = "Campaign"

    def __init__(self, hook):
        self.hook = hook

    async def __aiter__(self):
        for each in self.hook.answers:
            await asyncio.sleep(self.hook.pause)
            yield each


class Recorder(Waiter):
    """A waiter that keeps what it receives."""

    def __init__(self, **options):
        super().__init__(PollSchedule(0.05), **options)
        self.results, self.errors, self.aborted = [], [], []
        self.changed = asyncio.Event()

    def on_result(self, poll_result):
        self.results.append(poll_result)
        self.changed.set()

    def on_error(self, error):
        self.errors.append(error)
        self.changed.set()

    def abort(self, error):
        self.aborted.append(error)
        self.changed.set()


class Broken(Recorder):
    def on_result(self, poll_result):
        raise TypeError("'>=' not supported")

    def on_error(self, error):
        raise KeyError("text")


@pytest.fixture
def hook(monkeypatch):
    from airflow_provider_cytechbot.triggers import waiters

    monkeypatch.setattr(waiters, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(waiters, "MAX_BACKOFF", 0.05)
    hook = type("Hook", (Hook,), {})
    monkeypatch.setattr(campaign_poll, "_hook_class", lambda: hook)
    return hook


async def joined(waiter, until, extra=()):
    """Keep waiters in the poll until a condition holds."""
    async with joined_poll("conn", "1", waiter):
        for each in extra:
            await each.__aenter__()
        try:
            while not until():  # noqa: ASYNC110 (no event is set for it)
                await asyncio.sleep(0.01)
        finally:
            for each in extra:
                await each.__aexit__(None, None, None)


def test_passes_counts_and_the_needed_progress(run, hook):
    async def wait():
        waiter = Recorder(subscriber_id=None)
        await joined(waiter, lambda: waiter.results)
        return waiter.results[0]

    result = run(wait())
    assert (result.counts.answered, result.counts.completed, result.flow_name) == (1, 1, "Campaign")
    assert result.progress == {}


def test_an_event_waiter_gets_all_subscribers(run, hook):
    async def wait():
        waiter = EventWaiter(PollSchedule(0.05), Progress.ANSWERED)
        async with joined_poll("conn", "1", waiter):
            return await waiter.next()

    assert run(wait()).subscriber_ids == ["11"]


def test_an_exception_in_one_waiter_ends_that_waiter_only(run, hook, caplog):
    async def wait():
        good, broken = Recorder(), Broken()
        await joined(good, lambda: len(good.results) > 2, [joined_poll("conn", "1", broken)])
        return good, broken

    good, broken = run(wait())
    assert good.errors == good.aborted == []
    assert len(broken.aborted) == 1
    assert "TypeError" in str(broken.aborted[0])
    assert "raised TypeError and is ended" in caplog.text


def test_an_exception_while_an_error_is_handled_ends_that_waiter_only(run, hook, monkeypatch):
    monkeypatch.setattr(campaign_poll, "_hook_class", lambda: 1 / 0)

    async def wait():
        good, broken = Recorder(), Broken()
        await joined(good, lambda: len(good.errors) > 1, [joined_poll("conn", "1", broken)])
        return broken

    assert len(run(wait()).aborted) == 1


def test_a_poll_with_broken_waiters_only_is_stopped(run, hook):
    async def wait():
        first, second = Broken(), Broken()
        await joined(first, lambda: first.aborted and second.aborted, [joined_poll("conn", "1", second)])

    run(wait())  # it also checks that no poll is left


@pytest.mark.parametrize("subscriber_id", [None, "11"])
def test_a_poll_that_never_completes_counts_as_failed(run, hook, monkeypatch, caplog, subscriber_id):
    monkeypatch.setattr(campaign_poll, "MIN_POLL_LIMIT", 0.1)
    hook.answers = Hook.answers * 10_000
    hook.pause = 0.02  # like a server that sends a byte now and then
    if subscriber_id:

        async def call(self, endpoint, **fields):
            await asyncio.sleep(60)

        hook.call = call

    async def wait():
        waiter = Recorder(subscriber_id=subscriber_id)
        await joined(waiter, lambda: len(waiter.errors) > 1)
        return waiter.errors

    with caplog.at_level(logging.WARNING):
        errors = run(wait())
    assert all(error.retryable for error in errors)
    assert "was not complete after" in str(errors[0])
    assert "was not complete after" in caplog.text


@pytest.mark.parametrize(
    ("interval", "timeout", "limit"), [(60, 60, 600), (3600, 60, 4 * 3600), (60, 900, 3600)]
)
def test_the_limit_grows_with_interval_and_timeout(hook, interval, timeout, limit):
    async def computed():
        poll = campaign_poll.CampaignPoll("conn", "1")
        waiter = Recorder()
        waiter.schedule = PollSchedule(interval)
        poll.join(waiter)
        try:
            return poll.time_limit(timeout)
        finally:
            await poll.stop()

    assert asyncio.run(computed()) == limit


@pytest.mark.parametrize(
    ("questions", "answers"),
    [
        ([QUESTION], [(QUESTION, "x" * (LARGE_TEXT + 1))]),
        ([QUESTION], [("q" * (LARGE_TEXT + 1), "x")]),
        ([QUESTION], [(QUESTION, "x")] * (LARGE_COUNT + 1)),
        ([QUESTION, "q" * (LARGE_TEXT + 1)], [(QUESTION, "x")]),
        ([f"q{number}" for number in range(3 * LARGE_COUNT)], [("q1", "x")]),
    ],
)
def test_large_texts_are_evaluated_in_a_thread(hook, monkeypatch, questions, answers):
    threads, real = [], Questionnaire.progress

    def progress(self, answers):
        threads.append(threading.current_thread())
        return real(self, answers)

    monkeypatch.setattr(Questionnaire, "progress", progress)
    hook.questions = questions

    async def evaluate(given):
        session = campaign_poll._Session(hook("conn"), "1")
        await session.read_questions()
        return await session.progress(
            [{"question_id": str(n), "question": q, "answer": a} for n, (q, a) in enumerate(given)]
        )

    assert asyncio.run(evaluate(answers)) >= Progress.ANSWERED
    assert threads != [threading.main_thread()]


def test_small_answers_are_evaluated_in_the_loop(hook, monkeypatch):
    threads = []
    monkeypatch.setattr(
        Questionnaire, "progress", lambda self, answers: threads.append(threading.current_thread())
    )

    async def evaluate():
        session = campaign_poll._Session(hook("conn"), "1")
        await session.read_questions()
        await session.progress([{"question_id": "1", "question": QUESTION, "answer": None}])

    asyncio.run(evaluate())
    assert threads == [threading.main_thread()]
