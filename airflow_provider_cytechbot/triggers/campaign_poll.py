"""One poll of a flow campaign for all waiters in this process."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotRequestError,
    CyTechBotSettingsError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.api.flow_progress import ProgressCounts, Questionnaire
from airflow_provider_cytechbot.transport import metrics
from airflow_provider_cytechbot.triggers.waiters import PollResult, backoff

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_progress import Progress
    from airflow_provider_cytechbot.api.records import FlowAnswer
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook
    from airflow_provider_cytechbot.triggers.waiters import Waiter

log = logging.getLogger(__name__)

#: With at most this many subscribers to wait for, each one is requested by itself, which is cheap for the
#: server. With more, one request reads all answers of the campaign.
FEW = 3
#: A poll may take this many seconds, or four intervals, or four times the connection's ``timeout``, whichever
#: is longest. A server that sends a byte now and then never reaches the connection's timeout.
MIN_POLL_LIMIT = 600.0
#: From these sizes on, answers and questions are evaluated in a thread, so as not to block the event loop.
LARGE_COUNT = 1_000
LARGE_TEXT = 500_000


class CampaignPoll:
    """
    Polls one campaign, over one session, while it has waiters.

    A poll starts when the first waiter is due, and its result goes to all waiters: the server sees one poll
    in the shortest interval of all, however many waiters there are.

    A failed poll is not retried at once: the next poll is the retry, and the pauses grow.

    :param cytechbot_conn_id: The id of the Airflow connection.
    :param flow_campaign_id: The campaign's id.
    """

    def __init__(self, cytechbot_conn_id: str, flow_campaign_id: str) -> None:
        self.cytechbot_conn_id = cytechbot_conn_id
        self.flow_campaign_id = flow_campaign_id
        self._waiters: dict[Waiter, None] = {}
        self._joined = asyncio.Event()
        self._last_poll = 0.0
        self._not_before = 0.0
        self._failed_polls = 0
        # In a context of its own: the log of the first trigger may be closed long before this poll ends.
        self._task = asyncio.get_running_loop().create_task(
            self._run(),
            name=f"poll of CyTechBot flow campaign {flow_campaign_id}",
            context=contextvars.Context(),
        )

    @property
    def has_waiters(self) -> bool:
        """Whether any waiter is left."""
        return bool(self._waiters)

    def join(self, waiter: Waiter) -> None:
        """
        Add a waiter.

        :param waiter: The waiter to add.
        """
        if self._last_poll:
            # After a restart, waiters join one by one. The first has caused a poll; the others wait for the
            # next one.
            waiter.due = max(waiter.due, self._last_poll + waiter.schedule.after(time.time()))
        self._waiters[waiter] = None
        self._joined.set()

    def leave(self, waiter: Waiter) -> None:
        """
        Remove a waiter.

        :param waiter: The waiter to remove.
        """
        self._waiters.pop(waiter, None)

    def time_limit(self, timeout: float) -> float:
        """
        Return the seconds that a poll may take.

        :param timeout: The connection's ``timeout``.
        """
        return max(MIN_POLL_LIMIT, 4 * self._interval(), 4 * timeout)

    async def stop(self) -> None:
        """End the poll and close its sockets."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._until_due()
            failure = await self._poll_until_failure()
            if failure is None:
                continue
            self._failed_polls += 1
            pause = backoff(self._interval(), self._failed_polls, getattr(failure, "retry_after", None))
            self._not_before = time.monotonic() + pause
            log.warning("%s The next poll is in %.0f s or later.", failure, pause)

    async def _poll_until_failure(self) -> CyTechBotError | None:
        """Poll over one session until an error; return it, or ``None`` to poll at once over a new session."""
        is_first = True
        participants: list[Waiter] = list(self._waiters)
        try:
            # Imported in a thread, because the import is slow and Airflow imports triggers in its event loop.
            async with (await asyncio.to_thread(_hook_class))(self.cytechbot_conn_id) as hook:
                session = _Session(hook, self.flow_campaign_id)
                while True:
                    participants, is_whole = self._choose()
                    self._last_poll = time.monotonic()
                    await self._poll(session, participants, is_whole)
                    metrics.count_poll("triggerer")
                    is_first = False
                    self._failed_polls = 0
                    await self._until_due()
        except CyTechBotError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 (no exception may leave the waiters without an answer)
            failure = self._convert(error)
        metrics.count_poll("triggerer", failure)
        if not failure.retryable and not is_first:
            # The connection, for example its key, may have changed since it was read.
            return None
        now = time.monotonic()
        for waiter in participants:
            # A waiter with a long interval does not count failures of polls made for a shorter one, or it
            # would give up too early.
            if waiter.due <= now or not failure.retryable:
                self._notify(waiter, lambda waiter: waiter.on_error(failure))
        return failure

    async def _poll(self, session: _Session, participants: list[Waiter], is_whole: bool) -> None:
        """Poll once, within the time limit."""
        limit = self.time_limit(session.hook.settings.timeout)
        try:
            async with asyncio.timeout(limit) as deadline:
                if any(waiter.counts_completed for waiter in participants):
                    await session.read_questions()
                await (self._read_campaign if is_whole else self._read_subscribers)(session, participants)
        except TimeoutError:
            if not deadline.expired():
                raise
        else:
            return
        raise CyTechBotTransportError(
            f"a poll of flow campaign {self.flow_campaign_id} was not complete after {limit:.0f} seconds and "
            "was cancelled.",
            "Check whether the server or a proxy sends its answers very slowly.",
            connection=self.cytechbot_conn_id,
        )

    def _interval(self) -> float:
        """Return the shortest interval of all waiters."""
        return min((waiter.schedule.after(time.time()) for waiter in self._waiters), default=0.0)

    async def _until_due(self) -> None:
        """Wait until the first waiter is due, also if it joins meanwhile."""
        while True:
            self._joined.clear()
            due = min((waiter.due for waiter in self._waiters), default=float("inf"))
            rest = max(due, self._not_before) - time.monotonic()
            if rest <= 0:
                return
            with suppress(TimeoutError):  # then check again: the waiter that was due may have left
                async with asyncio.timeout(None if rest == float("inf") else rest):
                    await self._joined.wait()

    def _choose(self) -> tuple[list[Waiter], bool]:
        """Return the waiters that take part in this poll, and whether to read the whole campaign."""
        now = time.monotonic()
        due = [waiter for waiter in self._waiters if waiter.due <= now]
        subscribers = {waiter.subscriber_id for waiter in self._waiters if waiter.subscriber_id is not None}
        if len(subscribers) > FEW or any(waiter.subscriber_id is None for waiter in due):
            return list(self._waiters), True
        return due, False

    def _convert(self, error: Exception) -> CyTechBotError:
        """Convert an unexpected exception. Only its type is used, because its text may contain secrets."""
        from airflow.providers.common.compat.sdk import AirflowNotFoundException

        if isinstance(error, AirflowNotFoundException):
            return CyTechBotSettingsError("there is no such connection.", "", "", self.cytechbot_conn_id)
        return CyTechBotTransportError(f"a poll failed ({type(error).__name__}).")

    def _notify(self, waiter: Waiter, handle: Callable[[Waiter], None]) -> None:
        """Pass a result or an error to one waiter. An exception there ends that waiter alone."""
        try:
            waiter.polled()
            handle(waiter)
        except Exception as error:  # noqa: BLE001 (the other waiters must get their result)
            kind = type(error).__name__
            log.error("A waiter on flow campaign %s raised %s and is ended.", self.flow_campaign_id, kind)
            self.leave(waiter)
            failure = CyTechBotRequestError(
                f"the trigger could not handle a poll of flow campaign {self.flow_campaign_id} ({kind})."
            )
            with suppress(Exception):
                waiter.abort(failure)

    async def _read_campaign(self, session: _Session, participants: list[Waiter]) -> None:
        """Read all answers of the campaign, and pass on what the waiters need."""
        subscriber_ids = {waiter.subscriber_id for waiter in participants}
        keeps_all = any(waiter.needs_all_subscribers for waiter in participants)
        counts, progress = ProgressCounts(), {}
        async with session.hook.open_flow_answers(self.flow_campaign_id, max_retries=0) as stream:
            async for subscriber_id, answers in stream:
                reached = await session.progress(answers)
                counts.add(reached)
                if keeps_all or subscriber_id in subscriber_ids:
                    progress[subscriber_id] = reached
            name = session.flow_name or stream.flow_name
        result = PollResult(name, counts, progress, keeps_all)
        for waiter in participants:
            self._notify(waiter, lambda waiter: waiter.on_result(result))

    async def _read_subscribers(self, session: _Session, participants: list[Waiter]) -> None:
        """Request each subscriber by itself."""
        by_subscriber: dict[str, list[Waiter]] = {}
        for waiter in participants:
            by_subscriber.setdefault(waiter.subscriber_id or "", []).append(waiter)
        for subscriber_id, waiters in by_subscriber.items():
            handle = await self._read_subscriber(session, subscriber_id)
            for waiter in waiters:
                self._notify(waiter, handle)

    async def _read_subscriber(self, session: _Session, subscriber_id: str) -> Callable[[Waiter], None]:
        """Return what to do with the waiters of a subscriber."""
        try:
            found = await session.hook.call(
                endpoints.GET_SUBSCRIBER_FLOW_ANSWERS,
                max_retries=0,
                flow_campaign_id=self.flow_campaign_id,
                subscriber_id=subscriber_id,
            )
        except CyTechBotRequestError as error:
            refusal = error  # it concerns this subscriber only
            return lambda waiter: waiter.on_error(refusal)
        result = PollResult(found["flow_name"], None, {subscriber_id: await session.progress(found["data"])})
        return lambda waiter: waiter.on_result(result)


class _Session:
    """
    An open hook, and the campaign's questions once they are read.

    :param hook: The hook.
    :param flow_campaign_id: The campaign's id.
    """

    def __init__(self, hook: CyTechBotAsyncHook, flow_campaign_id: str) -> None:
        self.hook = hook
        self.flow_name: str | None = None
        self._flow_campaign_id = flow_campaign_id
        self._questionnaire = Questionnaire(None)
        self._has_questions = self._is_large = False

    async def read_questions(self) -> None:
        """Read the campaign's questions, once."""
        if self._has_questions:
            return
        campaign = await self.hook.call(
            endpoints.GET_FLOW_CAMPAIGN, max_retries=0, flow_campaign_id=self._flow_campaign_id
        )
        questions = campaign["questions"]
        self._questionnaire = await asyncio.to_thread(Questionnaire, questions)
        self._is_large = _is_large(questions)
        self.flow_name = campaign["flow_name"]
        self._has_questions = True

    async def progress(self, answers: Sequence[FlowAnswer]) -> Progress:
        """
        Return a subscriber's progress.

        :param answers: The subscriber's answers.
        """
        texts = (text for each in answers for text in (each["question"], each["answer"]))
        if self._is_large or len(answers) > LARGE_COUNT or _is_large(texts):
            return await asyncio.to_thread(self._questionnaire.progress, answers)
        return self._questionnaire.progress(answers)


def _is_large(texts: Iterable[str | None]) -> bool:
    """Return whether texts are too many or too long to be compared in the event loop."""
    size = 0
    for number, text in enumerate(texts):
        size += len(text or "")
        if size > LARGE_TEXT or number > 2 * LARGE_COUNT:
            return True
    return False


def _hook_class() -> type[CyTechBotAsyncHook]:
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook

    return CyTechBotAsyncHook


_Polls = dict[tuple[str, str], CampaignPoll]
#: The polls of each event loop: a triggerer has one loop, a process that runs tests has many.
_POLLS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Polls] = weakref.WeakKeyDictionary()


@asynccontextmanager
async def joined_poll(cytechbot_conn_id: str, flow_campaign_id: str, waiter: Waiter) -> AsyncIterator[None]:
    """
    Add a waiter to the poll that this process shares for a campaign.

    :param cytechbot_conn_id: The id of the Airflow connection.
    :param flow_campaign_id: The campaign's id.
    :param waiter: The waiter to add.
    """
    polls = _POLLS.setdefault(asyncio.get_running_loop(), {})
    key = (cytechbot_conn_id, flow_campaign_id)
    if key not in polls:
        polls[key] = CampaignPoll(*key)
    poll = polls[key]
    poll.join(waiter)
    try:
        yield
    finally:
        poll.leave(waiter)
        # Waiters that were ended by an error have left already, so the poll may be gone.
        if not poll.has_waiters and polls.get(key) is poll:
            del polls[key]  # before the await: a waiter that joins meanwhile starts a new poll
            await poll.stop()
