"""
Writes the state of seen subscribers once Airflow has stored the event. Airflow 3.3 and newer.

A module of its own, because its base class does not exist in the older versions that ``new_flow_answers``
supports.
"""

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
