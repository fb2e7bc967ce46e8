"""Triggers that wait for answers to a flow campaign; all that wait on one campaign share one poll."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_cytechbot.api.flow_progress import FlowCampaignCount, Progress
from airflow_provider_cytechbot.triggers.events import Event, failed, reached, timed_out
from airflow_provider_cytechbot.triggers.waiters import MAX_FAILED_POLLS, PollSchedule, Waiter

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.errors import CyTechBotError
    from airflow_provider_cytechbot.triggers.new_flow_answers import (
        CyTechBotNewFlowAnswersTrigger as CyTechBotNewFlowAnswersTrigger,
    )
    from airflow_provider_cytechbot.triggers.waiters import PollResult


def __getattr__(name: str) -> Any:
    # Airflow 2 has nothing to derive it from, and must be able to import the rest.
    if name == "CyTechBotNewFlowAnswersTrigger":
        from airflow_provider_cytechbot.triggers.new_flow_answers import CyTechBotNewFlowAnswersTrigger

        return CyTechBotNewFlowAnswersTrigger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _SensorWaiter(Waiter):
    """A wait that ends with one event."""

    def __init__(self, schedule: PollSchedule, **kwargs: Any) -> None:
        super().__init__(schedule, **kwargs)
        self.event: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._failed_polls = 0

    def verdict(self, poll_result: PollResult) -> Event | None:
        """
        Return the event if the wait is over.

        :param census: What a poll found.
        """
        raise NotImplementedError

    def on_result(self, poll_result: PollResult) -> None:
        """Judge what a poll found."""
        self._failed_polls = 0
        if (event := self.verdict(poll_result)) is not None:
            self._end(event)

    def on_error(self, error: CyTechBotError) -> None:
        """Give up, unless the failure may pass and there were not too many of them."""
        self._failed_polls += 1
        if not error.retryable or self._failed_polls > MAX_FAILED_POLLS:
            self._end(failed(error, self._failed_polls))

    def _end(self, event: Event) -> None:
        if not self.event.done():
            self.event.set_result(event)


class _CampaignWaiter(_SensorWaiter):
    """A wait for so many subscribers of a campaign."""

    def __init__(
        self, schedule: PollSchedule, flow_campaign_id: str, min_subscribers: int, wanted: Progress
    ) -> None:
        super().__init__(schedule)
        self._flow_campaign_id = flow_campaign_id
        self._min_subscribers = min_subscribers
        self._wanted = wanted

    def verdict(self, poll_result: PollResult) -> Event | None:
        """Return the counts if there are enough subscribers."""
        if poll_result.counts is None or not poll_result.counts.reached(self._min_subscribers, self._wanted):
            return None
        return reached(
            FlowCampaignCount(
                flow_campaign_id=self._flow_campaign_id,
                flow_name=poll_result.flow_name,
                answered=poll_result.counts.answered,
                completed=poll_result.counts.completed,
            )
        )


class _SubscriberWaiter(_SensorWaiter):
    """A wait for one subscriber."""

    def __init__(self, schedule: PollSchedule, subscriber_id: str, wanted: Progress) -> None:
        super().__init__(schedule, subscriber_id=subscriber_id, counts_completed=wanted is Progress.COMPLETED)
        self._wanted = wanted

    def verdict(self, poll_result: PollResult) -> Event | None:
        """Return an event without the answers: they are what a stranger wrote, and events are logged."""
        progress = poll_result.progress.get(self.subscriber_id or "", Progress.NOTHING)
        return reached() if progress >= self._wanted else None


class _FlowAnswersTrigger(BaseTrigger):
    """
    The common part of the two triggers that sensors defer to.

    :param cytechbot_conn_id: The id of the Airflow connection.
    :param flow_campaign_id: The campaign's id.
    :param complete: Whether every question must be answered; with ``False``, any one will do.
    :param poke_interval: Seconds between polls.
    :param exponential_backoff: Whether each interval is twice the one before.
    :param max_wait: Seconds that an interval does not grow beyond.
    :param started_at: When the sensor began, in seconds of the epoch: of all clocks the one that a restart
        survives.
    :param timeout: Seconds from then on after which the wait is given up.
    """

    def __init__(
        self,
        *,
        cytechbot_conn_id: str,
        flow_campaign_id: str,
        complete: bool,
        poke_interval: float,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        started_at: float,
        timeout: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cytechbot_conn_id = cytechbot_conn_id
        self.flow_campaign_id = flow_campaign_id
        self.complete = complete
        self.poke_interval = poke_interval
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.started_at = started_at
        self.timeout = timeout

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments; the connection's id is all they say of the connection."""
        names = (
            "cytechbot_conn_id",
            "flow_campaign_id",
            "complete",
            "poke_interval",
            "exponential_backoff",
            "max_wait",
            "started_at",
            "timeout",
        )
        return f"{__name__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        yield TriggerEvent(await self._event())  # type: ignore[no-untyped-call]

    def wait(self, schedule: PollSchedule) -> _SensorWaiter:
        """
        Return what this trigger waits for.

        :param rhythm: When it polls.
        """
        raise NotImplementedError

    async def _event(self) -> Event:
        from airflow_provider_cytechbot.triggers.campaign_poll import joined_poll

        schedule = PollSchedule(self.poke_interval, self.exponential_backoff, self.max_wait, self.started_at)
        wait = self.wait(schedule)
        async with joined_poll(self.cytechbot_conn_id, self.flow_campaign_id, wait):
            try:
                async with asyncio.timeout(schedule.until_timeout(self.timeout, time.time())):
                    return await wait.event
            except TimeoutError:
                return timed_out()


class CyTechBotFlowCampaignTrigger(_FlowAnswersTrigger):
    """
    Wait until a given number of subscribers have answered a flow campaign.

    Calls ``GET get_all_subscriber_flow_info/``; everything in this triggerer that waits on the campaign
    shares that poll. ``GET get_flow_campaign_info/`` is called once.

    :param min_subscribers: How many subscribers must have answered.
    :param cytechbot_conn_id: The id of the Airflow connection.
    :param flow_campaign_id: The campaign's id.
    :param complete: Whether every question must be answered; with ``False``, any one will do.
    :param poke_interval: Seconds between polls.
    :param exponential_backoff: Whether each interval is twice the one before.
    :param max_wait: Seconds that an interval does not grow beyond.
    :param started_at: When the sensor began, in seconds of the epoch.
    :param timeout: Seconds from then on after which the wait is given up.
    """

    def __init__(self, *, min_subscribers: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.min_subscribers = min_subscribers

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        path, kwargs = super().serialize()
        return path, {"min_subscribers": self.min_subscribers, **kwargs}

    def wait(self, schedule: PollSchedule) -> _SensorWaiter:
        """Return a wait for so many subscribers."""
        return _CampaignWaiter(
            schedule, self.flow_campaign_id, self.min_subscribers, Progress.wanted(self.complete)
        )


class CyTechBotSubscriberFlowTrigger(_FlowAnswersTrigger):
    """
    Wait until one subscriber has answered a flow campaign.

    Calls ``GET get_single_subscriber_flow_info/``. If more than three subscribers of the campaign are waited
    for in this triggerer, one ``GET get_all_subscriber_flow_info/`` serves them all instead.

    :param subscriber_id: The subscriber's id.
    :param cytechbot_conn_id: The id of the Airflow connection.
    :param flow_campaign_id: The campaign's id.
    :param complete: Whether every question must be answered; with ``False``, any one will do.
    :param poke_interval: Seconds between polls.
    :param exponential_backoff: Whether each interval is twice the one before.
    :param max_wait: Seconds that an interval does not grow beyond.
    :param started_at: When the sensor began, in seconds of the epoch.
    :param timeout: Seconds from then on after which the wait is given up.
    """

    def __init__(self, *, subscriber_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subscriber_id = subscriber_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        path, kwargs = super().serialize()
        return path, {"subscriber_id": self.subscriber_id, **kwargs}

    def wait(self, schedule: PollSchedule) -> _SensorWaiter:
        """Return a wait for the subscriber."""
        return _SubscriberWaiter(schedule, self.subscriber_id, Progress.wanted(self.complete))
