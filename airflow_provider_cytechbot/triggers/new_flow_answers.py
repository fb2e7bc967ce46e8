"""The event trigger for DAGs that run when subscribers have answered a campaign. Airflow 3.0 and newer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Sequence
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.api.fields import encode_number, field_error
from airflow_provider_cytechbot.api.flow_progress import Progress
from airflow_provider_cytechbot.triggers.events import EVENT_VERSION
from airflow_provider_cytechbot.triggers.seen_subscribers import SeenSubscribers, StateError
from airflow_provider_cytechbot.triggers.waiters import EventWaiter, NewAnswers, PollSchedule, read_seconds

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:
    raise ImportError(
        "CyTechBotNewFlowAnswersTrigger needs Airflow 3.0 or newer: older versions have no event triggers. "
        "The sensors of airflow_provider_cytechbot.sensors.flow_answers work on every version."
    ) from None

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

    from airflow_provider_cytechbot.api.fields import IdInput
else:
    try:
        from airflow.triggers.shared_stream import SharedStreamProducer
    except ImportError:
        SharedStreamProducer = object  # before Airflow 3.3, which is the first to call the producer

log = logging.getLogger(__name__)

#: An event names at most this many of the new subscribers; it always has their number and digest.
MAX_NAMED = 100
#: The longest name of a campaign and the longest ids that an event holds, in characters.
MAX_NAME = 1_000
MAX_IDS = 20_000


class _ArgumentError(CyTechBotFieldError, TypeError):
    """A wrong argument: a ``TypeError`` is the one exception in ``__init__`` that a triggerer survives."""


class CyTechBotNewFlowAnswersTrigger(BaseEventTrigger):
    """
    Fire when subscribers have newly answered a flow campaign, for an asset's ``AssetWatcher``.

    The event's payload::

        {
            "version": 1,
            "flow_campaign_id": "1",
            "flow_name": "Feedback",
            "complete": True,  # the trigger's parameter
            "count": 2,  # the number of new subscribers
            "subscriber_ids": ["24994546734902201", "24994546734902202"],  # at most 100 of them
            "digest": "…",  # of all of them
            "answered": 40,  # all subscribers that have answered
            "completed": 31,  # those that have answered every question
        }

    Subscribers that had already answered when the trigger first ran are not new. On Airflow 3.3 and newer,
    the asset's state store holds the subscribers seen so far. It is written after Airflow has stored the
    event, so a restart loses no event. Before each event the stored state is read again, so a triggerer
    that was frozen while another one took over does not repeat the other's events. An event is repeated
    only if the triggerer dies or freezes in the second or two around storing it: between reading the state
    and storing the event, or between storing the event and writing the state. Before Airflow 3.3, a
    restarted trigger fires only for subscribers that answer after the restart.

    The trigger shares its polls with the deferred sensors of the same campaign. A failed poll, even one with
    a wrong key, is logged and does not end the trigger.

    :param flow_campaign_id: The campaign's id.
    :param complete: Whether to fire for subscribers who have answered every question; with ``False``, any one
        will do.
    :param poll_interval: Seconds between polls, or a ``timedelta``. A poll of a large campaign is expensive
        for the server.
    :param cytechbot_conn_id: The id of the Airflow connection.
    :param queue: The triggerer queue that runs the trigger, on Airflow 3.4 and newer.
    :raises CyTechBotFieldError: An argument cannot be used.
    """

    def __init__(
        self,
        *,
        flow_campaign_id: IdInput,
        complete: bool = True,
        poll_interval: float | timedelta = 300.0,
        cytechbot_conn_id: str = "cytechbot_default",
        queue: str | None = None,
    ) -> None:
        super().__init__(**({} if queue is None else {"queue": queue}))  # type: ignore[no-untyped-call]
        try:
            if queue is not None and not hasattr(BaseEventTrigger, "queue"):
                raise field_error("queue", "needs Airflow 3.4 or newer")
            if queue is not None and (not isinstance(queue, str) or not queue.strip()):
                raise field_error("queue", "must be the name of a queue")
            self.flow_campaign_id = encode_number("flow_campaign_id", flow_campaign_id)
            if not isinstance(complete, bool):
                raise field_error("complete", f"must be True or False, not {str(complete)[:40]!r}")
            self.poll_interval = read_seconds("poll_interval", poll_interval)
            if self.poll_interval == 0:
                raise field_error("poll_interval", "must be above zero")
            if not isinstance(cytechbot_conn_id, str) or not cytechbot_conn_id:
                raise field_error("cytechbot_conn_id", "must be the id of a connection")
        except CyTechBotFieldError as error:
            raise _ArgumentError(error.reason, error.hint) from None
        self.complete = complete
        self.cytechbot_conn_id = cytechbot_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments. They hold the connection's id only."""
        return (
            f"{__name__}.{type(self).__qualname__}",
            {
                "flow_campaign_id": self.flow_campaign_id,
                "complete": self.complete,
                "poll_interval": self.poll_interval,
                "cytechbot_conn_id": self.cytechbot_conn_id,
            },
        )

    def shared_stream_key(self) -> Hashable | None:
        """
        Return a key for this trigger alone, if there is a state store.

        Only a shared stream is notified when Airflow has stored an event. Its sharing is not used, because
        polls are shared below it, with the sensors too.
        """
        if getattr(self, "asset_state_store", None) is None:
            return None
        path, kwargs = self.serialize()
        return (path, *kwargs.values())

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return the producer, which polls and writes the state once Airflow has stored the event."""
        return StoredEventsProducer(cls(**kwargs).poll_results)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for new subscribers, without a state that survives a restart."""
        self.log.warning(
            "The subscribers that have answered flow campaign %s are not stored (only Airflow 3.3 and newer "
            "can, for an asset's watcher): after a restart, the trigger fires for later answers only.",
            self.flow_campaign_id,
        )
        async with aclosing(self.poll_results()) as results:
            async for event in self._events(results, None):
                yield event

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for subscribers that are not in the stored state."""
        try:
            seen = await self._load()
        except StateError as error:
            self.log.error("%s", error)
            await asyncio.sleep(self.poll_interval)  # Airflow restarts a failed trigger at once
            raise
        async for event in self._events(shared_stream, seen):
            yield event

    async def poll_results(self) -> AsyncGenerator[NewAnswers, None]:
        """Yield the result of each poll of the campaign, for ever."""
        # Not above: DAG files import this module.
        from airflow_provider_cytechbot.triggers.campaign_poll import joined_poll

        waiter = EventWaiter(PollSchedule(self.poll_interval), Progress.required_if(self.complete))
        async with joined_poll(self.cytechbot_conn_id, self.flow_campaign_id, waiter):
            while True:
                yield await waiter.next()

    async def _events(
        self, results: AsyncIterator[NewAnswers], seen: SeenSubscribers | None
    ) -> AsyncGenerator[TriggerEvent, None]:
        async for answers in results:
            # In threads: sorting and digests of a large campaign would block the event loop.
            new, now_seen = await asyncio.to_thread(_compare, answers.subscriber_ids, seen)
            is_first = seen is None
            if new and not is_first and (stored := await self._stored_meanwhile()) is not None:
                # Another triggerer may have fired for them while this one was frozen.
                known = await asyncio.to_thread(stored.union, seen or stored)
                new, now_seen = await asyncio.to_thread(_compare, answers.subscriber_ids, known)
            if now_seen is not seen:
                answers.remember = partial(self._store, now_seen)
            seen = now_seen
            if new and not is_first:
                payload = await asyncio.to_thread(self._payload, answers, new)
                yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    def _payload(self, answers: NewAnswers, new: list[str]) -> dict[str, Any]:
        return {
            "version": EVENT_VERSION,
            "flow_campaign_id": self.flow_campaign_id,
            "flow_name": answers.flow_name and answers.flow_name[:MAX_NAME],
            "complete": self.complete,
            "count": len(new),
            "subscriber_ids": _named(new),
            "digest": hashlib.sha256("\n".join(new).encode("utf-8", "surrogatepass")).hexdigest(),
            "answered": answers.answered,
            "completed": answers.completed,
        }

    @property
    def _state_key(self) -> str:
        what = "completed" if self.complete else "answered"
        return f"cytechbot.{self.cytechbot_conn_id}.flow_campaign.{self.flow_campaign_id}.{what}"

    async def _load(self) -> SeenSubscribers | None:
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return None
        try:
            state = await store.aget(self._state_key)
        except ValueError:  # Airflow cannot choose between the stores of several assets
            self.log.error(
                "The trigger for flow campaign %s watches for several assets, so Airflow stores no state for "
                "it, and after a restart it fires for later answers only. Give each asset its own "
                "poll_interval.",
                self.flow_campaign_id,
            )
            return None
        try:
            return None if state is None else await asyncio.to_thread(SeenSubscribers.from_state, state)
        except StateError as error:
            problem = (
                f"The state {self._state_key!r} in the asset's state store cannot be read: {error}. If a "
                "newer version of the provider has written it, update this one. Otherwise delete it: "
                "then the trigger fires for later answers only."
            )
        raise StateError(problem)

    async def _stored_meanwhile(self) -> SeenSubscribers | None:
        """Return the stored state; ``None`` if there is none, or the store does not respond."""
        try:
            return await self._load()
        except StateError:
            raise
        except Exception as error:  # noqa: BLE001 (an event that is repeated is better than one that is lost)
            self.log.warning("The stored state could not be read again (%s).", type(error).__name__)
            return None

    async def _store(self, seen: SeenSubscribers) -> None:
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return
        # A triggerer that was frozen must not replace a newer state by its own.
        if (stored := await self._load()) is not None:
            seen = await asyncio.to_thread(stored.union, seen)
        await store.aset(self._state_key, await asyncio.to_thread(seen.to_state))


class StoredEventsProducer(SharedStreamProducer):
    """
    Passes poll results to a trigger, and writes its state once the trigger's event is in the database.

    :param open_results: Starts polling.
    """

    def __init__(self, open_results: Callable[[], AsyncGenerator[NewAnswers, None]]) -> None:
        self._open_results = open_results

    async def open_stream(self) -> AsyncIterator[tuple[NewAnswers, NewAnswers]]:
        """Yield each result twice: for the trigger, and as what :meth:`advance` receives later."""
        async with aclosing(self._open_results()) as results:
            async for result in results:
                yield result, result

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """
        Write the state of the newest result that had new subscribers.

        :param batch: Results whose events are stored or have failed.
        """
        remember = [
            item.broker_payload.remember
            for item in batch
            if item.broker_payload.remember is not None and item.outcome.is_clean
        ]
        if not remember:
            return
        try:
            await remember[-1]()  # the newest state includes the older ones
        except Exception as error:  # noqa: BLE001 (an exception would end the trigger; the next event writes the whole state)
            log.error(
                "The state of seen subscribers could not be stored (%s): %s", type(error).__name__, error
            )


def _compare(subscriber_ids: list[str], seen: SeenSubscribers | None) -> tuple[list[str], SeenSubscribers]:
    """Return the new subscribers, sorted by id, and all that are seen from now on."""
    known = SeenSubscribers() if seen is None else seen
    new = sorted(known.unseen(subscriber_ids))
    return new, known if seen is not None and not new else known.with_also(new)


def _named(subscriber_ids: list[str]) -> list[str]:
    """Return the first ids, within the limits for an event."""
    named, size = [], 0
    for each in subscriber_ids[:MAX_NAMED]:
        size += len(each)
        if size > MAX_IDS:
            break
        named.append(each)
    return named
