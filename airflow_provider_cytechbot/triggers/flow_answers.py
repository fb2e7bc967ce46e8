"""Triggers that wait for answers to a flow campaign. All triggers of one campaign share one poll."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.api.fields import encode_identifier, encode_number, field_error, read_switch
from airflow_provider_cytechbot.api.flow_progress import FlowCampaignCount, Progress
from airflow_provider_cytechbot.triggers.events import Event, failed, reached, timed_out
from airflow_provider_cytechbot.triggers.waiters import MAX_FAILED_POLLS, PollSchedule, Waiter, read_seconds

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.errors import CyTechBotError
    from airflow_provider_cytechbot.triggers.waiters import PollResult


class _SensorWaiter(Waiter):
    """A waiter that ends with one event."""

    def __init__(self, schedule: PollSchedule, **kwargs: Any) -> None:
        super().__init__(schedule, **kwargs)
        self.event: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._failed_polls = 0

    def event_for(self, poll_result: PollResult) -> Event | None:
        """
        Return the event if the wait is over.

        :param poll_result: The result of a poll.
        """
        raise NotImplementedError

    def on_result(self, poll_result: PollResult) -> None:
        """End the wait if the result is what it waits for."""
        self._failed_polls = 0
        if (event := self.event_for(poll_result)) is not None:
            self._end(event)

    def on_error(self, error: CyTechBotError) -> None:
        """End the wait with the error, unless it is temporary and there were few of them in a row."""
        self._failed_polls += 1
        if not error.retryable or self._failed_polls > MAX_FAILED_POLLS:
            self._end(failed(error, self._failed_polls))

    def abort(self, error: CyTechBotError) -> None:
        """End the wait with the error."""
        self._end(failed(error, 0))

    def _end(self, event: Event) -> None:
        if not self.event.done():
            self.event.set_result(event)


class _CampaignWaiter(_SensorWaiter):
    """Waits for a number of subscribers of a campaign."""

    def __init__(
        self, schedule: PollSchedule, flow_campaign_id: str, min_subscribers: int, required: Progress
    ) -> None:
        super().__init__(schedule)
        self._flow_campaign_id = flow_campaign_id
        self._min_subscribers = min_subscribers
        self._required = required

    def event_for(self, poll_result: PollResult) -> Event | None:
        """Return the event with the counts if enough subscribers have answered."""
        if poll_result.counts is None or not poll_result.counts.reached(
            self._min_subscribers, self._required
        ):
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
    """Waits for one subscriber."""

    def __init__(self, schedule: PollSchedule, subscriber_id: str, required: Progress) -> None:
        # An unknown campaign can have an empty answer. Without a check on a worker, the questions refuse it.
        needs_questions = required is Progress.COMPLETED or not schedule.is_checked
        super().__init__(schedule, subscriber_id=subscriber_id, counts_completed=needs_questions)
        self._required = required

    def event_for(self, poll_result: PollResult) -> Event | None:
        """Return an event without the answers: Airflow logs events, and answers are personal data."""
        progress = poll_result.progress.get(self.subscriber_id or "", Progress.NOTHING)
        return reached() if progress >= self._required else None


class _FlowAnswersTrigger(BaseTrigger):
    """
    The common part of the two triggers that sensors defer to.

    Arguments are checked by :meth:`serialize`, where a task defers, and when the trigger runs. Not in
    ``__init__``: an exception there would end the whole triggerer.

    :param cytechbot_conn_id: The id of the Airflow connection.
    :param flow_campaign_id: The campaign's id.
    :param complete: Whether every question must be answered; with ``False``, any one will do.
    :param poke_interval: Seconds between polls.
    :param exponential_backoff: Whether each interval is twice the one before.
    :param max_wait: The longest interval in seconds.
    :param started_at: When the sensor started, in seconds of the epoch, so that it survives a restart;
        ``None`` if Airflow started it in the triggerer. Then the first poll is due at once, and the other
        arguments may be rendered templates, that is, text.
    :param timeout: Seconds from then on after which the wait times out.
    """

    def __init__(
        self,
        *,
        cytechbot_conn_id: str,
        flow_campaign_id: str,
        complete: bool,
        poke_interval: float | timedelta,
        started_at: float | None,
        timeout: float | timedelta,
        exponential_backoff: bool = False,
        max_wait: float | timedelta | None = None,
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

    def __repr__(self) -> str:
        """Return a text without :meth:`serialize`, which may raise."""
        return f"<{type(self).__name__} flow_campaign_id={self.flow_campaign_id!r}>"

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """
        Return the class path and the arguments. They hold the connection's id only.

        :raises CyTechBotFieldError: An argument cannot be used.
        """
        return f"{__name__}.{type(self).__qualname__}", {**self.arguments(), "started_at": self.started_at}

    @property
    def is_started_here(self) -> bool:
        """Whether Airflow started the sensor in the triggerer, without a first check on a worker."""
        return self.started_at is None

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event. A wrong argument is an event, too."""
        try:
            event = await self._event()
        except CyTechBotFieldError as error:
            event = failed(error, 0)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    def arguments(self) -> dict[str, Any]:
        """
        Return the checked arguments.

        :raises CyTechBotFieldError: An argument cannot be used.
        """
        if not isinstance(self.cytechbot_conn_id, str) or not self.cytechbot_conn_id:
            raise field_error("cytechbot_conn_id", "must be the id of a connection")
        complete: object = self.complete
        if self.is_started_here:
            complete = read_switch("complete", complete)
        if not isinstance(complete, bool):
            raise field_error("complete", f"must be True or False, not {type(complete).__name__}")
        schedule = PollSchedule(
            read_seconds("poke_interval", self.poke_interval),
            self.exponential_backoff,
            None if self.max_wait is None else read_seconds("max_wait", self.max_wait),
            time.time() if self.started_at is None else self.started_at,
        )
        return {
            "cytechbot_conn_id": self.cytechbot_conn_id,
            "flow_campaign_id": encode_number("flow_campaign_id", self.flow_campaign_id),
            "complete": complete,
            "poke_interval": schedule.poke_interval,
            "exponential_backoff": schedule.exponential_backoff,
            "max_wait": schedule.max_wait,
            "started_at": schedule.started_at,
            "timeout": read_seconds("timeout", self.timeout),
        }

    def waiter(self, schedule: PollSchedule, arguments: dict[str, Any]) -> _SensorWaiter:
        """
        Return the waiter of this trigger.

        :param schedule: When it wants polls.
        :param arguments: The checked arguments.
        """
        raise NotImplementedError

    async def _event(self) -> Event:
        from airflow_provider_cytechbot.triggers.campaign_poll import joined_poll

        checked = self.arguments()
        schedule = PollSchedule(
            checked["poke_interval"],
            checked["exponential_backoff"],
            checked["max_wait"],
            checked["started_at"],
            is_checked=not self.is_started_here,
        )
        waiter = self.waiter(schedule, checked)
        async with joined_poll(checked["cytechbot_conn_id"], checked["flow_campaign_id"], waiter):
            try:
                async with asyncio.timeout(schedule.until_timeout(checked["timeout"], time.time())):
                    return await waiter.event
            except TimeoutError:
                return timed_out()


class CyTechBotFlowCampaignTrigger(_FlowAnswersTrigger):
    """
    Wait until a given number of subscribers have answered a flow campaign.

    Calls ``GET get_all_subscriber_flow_info/``, in one poll for all triggers of the campaign in this
    triggerer, and ``GET get_flow_campaign_info/`` once.

    :param min_subscribers: The number of subscribers that must have answered.
    :param cytechbot_conn_id: The id of the Airflow connection.
    :param flow_campaign_id: The campaign's id.
    :param complete: Whether every question must be answered; with ``False``, any one will do.
    :param poke_interval: Seconds between polls.
    :param exponential_backoff: Whether each interval is twice the one before.
    :param max_wait: The longest interval in seconds.
    :param started_at: When the sensor started, in seconds of the epoch; ``None`` if Airflow started it in the
        triggerer.
    :param timeout: Seconds from then on after which the wait times out.
    """

    def __init__(
        self,
        *,
        min_subscribers: int,
        cytechbot_conn_id: str,
        flow_campaign_id: str,
        complete: bool,
        poke_interval: float | timedelta,
        started_at: float | None,
        timeout: float | timedelta,
        exponential_backoff: bool = False,
        max_wait: float | timedelta | None = None,
    ) -> None:
        super().__init__(
            cytechbot_conn_id=cytechbot_conn_id,
            flow_campaign_id=flow_campaign_id,
            complete=complete,
            poke_interval=poke_interval,
            started_at=started_at,
            timeout=timeout,
            exponential_backoff=exponential_backoff,
            max_wait=max_wait,
        )
        self.min_subscribers = min_subscribers

    def arguments(self) -> dict[str, Any]:
        """Return the checked arguments."""
        min_subscribers: object = self.min_subscribers
        if self.is_started_here:
            min_subscribers = int(encode_number("min_subscribers", min_subscribers))
        if isinstance(min_subscribers, bool) or not isinstance(min_subscribers, int) or min_subscribers < 1:
            raise field_error("min_subscribers", "must be a whole number above zero")
        return {"min_subscribers": min_subscribers, **super().arguments()}

    def waiter(self, schedule: PollSchedule, arguments: dict[str, Any]) -> _SensorWaiter:
        """Return a waiter for the number of subscribers."""
        return _CampaignWaiter(
            schedule,
            arguments["flow_campaign_id"],
            arguments["min_subscribers"],
            Progress.required_if(arguments["complete"]),
        )


class CyTechBotSubscriberFlowTrigger(_FlowAnswersTrigger):
    """
    Wait until one subscriber has answered a flow campaign.

    Calls ``GET get_single_subscriber_flow_info/``. If the triggers in this triggerer wait for more than
    three subscribers of the campaign, they share one ``GET get_all_subscriber_flow_info/`` instead.

    :param subscriber_id: The subscriber's id.
    :param cytechbot_conn_id: The id of the Airflow connection.
    :param flow_campaign_id: The campaign's id.
    :param complete: Whether every question must be answered; with ``False``, any one will do.
    :param poke_interval: Seconds between polls.
    :param exponential_backoff: Whether each interval is twice the one before.
    :param max_wait: The longest interval in seconds.
    :param started_at: When the sensor started, in seconds of the epoch; ``None`` if Airflow started it in the
        triggerer.
    :param timeout: Seconds from then on after which the wait times out.
    """

    def __init__(
        self,
        *,
        subscriber_id: str,
        cytechbot_conn_id: str,
        flow_campaign_id: str,
        complete: bool,
        poke_interval: float | timedelta,
        started_at: float | None,
        timeout: float | timedelta,
        exponential_backoff: bool = False,
        max_wait: float | timedelta | None = None,
    ) -> None:
        super().__init__(
            cytechbot_conn_id=cytechbot_conn_id,
            flow_campaign_id=flow_campaign_id,
            complete=complete,
            poke_interval=poke_interval,
            started_at=started_at,
            timeout=timeout,
            exponential_backoff=exponential_backoff,
            max_wait=max_wait,
        )
        self.subscriber_id = subscriber_id

    def arguments(self) -> dict[str, Any]:
        """Return the checked arguments."""
        subscriber_id = encode_identifier("subscriber_id", self.subscriber_id)
        return {"subscriber_id": subscriber_id, **super().arguments()}

    def waiter(self, schedule: PollSchedule, arguments: dict[str, Any]) -> _SensorWaiter:
        """Return a waiter for the subscriber."""
        return _SubscriberWaiter(
            schedule, arguments["subscriber_id"], Progress.required_if(arguments["complete"])
        )
