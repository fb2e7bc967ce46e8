"""The runner: sends the planned calls, several at a time, and stores what became of each."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotFieldError,
    CyTechBotRequestError,
    CyTechBotTransportError,
    CyTechBotUnansweredError,
)
from airflow_provider_cytechbot.api.redaction import mask_addresses
from airflow_provider_cytechbot.bulk import outcomes
from airflow_provider_cytechbot.bulk.ledger import CallResult
from airflow_provider_cytechbot.bulk.pause import SharedPause
from airflow_provider_cytechbot.transport import metrics

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.ledger import Ledger
    from airflow_provider_cytechbot.bulk.progress import Progress
    from airflow_provider_cytechbot.bulk.resource import PlannedCall, Written
    from airflow_provider_cytechbot.bulk.state import RunState

log = logging.getLogger(__name__)

#: After this many seconds in which no call was answered, the rest is not attempted.
GIVE_UP_AFTER = 600.0
#: Seconds that calls under way get to finish when the task is stopped: Airflow kills it after five, and their
#: results must be durable before.
GRACE = 2.5
#: Seconds between two lines of progress in the log.
LOG_INTERVAL = 5.0
#: How many results are stored at once.
_RESULTS_AT_ONCE = 50
_FIRST_WAIT = 0.5
_MAX_WAIT = 30.0


class Runner:
    """
    Sends all calls of a ledger that have no outcome yet.

    :param ledger: The calls.
    :param state: Records steps and results.
    :param send: Sends a call once.
    :param describe: Returns what a call writes as a text that is the same in every try.
    :param max_concurrency: How many calls are under way at once.
    :param max_retries: How often a call is repeated after a temporary failure; rate limits do not count.
    :param fails_fast: Whether the first row that is not done ends the run.
    :param progress: Logs how far the run is.
    """

    def __init__(
        self,
        ledger: Ledger,
        state: RunState,
        send: Callable[[PlannedCall], Awaitable[Written]],
        describe: Callable[[PlannedCall], str],
        *,
        max_concurrency: int,
        max_retries: int,
        fails_fast: bool,
        progress: Progress,
    ) -> None:
        self._ledger = ledger
        self._state = state
        self._send = send
        self._describe = describe
        self._max_concurrency = max_concurrency
        self._max_retries = max_retries
        self._fails_fast = fails_fast
        self._progress = progress
        self._calls: Iterator[PlannedCall] = iter(())
        self._slots = asyncio.Semaphore(max_concurrency)
        self._results: list[tuple[int, CallResult]] = []
        self._stopped = asyncio.Event()
        self._cut_short = asyncio.Event()
        self._pause = SharedPause(self._stopped)
        self._attempts: dict[asyncio.Task[Any] | None, _Attempt] = {}
        self._failures_in_a_row = 0
        self._answered_at = time.monotonic()
        #: Why not all was sent; empty while nothing speaks against it.
        self.stop_reason = ""
        #: The error that ends the task, where it is not about a row.
        self.error: CyTechBotError | None = None

    async def run(self) -> None:
        """Send the calls, phase after phase. What was not sent has no outcome afterwards."""
        for phase in self._ledger.phases():
            self._calls = self._ledger.calls(phase)
            await self._run_phase()
            if self._stopped.is_set():
                return

    async def _run_phase(self) -> None:
        # Twice the calls under way: the others record their steps meanwhile.
        workers = [asyncio.create_task(self._work()) for _ in range(2 * self._max_concurrency)]
        watch = asyncio.create_task(self._watch())
        cut_short = asyncio.create_task(self._cut_short.wait())
        try:
            waiting: set[asyncio.Task[Any]] = set(workers)
            while waiting and not self._cut_short.is_set():
                ended, waiting = await asyncio.wait(
                    waiting | {cut_short}, return_when=asyncio.FIRST_COMPLETED
                )
                waiting.discard(cut_short)
                for worker in ended - {cut_short}:
                    worker.result()
            if waiting:
                await asyncio.wait(waiting, timeout=GRACE)
        finally:
            tasks = (*workers, watch, cut_short)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._store()

    async def take_turn(self, waits: Iterable[float]) -> None:
        """
        Wait until a request of a call may start.

        :param waits: The waits of the connection's ``requests_per_second``.
        :raises _NotSentError: Nothing is to be sent any more.
        """
        for wait in waits:
            await self._pause.sleep(wait)
            if self._stopped.is_set():
                raise _NotSentError
        if attempt := self._attempts.get(asyncio.current_task()):
            attempt.was_sent = True

    def stop(self, reason: str, error: CyTechBotError | None = None) -> None:
        """
        Send nothing more. Calls under way are waited for.

        :param reason: Why, for the rows that are not sent.
        :param error: What the task fails with.
        """
        if not self._stopped.is_set():
            log.warning("Nothing more is sent: %s", reason)
            self.stop_reason, self.error = reason, error
            self._stopped.set()

    def cut_short(self, reason: str) -> None:
        """
        Send nothing more, and give calls under way a few seconds only.

        :param reason: Why, for the rows that are not sent.
        """
        self.stop(reason)
        self._cut_short.set()

    async def _work(self) -> None:
        while not self._stopped.is_set() and (call := next(self._calls, None)):
            attempt = self._attempts[asyncio.current_task()] = _Attempt(call)
            try:
                await self._settle(attempt)
            except BaseException:
                self._cut_off(attempt)
                raise
            finally:
                self._add(attempt)

    def _add(self, attempt: _Attempt) -> None:
        call, result = attempt.call, attempt.result
        if result is None:
            if attempt.has_begun:
                self._state.withdraw(call.key)
            return
        self._state.settle(call, self._describe(call), result, attempt.written)
        self._progress.add(result.outcome, call.rows)
        self._results.append((call.row, result))
        if len(self._results) >= _RESULTS_AT_ONCE:
            self._store()
        if self._fails_fast and result.outcome not in outcomes.DONE:
            self.stop("a row before was not done, and on_error is 'fail_fast'.")

    def _store(self) -> None:
        self._ledger.record(self._results)
        self._results.clear()

    @staticmethod
    def _cut_off(attempt: _Attempt) -> None:
        if attempt.is_under_way:
            lost = outcomes.FAILED if attempt.call.is_repeatable else outcomes.AMBIGUOUS
            reason = "The task was stopped or failed before the response."
            attempt.result = CallResult(lost, reason, None, attempt.sent_at)

    async def _settle(self, attempt: _Attempt) -> None:
        """Send a call until it has a result. If it was never sent, it has none."""
        call, failures, failed_endpoint = attempt.call, 0, ""
        if call.step is not None:
            try:
                await self._state.begin(call.key, call.step)
            except CyTechBotError as error:
                self.stop(error.reason, error)
                return
            attempt.has_begun = True
        while True:
            async with self._slots:
                await self._pause.over()
                if self._stopped.is_set():
                    return
                if failed_endpoint:
                    metrics.count_retry(failed_endpoint)
                sent_at = time.monotonic()
                attempt.sent_at, attempt.is_under_way = _now(), True
                try:
                    attempt.written = await self._send(call)
                except _NotSentError:
                    if attempt.was_sent and attempt.result is None:
                        reason = "The task was stopped between two calls of the row."
                        attempt.result = CallResult(outcomes.FAILED, reason, None, attempt.sent_at)
                    return
                except CyTechBotError as error:
                    attempt.result = _judge(error, attempt.sent_at)
                    failure = error
                else:
                    self._answered()
                    attempt.result = _result_of(attempt.written, attempt.sent_at)
                    return
                finally:
                    attempt.is_under_way = sys.exception() is not None
            failed_endpoint = failure.endpoint
            if concerns_every_row(failure):
                self.stop(mask_addresses(failure.reason), failure)
                return
            if isinstance(failure, CyTechBotUnansweredError) and failure.is_rate_limit:
                self._wait_together(sent_at, failure)
                continue
            if attempt.result.outcome != outcomes.FAILED:
                self._answered()
                return
            self._failures_in_a_row += 1
            failures += 1
            if failures > self._max_retries or not getattr(failure, "is_transient", False):
                return
            if self._failures_in_a_row > self._max_concurrency:
                self._wait_together(sent_at, failure)
            else:
                await self._pause.sleep(_wait_before(failures))

    def _answered(self) -> None:
        self._answered_at = time.monotonic()
        self._failures_in_a_row = 0
        self._pause.reset()

    def _wait_together(self, sent_at: float, error: CyTechBotError) -> None:
        """Hold back all calls; stop if the pause would last longer than this run waits for an answer."""
        left = self._pause.begin(sent_at, getattr(error, "retry_after", None))
        if time.monotonic() + left - self._answered_at > GIVE_UP_AFTER:
            self._give_up(error)
        else:
            log.info("All calls wait %.1f s: %s", left, mask_addresses(error.reason))

    def _give_up(self, error: CyTechBotError | None = None) -> None:
        reason = f"no call was answered for {GIVE_UP_AFTER / 60:.0f} minutes."
        if error:
            reason += f" The last response: {mask_addresses(error.reason)}"
        self.stop(reason, CyTechBotTransportError(reason, "Check the server, and lower requests_per_second."))

    async def _watch(self) -> None:
        """Log the progress, and stop when no call is answered any more."""
        while True:
            await asyncio.sleep(LOG_INTERVAL)
            self._progress.log()
            if time.monotonic() - self._answered_at > GIVE_UP_AFTER:
                self._give_up()


class _NotSentError(Exception):
    """A request was not sent, because the run was stopped."""


@dataclass
class _Attempt:
    """A call on its way to a result."""

    call: PlannedCall
    has_begun: bool = False
    is_under_way: bool = False
    was_sent: bool = False
    sent_at: str = ""
    result: CallResult | None = None
    written: Written | None = None


def concerns_every_row(error: CyTechBotError) -> bool:
    """
    Return whether each further call would fail in the same way.

    :param error: The error of a call.
    """
    if error.concerns_every_row:
        return True
    return isinstance(error, CyTechBotUnansweredError) and error.was_rejected and not error.is_transient


def _result_of(written: Written, sent_at: str) -> CallResult:
    if written.is_changed:
        return CallResult(outcomes.SUCCEEDED, "", written.id, sent_at)
    reason = mask_addresses(written.reason or "nothing to change")
    return CallResult(outcomes.UNCHANGED, reason, written.id, sent_at)


def _judge(error: CyTechBotError, attempted_at: str) -> CallResult:
    reason = mask_addresses(error.reason)
    if isinstance(error, CyTechBotAmbiguousWriteError):
        return CallResult(outcomes.AMBIGUOUS, reason, None, attempted_at)
    if isinstance(error, CyTechBotFieldError):
        return CallResult(outcomes.INVALID, reason)
    if isinstance(error, CyTechBotRequestError) and not concerns_every_row(error):
        return CallResult(outcomes.REFUSED, reason, None, attempted_at)
    return CallResult(outcomes.FAILED, reason, None, attempted_at)


def _wait_before(attempt: int) -> float:
    wait: float = min(_FIRST_WAIT * 2 ** (attempt - 1), _MAX_WAIT)
    return wait + random.uniform(0, _FIRST_WAIT)  # noqa: S311 - not for cryptography


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
