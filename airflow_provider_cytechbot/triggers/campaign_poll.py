"""One poll of a flow campaign for everything in this process that waits on it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
import weakref
from collections.abc import AsyncIterator
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
from airflow_provider_cytechbot.triggers.waiters import PollResult, backoff

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.records import FlowCampaignQuestions
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook
    from airflow_provider_cytechbot.triggers.waiters import Waiter

log = logging.getLogger(__name__)

#: Up to so many subscribers that are waited for are asked for one by one, each with its own cheap request.
#: For more, all answers of the campaign are read once for all of them.
FEW = 3


class CampaignPoll:
    """
    Polls one campaign, over one session, as long as anything waits on it.

    It polls when the first of the waits is due, and tells all: a wait whose interval has not passed is spared
    its own poll. So the server sees one poll in the shortest interval asked for, however many wait.

    A poll is not repeated at once when it fails: the next poll is the repeat, and each further away.

    :param cytechbot_conn_id: The id of the Airflow connection.
    :param flow_campaign_id: The campaign's id.
    """

    def __init__(self, cytechbot_conn_id: str, flow_campaign_id: str) -> None:
        self.cytechbot_conn_id = cytechbot_conn_id
        self.flow_campaign_id = flow_campaign_id
        self._waits: dict[Waiter, None] = {}
        self._joined = asyncio.Event()
        self._last_poll = 0.0
        self._not_before = 0.0
        self._failed_polls = 0
        # Not in the context of whoever came first: its log may be closed long before this poll ends.
        self._task = asyncio.get_running_loop().create_task(
            self._run(),
            name=f"poll of CyTechBot flow campaign {flow_campaign_id}",
            context=contextvars.Context(),
        )

    @property
    def is_waited_on(self) -> bool:
        """Whether anything still waits on the campaign."""
        return bool(self._waits)

    def join(self, wait: Waiter) -> None:
        """
        Let something wait from now on.

        :param wait: It.
        """
        if self._last_poll:
            # After a restart, waits come one by one: the first of them has polled, and one poll an interval
            # it is.
            wait.due = max(wait.due, self._last_poll + wait.schedule.after(time.time()))
        self._waits[wait] = None
        self._joined.set()

    def leave(self, wait: Waiter) -> None:
        """
        Let something wait no longer.

        :param wait: It.
        """
        self._waits.pop(wait, None)

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
            interval = min((wait.schedule.after(time.time()) for wait in self._waits), default=0.0)
            pause = backoff(interval, self._failed_polls, getattr(failure, "retry_after", None))
            self._not_before = time.monotonic() + pause
            log.warning("%s Polling again in %.0f s at the earliest.", failure, pause)

    async def _poll_until_failure(self) -> CyTechBotError | None:
        """Poll over one session, again and again; return why that ended, ``None`` to begin anew at once."""
        is_first = True
        participants: list[Waiter] = list(self._waits)
        try:
            # What imports much is imported in a thread: Airflow imports triggers in its event loop.
            async with (await asyncio.to_thread(_hook_class))(self.cytechbot_conn_id) as hook:
                campaign: FlowCampaignQuestions | None = None
                while True:
                    participants, whole = self._choose()
                    self._last_poll = time.monotonic()
                    if campaign is None and any(wait.counts_completed for wait in participants):
                        campaign = await self._campaign(hook)
                    await (self._count if whole else self._ask_each)(hook, campaign, participants)
                    is_first = False
                    self._failed_polls = 0
                    await self._until_due()
        except CyTechBotError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 (whatever it is: nothing that waits may hang)
            failure = self._explain(error)
        if not failure.retryable and not is_first:
            # The connection may have changed since it was fetched, the key first of all.
            return None
        now = time.monotonic()
        for wait in participants:
            # Who asks seldom is not told of each failure of one who asks often: it would give up as soon.
            if wait.due <= now or not failure.retryable:
                wait.polled()
                wait.on_error(failure)
        return failure

    async def _until_due(self) -> None:
        """Wait until the first of the waits is due; those that join meanwhile may want it sooner."""
        while True:
            self._joined.clear()
            due = min((wait.due for wait in self._waits), default=float("inf"))
            rest = max(due, self._not_before) - time.monotonic()
            if rest <= 0:
                return
            with suppress(TimeoutError):  # then look again: who was due may have left
                async with asyncio.timeout(None if rest == float("inf") else rest):
                    await self._joined.wait()

    def _choose(self) -> tuple[list[Waiter], bool]:
        """Return who takes part in this poll, and whether it reads the whole campaign, if that is cheaper."""
        now = time.monotonic()
        due = [wait for wait in self._waits if wait.due <= now]
        subscribers = {wait.subscriber_id for wait in self._waits if wait.subscriber_id is not None}
        if len(subscribers) > FEW or any(wait.subscriber_id is None for wait in due):
            return list(self._waits), True
        return due, False

    def _explain(self, error: Exception) -> CyTechBotError:
        """Return what another error than one of ours means, by its kind alone: its text can hold anything."""
        from airflow.providers.common.compat.sdk import AirflowNotFoundException

        if isinstance(error, AirflowNotFoundException):
            return CyTechBotSettingsError("there is no such connection.", "", "", self.cytechbot_conn_id)
        return CyTechBotTransportError(f"a poll failed ({type(error).__name__}).")

    async def _campaign(self, hook: CyTechBotAsyncHook) -> FlowCampaignQuestions:
        return await hook.call(
            endpoints.GET_FLOW_CAMPAIGN, max_retries=0, flow_campaign_id=self.flow_campaign_id
        )

    async def _count(
        self, hook: CyTechBotAsyncHook, campaign: FlowCampaignQuestions | None, participants: list[Waiter]
    ) -> None:
        """Read all answers of the campaign, keep what the waits ask for, and tell them."""
        questionnaire = Questionnaire(campaign and campaign["questions"])
        awaited = {wait.subscriber_id for wait in participants}
        everyone = any(wait.everyone for wait in participants)
        counts, progress = ProgressCounts(), {}
        async with hook.open_flow_answers(self.flow_campaign_id, max_retries=0) as stream:
            async for subscriber_id, answers in stream:
                reached = questionnaire.progress(answers)
                counts.add(reached)
                if everyone or subscriber_id in awaited:
                    progress[subscriber_id] = reached
            name = (campaign and campaign["flow_name"]) or stream.flow_name
        for wait in participants:
            wait.polled()
            wait.on_result(PollResult(name, counts, progress, everyone))

    async def _ask_each(
        self, hook: CyTechBotAsyncHook, campaign: FlowCampaignQuestions | None, participants: list[Waiter]
    ) -> None:
        """Ask for each subscriber by itself, and tell who waits for it."""
        questionnaire = Questionnaire(campaign and campaign["questions"])
        by_subscriber: dict[str, list[Waiter]] = {}
        for wait in participants:
            by_subscriber.setdefault(wait.subscriber_id or "", []).append(wait)
        for subscriber_id, waits in by_subscriber.items():
            try:
                found = await hook.call(
                    endpoints.GET_SUBSCRIBER_FLOW_ANSWERS,
                    max_retries=0,
                    flow_campaign_id=self.flow_campaign_id,
                    subscriber_id=subscriber_id,
                )
            except CyTechBotRequestError as error:
                for wait in waits:  # it is about this subscriber, and no concern of the others
                    wait.polled()
                    wait.on_error(error)
                continue
            progress = {subscriber_id: questionnaire.progress(found["data"])}
            for wait in waits:
                wait.polled()
                wait.on_result(PollResult(found["flow_name"], None, progress))


def _hook_class() -> type[CyTechBotAsyncHook]:
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook

    return CyTechBotAsyncHook


_Polls = dict[tuple[str, str], CampaignPoll]
#: Those of each event loop: a triggerer has one, a process that runs tests many.
_POLLS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Polls] = weakref.WeakKeyDictionary()


@asynccontextmanager
async def joined_poll(cytechbot_conn_id: str, flow_campaign_id: str, wait: Waiter) -> AsyncIterator[None]:
    """
    Let something wait on a campaign, together with all else in this process that does.

    :param cytechbot_conn_id: The id of the Airflow connection.
    :param flow_campaign_id: The campaign's id.
    :param wait: What waits.
    """
    polls = _POLLS.setdefault(asyncio.get_running_loop(), {})
    key = (cytechbot_conn_id, flow_campaign_id)
    if key not in polls:
        polls[key] = CampaignPoll(*key)
    poll = polls[key]
    poll.join(wait)
    try:
        yield
    finally:
        poll.leave(wait)
        if not poll.is_waited_on:
            del polls[key]  # before anything is awaited: whoever comes now begins a poll of its own
            await poll.stop()
