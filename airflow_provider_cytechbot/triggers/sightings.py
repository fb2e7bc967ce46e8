"""What an event trigger is told of each poll of a campaign."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.triggers.waits import Wait

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.errors import CyTechBotError
    from airflow_provider_cytechbot.api.flow_progress import Progress
    from airflow_provider_cytechbot.triggers.rhythm import Rhythm
    from airflow_provider_cytechbot.triggers.waits import Census

log = logging.getLogger(__name__)


@dataclass
class Sighting:
    """
    Who has come as far as a trigger wants to know of.

    :param subscriber_ids: All of them.
    :param flow_name: The campaign's name.
    :param answered: How many subscribers have answered any question.
    :param completed: How many have answered every question.
    :param remember: Stores that they were seen; ``None`` where that is stored already.
    """

    subscriber_ids: list[str] = field(repr=False)
    flow_name: str | None
    answered: int
    completed: int
    remember: Callable[[], Awaitable[None]] | None = None


class Watch(Wait):
    """
    A wait without end. Of several sightings that nobody has looked at, the last one counts: it comprises all.

    :param rhythm: When it polls.
    :param wanted: How far the subscribers must have come.
    """

    def __init__(self, rhythm: Rhythm, wanted: Progress) -> None:
        super().__init__(rhythm, everyone=True)
        self._wanted = wanted
        self._sighting: Sighting | None = None
        self._is_there = asyncio.Event()

    async def next(self) -> Sighting:
        """Wait for a poll, and return what it found."""
        while self._sighting is None:
            self._is_there.clear()
            await self._is_there.wait()
        sighting, self._sighting = self._sighting, None
        return sighting

    def see(self, census: Census) -> None:
        """Keep what a poll found until it is asked for."""
        if census.tally is None or not census.everyone:
            return
        self._sighting = Sighting(
            [each for each, progress in census.progress.items() if progress >= self._wanted],
            census.flow_name,
            census.tally.answered,
            census.tally.completed,
        )
        self._is_there.set()

    def fail(self, error: CyTechBotError) -> None:
        """Go on: there is no task that could fail, and a wrong key may be put right."""
        if not error.retryable:
            log.error("%s No event can come until this is put right.", error)
