from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotAuthError,
    CyTechBotRequestError,
    CyTechBotResponseError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.bulk import pause, runner
from airflow_provider_cytechbot.bulk.ledger import Ledger
from airflow_provider_cytechbot.bulk.progress import Progress
from airflow_provider_cytechbot.bulk.resource import Change, PlannedWrite, Written
from airflow_provider_cytechbot.bulk.runner import Runner, concerns_every_row
from airflow_provider_cytechbot.bulk.state import Identity, RunState
from airflow_provider_cytechbot.transport import metrics

DONE = Written(True, "", "7", b"v")


def rate_limited(retry_after=None):
    return CyTechBotTransportError(
        "HTTP 429.", was_rejected=True, is_rate_limit=True, retry_after=retry_after
    )


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(pause, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(runner, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(runner, "GRACE", 0.2)


class Run:
    """Runs calls whose responses a function makes from the key and the number of the attempt."""

    def __init__(self, respond, rows=10, is_repeatable=True, step=None, phase_of=lambda key: 0, **options):
        self.attempts = Counter()
        self.under_way = self.most_under_way = 0
        self.sent_at = []
        self.ledger = Ledger()
        self.state = RunState(self.ledger.database, Identity("r", 1))
        self.ledger.add_valid((row, PlannedWrite(str(row), "5", "label_ids")) for row in range(1, rows + 1))
        self.ledger.compare_all(
            lambda write, stored: Change("assign", "5", "label_ids", is_repeatable, step, phase_of(write.key))
        )
        self._respond = respond
        self._options = {
            "max_concurrency": 4,
            "max_retries": 2,
            "fails_fast": False,
        } | options

    async def _send(self, call):
        self.attempts[call.key] += 1
        self.sent_at.append(time.monotonic())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0.001)
            response = self._respond(call.key, self.attempts[call.key])
            if asyncio.iscoroutine(response):
                response = await response
            if isinstance(response, Exception):
                raise response
            return response
        finally:
            self.under_way -= 1

    def __call__(self, beside=None):
        async def run():
            self.runner = Runner(
                self.ledger,
                self.state,
                self._send,
                lambda call: call.payload,
                progress=Progress(Counter(), self.ledger.rows()),
                **self._options,
            )
            if beside:
                asyncio.get_running_loop().call_later(0.05, beside, self.runner)
            await self.runner.run()

        asyncio.run(run())
        return self.ledger.counts()


def test_at_most_max_concurrency_calls_are_under_way():
    run = Run(lambda key, attempt: DONE, rows=200)
    assert run() == {"succeeded": 200}
    assert run.most_under_way == 4
    assert set(run.attempts.values()) == {1}


@pytest.mark.parametrize(
    ("response", "outcome", "attempts"),
    [
        (Written(False), "unchanged", 1),
        (CyTechBotRequestError("no."), "refused", 1),
        (CyTechBotAmbiguousWriteError("lost."), "ambiguous", 1),
        (CyTechBotTransportError("cut off."), "failed", 3),
        (CyTechBotResponseError("odd.", is_transient=False), "failed", 1),
    ],
)
def test_each_response_has_an_outcome(response, outcome, attempts):
    run = Run(lambda key, attempt: response if key == "3" else DONE)
    assert run() == {"succeeded": 9, outcome: 1}
    assert run.attempts["3"] == attempts


def test_a_temporary_failure_is_retried():
    run = Run(lambda key, attempt: CyTechBotTransportError("cut off.") if attempt < 3 else DONE)
    assert run() == {"succeeded": 10}


def test_rate_limits_do_not_count_as_retries():
    run = Run(lambda key, attempt: rate_limited() if attempt < 6 and key == "1" else DONE, max_retries=0)
    assert run() == {"succeeded": 10}


@pytest.mark.parametrize(
    ("error", "attempts"), [(rate_limited(), 5), (CyTechBotTransportError("cut off."), 3)]
)
def test_each_repeated_call_is_counted_with_the_endpoint_that_failed(error, attempts, monkeypatch):
    counted = []
    monkeypatch.setattr(metrics, "count_retry", counted.append)
    error.endpoint = "update_contact"
    run = Run(lambda key, attempt: error if key == "3" and attempt < attempts else DONE)
    assert run() == {"succeeded": 10}
    assert run.attempts["3"] == attempts
    assert counted == ["update_contact"] * (attempts - 1)


def test_a_call_that_is_not_sent_again_is_not_counted_as_a_retry(monkeypatch):
    counted = []
    monkeypatch.setattr(metrics, "count_retry", counted.append)
    failure = CyTechBotTransportError("cut off.")
    failure.endpoint = "update_contact"
    run = Run(lambda key, attempt: failure, rows=1, max_retries=0)
    assert run() == {"failed": 1}
    assert counted == []


def test_retry_after_holds_back_all_calls():
    run = Run(lambda key, attempt: rate_limited(0.3) if (key, attempt) == ("1", 1) else DONE, rows=40)
    began = time.monotonic()
    assert run() == {"succeeded": 40}
    later = [moment for moment in run.sent_at if moment > began + 0.05]
    assert min(later) >= began + 0.3
    assert len(later) >= 30


@pytest.mark.parametrize(
    "error",
    [
        CyTechBotAuthError("wrong key."),
        CyTechBotResponseError("a redirect.", was_rejected=True, is_transient=False),
    ],
)
def test_an_error_that_concerns_every_row_stops_at_once(error):
    run = Run(lambda key, attempt: error if int(key) > 2 else DONE, rows=100, max_concurrency=1)
    assert run() == {"succeeded": 2, "failed": 1}
    assert run.runner.error is error
    assert run.ledger.open_calls() == 97


def test_fail_fast_stops_at_the_first_row():
    run = Run(
        lambda key, attempt: CyTechBotRequestError("no.") if key == "3" else DONE,
        fails_fast=True,
        max_concurrency=1,
    )
    assert run() == {"succeeded": 2, "refused": 1}
    assert run.runner.error is None


def test_it_gives_up_when_no_call_is_answered(monkeypatch):
    monkeypatch.setattr(runner, "GIVE_UP_AFTER", 0.1)
    run = Run(lambda key, attempt: rate_limited(), rows=100)
    began = time.monotonic()
    counts = run()
    assert time.monotonic() - began < 5
    assert counts.total() <= 8
    assert isinstance(run.runner.error, CyTechBotTransportError)
    assert "HTTP 429" in run.runner.stop_reason


def test_a_wait_longer_than_that_is_not_begun():
    run = Run(lambda key, attempt: rate_limited(3_600.0), rows=100)
    began = time.monotonic()
    run()
    assert time.monotonic() - began < 5


def test_calls_under_way_get_a_moment_when_the_task_is_stopped():
    run = Run(lambda key, attempt: asyncio.sleep(0.1, DONE), rows=100)
    assert run(beside=lambda each: each.cut_short("stopped")) == {"succeeded": 4}
    assert run.ledger.open_calls() == 96


@pytest.mark.parametrize(("is_repeatable", "outcome"), [(True, "failed"), (False, "ambiguous")])
def test_a_call_that_takes_longer_is_cut_short(is_repeatable, outcome):
    run = Run(lambda key, attempt: asyncio.sleep(30, DONE), rows=100, is_repeatable=is_repeatable)
    began = time.monotonic()
    assert run(beside=lambda each: each.cut_short("stopped")) == {outcome: 4}
    assert time.monotonic() - began < 5


def test_a_stop_ends_a_pause():
    run = Run(lambda key, attempt: rate_limited(60.0), rows=100)
    began = time.monotonic()
    run(beside=lambda each: each.cut_short("stopped"))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("is_repeatable", [True, False])
@pytest.mark.parametrize(
    "stop", [lambda each: each.cut_short("stopped"), lambda each: each.stop("the key is wrong")]
)
def test_a_call_that_waits_for_its_turn_is_not_sent_after_a_stop(stop, is_repeatable):
    async def respond():
        await run.runner.take_turn([0.01, 60.0])
        return DONE

    run = Run(lambda key, attempt: respond(), is_repeatable=is_repeatable, step=b"step")
    began = time.monotonic()
    assert run(beside=stop) == {}
    assert time.monotonic() - began < 5
    assert run.ledger.open_calls() == 10
    assert list(run.state.entries()) == []


def test_a_row_of_two_calls_that_is_stopped_between_them_has_failed():
    async def respond():
        await run.runner.take_turn([])
        await run.runner.take_turn([60.0])

    run = Run(lambda key, attempt: respond())
    assert run(beside=lambda each: each.cut_short("stopped")) == {"failed": 4}


def test_a_row_that_waits_for_its_repetition_has_failed_after_a_stop():
    async def respond(attempt):
        await run.runner.take_turn([60.0] if attempt > 1 else [])
        raise CyTechBotTransportError("cut off.")

    run = Run(lambda key, attempt: respond(attempt), rows=1)
    assert run(beside=lambda each: each.cut_short("stopped")) == {"failed": 1}
    (line,) = run.ledger.report_lines()
    assert line.reason == "cut off."


def test_an_unexpected_error_is_raised():
    run = Run(lambda key, attempt: ZeroDivisionError() if key == "5" else DONE)
    with pytest.raises(ZeroDivisionError):
        run()
    assert run.ledger.counts()["failed"] >= 1


def test_reasons_are_masked():
    run = Run(lambda key, attempt: CyTechBotRequestError("ann@example.com is taken"), rows=1)
    run()
    assert run.ledger.not_done(5) == [("1", "*** is taken")]


@pytest.mark.parametrize(
    ("error", "concerns_all"),
    [
        (rate_limited(), False),
        (CyTechBotTransportError("HTTP 502."), False),
        (CyTechBotAuthError("wrong key."), True),
        (CyTechBotRequestError("no."), False),
        (CyTechBotResponseError("a redirect.", was_rejected=True, is_transient=False), True),
    ],
)
def test_errors_that_concern_every_row(error, concerns_all):
    assert concerns_every_row(error) is concerns_all


def test_calls_of_a_phase_end_before_those_of_the_next_begin():
    ended = []

    def respond(key, attempt):
        assert len(ended) >= (0 if int(key) % 2 else 10)
        ended.append(key)
        return DONE

    run = Run(respond, rows=20, phase_of=lambda key: 1 - int(key) % 2)
    assert run() == {"succeeded": 20}


def test_a_step_is_recorded_before_the_call_and_removed_after_it():
    run = Run(lambda key, attempt: seen.append(run.state.entry(key).step) or DONE, step=b"s")
    seen = []
    assert run() == {"succeeded": 10}
    assert seen == [b"s"] * 10
    assert {run.state.entry(str(row)) for row in range(1, 11)} == {(b"v", None, False)}


@pytest.mark.parametrize(
    ("error", "is_repeatable", "keeps"),
    [
        (CyTechBotAmbiguousWriteError("lost."), False, True),
        (CyTechBotRequestError("no."), False, False),
        (CyTechBotResponseError("odd.", is_transient=False), False, False),
        (CyTechBotResponseError("odd.", is_transient=False), True, True),
    ],
)
def test_a_step_stays_where_its_result_is_open(error, is_repeatable, keeps):
    run = Run(lambda key, attempt: error, rows=1, step=b"s", is_repeatable=is_repeatable)
    run()
    assert (run.state.entry("1").step is not None) is keeps


def test_steps_of_calls_that_were_not_sent_are_withdrawn():
    run = Run(lambda key, attempt: asyncio.sleep(0.1, DONE), rows=100, step=b"s", is_repeatable=False)
    assert run(beside=lambda each: each.cut_short("stopped")) == {"succeeded": 4}
    assert all(run.state.entry(str(row)).step is None for row in range(1, 101))
