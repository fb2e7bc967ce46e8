"""What waits on a campaign, and what a poll of it tells those that wait."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.errors import CyTechBotError
    from airflow_provider_cytechbot.api.flow_progress import Progress, Tally
    from airflow_provider_cytechbot.triggers.rhythm import Rhythm


@dataclass
class Census:
    """
    What one poll found out, and no more than was asked for.

    :param flow_name: The campaign's name, where it is known.
    :param tally: How many subscribers have come how far; ``None`` where single subscribers were asked for.
    :param progress: How far those have come who were asked for; one who is missing has not begun.
    :param everyone: Whether ``progress`` holds all that have begun.
    """

    flow_name: str | None
    tally: Tally | None
    progress: Mapping[str, Progress] = field(repr=False)
    everyone: bool = False


class Wait:
    """
    One that waits on a campaign. What it is told, it judges at once and without waiting for anything.

    :param rhythm: When it asks to poll.
    :param subscriber_id: The one subscriber whose progress it is about; ``None``: the campaign as a whole.
    :param counts_completed: Whether it must know who has answered every question.
    :param everyone: Whether it must know each subscriber's progress, and not just how many have come how far.
    """

    def __init__(
        self,
        rhythm: Rhythm,
        *,
        subscriber_id: str | None = None,
        counts_completed: bool = True,
        everyone: bool = False,
    ) -> None:
        self.rhythm = rhythm
        self.subscriber_id = subscriber_id
        self.counts_completed = counts_completed
        self.everyone = everyone
        #: When it wants the next poll, by the clock of :func:`time.monotonic`.
        self.due = time.monotonic() + rhythm.first(time.time())

    def polled(self) -> None:
        """Ask for the next poll one interval from now: this one was for it too, whoever had asked."""
        self.due = time.monotonic() + self.rhythm.after(time.time())

    def see(self, census: Census) -> None:
        """
        Take note of what a poll found.

        :param census: It.
        """
        raise NotImplementedError

    def fail(self, error: CyTechBotError) -> None:
        """
        Take note of a poll that failed.

        :param error: Why.
        """
        raise NotImplementedError
