"""The event trigger for DAGs that run when subscribers have answered a campaign. Airflow 3.0 and newer."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Hashable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_cytechbot.api.fields import encode_number, field_error
from airflow_provider_cytechbot.api.flow_progress import Progress
from airflow_provider_cytechbot.triggers.events import EVENT_VERSION
from airflow_provider_cytechbot.triggers.seen_subscribers import SeenSubscribers, StateError
from airflow_provider_cytechbot.triggers.waiters import EventWaiter, NewAnswers, PollSchedule

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:
    raise ImportError(
        "CyTechBotNewFlowAnswersTrigger needs Airflow 3.0 or newer: before it, no event could start a DAG. "
        "A sensor of airflow_provider_cytechbot.sensors.flow_answers waits on every version."
    ) from None

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

    from airflow_provider_cytechbot.api.fields import IdInput

#: An event names so many of the new subscribers at the most; beyond that, their number and digest must do.
MAX_NAMED = 100


class CyTechBotNewFlowAnswersTrigger(BaseEventTrigger):
    """
    Fire when subscribers have newly answered a flow campaign, for an asset's ``AssetWatcher``.

    The event's payload::

        {
            "version": 1,
            "flow_campaign_id": "1",
            "flow_name": "Feedback",
            "complete": True,  # whether they have answered every question
            "count": 2,  # how many are new
            "subscriber_ids": ["24994546734902201", "24994546734902202"],  # the first 100 of them
            "digest": "…",  # of all of them
            "answered": 40,  # how many in all have answered
            "completed": 31,  # and how many of those every question
        }

    Subscribers who had already answered when the trigger first ran are not new. On Airflow 3.3 and newer, the
    asset's state store remembers who has been seen, and is written only after Airflow has stored the event.
    So a restart loses no event. It repeats one only if the triggerer dies in the second or two between those
    two writes, which Airflow gives a trigger no way to detect. Before 3.3, a restart begins with whoever
    answers from then on.

    The trigger shares its polls with the deferred sensors that wait on the same campaign. A failed poll, even
    one with a wrong key, is logged and does not end the trigger.

    :param flow_campaign_id: The campaign's id.
    :param complete: Whether to fire for subscribers who have answered every question; with ``False``, any one
        will do.
    :param poll_interval: Seconds between polls. A poll of a large campaign costs the server a lot: the page
        on waiting says which interval to choose.
    :param cytechbot_conn_id: The id of the Airflow connection.
    :raises CyTechBotFieldError: An argument cannot be used.
    """

    def __init__(
        self,
        *,
        flow_campaign_id: IdInput,
        complete: bool = True,
        poll_interval: float = 300.0,
        cytechbot_conn_id: str = "cytechbot_default",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Here and not when it runs: it is made where the DAG is read, by whoever can put it right.
        self.flow_campaign_id = encode_number("flow_campaign_id", flow_campaign_id)
        if not isinstance(complete, bool):
            raise field_error("complete", f"must be True or False, not {complete!r}")
        self.complete = complete
        if (
            isinstance(poll_interval, bool)
            or not isinstance(poll_interval, int | float)
            or poll_interval <= 0
        ):
            raise field_error(
                "poll_interval", f"must be a number of seconds above zero, not {poll_interval!r}"
            )
        self.poll_interval = poll_interval
        self.cytechbot_conn_id = cytechbot_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments; the connection's id is all they say of the connection."""
        return (
            f"airflow_provider_cytechbot.triggers.flow_answers.{type(self).__qualname__}",
            {
                "flow_campaign_id": self.flow_campaign_id,
                "complete": self.complete,
                "poll_interval": self.poll_interval,
                "cytechbot_conn_id": self.cytechbot_conn_id,
            },
        )

    def shared_stream_key(self) -> Hashable | None:
        """
        Return a key of its own, where who was seen can be kept.

        A stream is the only way in which Airflow says that an event was stored. Its sharing is not made use
        of: polls are shared below it, with the sensors too.
        """
        if getattr(self, "asset_state_store", None) is None:
            return None
        path, kwargs = self.serialize()
        return (path, *kwargs.values())

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return what polls, and stores who was seen once Airflow has stored the event."""
        from airflow_provider_cytechbot.triggers.stored_events import StoredEventsProducer

        return StoredEventsProducer(cls(**kwargs).sightings)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event whenever there are new subscribers, without remembering them across a restart."""
        self.log.warning(
            "Nothing keeps who has already answered flow campaign %s (Airflow 3.3 and newer do, for an "
            "asset's watcher): a restart starts from the present, and passes over what came meanwhile.",
            self.flow_campaign_id,
        )
        async with aclosing(self.sightings()) as sightings:
            async for event in self._events(sightings, None):
                yield event

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield an event whenever there are new subscribers since the last one that was stored."""
        try:
            seen = await self._load()
        except StateError as error:
            problem = (
                f"What is kept under {self._state_key!r} in the asset's state store cannot be read: {error}. "
                "Has a newer version of the provider written it? Update this one, or delete it: then the "
                "trigger starts from the present."
            )
            self.log.error("%s", problem)
            # Airflow begins anew with a trigger that fails: not at once, again and again.
            await asyncio.sleep(self.poll_interval)
            raise StateError(problem) from None
        async for event in self._events(shared_stream, seen):
            yield event

    async def sightings(self) -> AsyncGenerator[NewAnswers, None]:
        """Yield what each poll of the campaign finds, for ever."""
        # A DAG file imports this module to name the trigger, and polls nothing.
        from airflow_provider_cytechbot.triggers.campaign_poll import joined_poll

        wait = EventWaiter(PollSchedule(self.poll_interval), Progress.wanted(self.complete))
        async with joined_poll(self.cytechbot_conn_id, self.flow_campaign_id, wait):
            while True:
                yield await wait.next()

    async def _events(
        self, sightings: AsyncIterator[NewAnswers], seen: SeenSubscribers | None
    ) -> AsyncGenerator[TriggerEvent, None]:
        async for sighting in sightings:
            # Sorting and digests of a large campaign would hold up the event loop.
            new, now_seen = await asyncio.to_thread(_compare, sighting.subscriber_ids, seen)
            if now_seen is not seen:
                sighting.remember = partial(self._store, now_seen)
            is_first, seen = seen is None, now_seen
            if new and not is_first:
                yield TriggerEvent(self._payload(sighting, new))  # type: ignore[no-untyped-call]

    def _payload(self, sighting: NewAnswers, new: list[str]) -> dict[str, Any]:
        return {
            "version": EVENT_VERSION,
            "flow_campaign_id": self.flow_campaign_id,
            "flow_name": sighting.flow_name,
            "complete": self.complete,
            "count": len(new),
            "subscriber_ids": new[:MAX_NAMED],
            "digest": hashlib.sha256("\n".join(new).encode("utf-8", "surrogatepass")).hexdigest(),
            "answered": sighting.answered,
            "completed": sighting.completed,
        }

    @property
    def _state_key(self) -> str:
        what = "completed" if self.complete else "answered"
        return f"cytechbot.{self.cytechbot_conn_id}.flow_campaign.{self.flow_campaign_id}.{what}"

    async def _load(self) -> SeenSubscribers | None:
        if self.asset_state_store is None:
            return None
        try:
            state = await self.asset_state_store.aget(self._state_key)
        except ValueError:  # Airflow cannot tell whose store is meant
            self.log.error(
                "The trigger for flow campaign %s watches for several assets, so Airflow keeps nothing for "
                "it, and a restart starts from the present. Give each asset another poll_interval.",
                self.flow_campaign_id,
            )
            return None
        return None if state is None else await asyncio.to_thread(SeenSubscribers.from_state, state)

    async def _store(self, seen: SeenSubscribers) -> None:
        if self.asset_state_store is not None:
            await self.asset_state_store.aset(self._state_key, await asyncio.to_thread(seen.to_state))


def _compare(subscriber_ids: list[str], seen: SeenSubscribers | None) -> tuple[list[str], SeenSubscribers]:
    """Return who is new, in the order of their ids, and who has been seen from now on."""
    known = SeenSubscribers() if seen is None else seen
    new = sorted(known.unseen(subscriber_ids))
    return new, known if seen is not None and not new else known.with_also(new)
