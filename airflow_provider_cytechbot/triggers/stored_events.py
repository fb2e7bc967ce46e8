"""Remembering what was seen once Airflow has stored the event of it. Airflow 3.3 and newer."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from airflow_provider_cytechbot.triggers.waiters import NewAnswers

log = logging.getLogger(__name__)


class StoredEventsProducer(SharedStreamProducer):
    """
    Hands sightings to a trigger, and lets each be remembered once the trigger's event is in the database.

    :param open_sightings: Begins to poll.
    """

    def __init__(self, open_sightings: Callable[[], AsyncGenerator[NewAnswers, None]]) -> None:
        self._open_sightings = open_sightings

    async def open_stream(self) -> AsyncIterator[tuple[NewAnswers, NewAnswers]]:
        """Yield each sighting, and once more as what is handed back when all is done with it."""
        async with aclosing(self._open_sightings()) as sightings:
            async for sighting in sightings:
                yield sighting, sighting

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """
        Remember the newest sighting in which there was something new.

        :param batch: Sightings whose events are stored, or were given up.
        """
        remember = [
            item.broker_payload.remember
            for item in batch
            if item.broker_payload.remember is not None and item.outcome.is_clean
        ]
        if not remember:
            return
        try:
            await remember[-1]()  # the newest comprises those before it
        except Exception as error:  # noqa: BLE001 (a raise would end the trigger; the next event stores it all)
            log.error("Who was seen could not be stored (%s): %s", type(error).__name__, error)
