"""The progress of subscribers in a flow campaign, as sensors and triggers judge it. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.records import FlowAnswer


class Progress(IntEnum):
    """The progress of a subscriber in a campaign, in ascending order."""

    NOTHING = 0
    #: At least one question has an answer.
    ANSWERED = 1
    #: Every question of the campaign has one.
    COMPLETED = 2

    @classmethod
    def required_if(cls, complete: bool) -> Progress:
        """
        Return the progress that a wait requires.

        :param complete: Whether every question must have an answer; with ``False``, any one is enough.
        """
        return cls.COMPLETED if complete else cls.ANSWERED


class FlowCampaignCount(TypedDict):
    """How many subscribers have come how far: what a wait for a campaign returns."""

    flow_campaign_id: str
    flow_name: str | None
    answered: int
    completed: int


class Questionnaire:
    """
    The questions that an answer to the whole campaign must cover.

    A campaign lists its questions by their text alone, so it is by text that answers belong to them; a text
    that is listed twice needs answers to two questions.

    :param questions: The texts, as ``get_flow_campaign`` gives them; ``None`` where completion is
        not checked, so that they were not read.
    """

    def __init__(self, questions: Iterable[str] | None) -> None:
        self._needed = None if questions is None else Counter(map(_plain, questions))

    def progress(self, answers: Sequence[FlowAnswer]) -> Progress:
        """
        Return the progress of a subscriber. White space alone does not count as an answer.

        :param answers: The subscriber's answers.
        """
        given = {
            (_plain(each["question"] or ""), each["question_id"])
            for each in answers
            if each["answer"] and not each["answer"].isspace()
        }
        if not given:
            return Progress.NOTHING
        if self._needed is None or self._needed - Counter(question for question, _ in given):
            return Progress.ANSWERED
        return Progress.COMPLETED


@dataclass
class ProgressCounts:
    """How many subscribers have come how far, counted while their answers arrive."""

    answered: int = 0
    completed: int = 0

    def add(self, progress: Progress) -> None:
        """
        Count one subscriber.

        :param progress: Its progress.
        """
        self.answered += progress >= Progress.ANSWERED
        self.completed += progress >= Progress.COMPLETED

    def reached(self, min_subscribers: int, wanted: Progress) -> bool:
        """
        Return whether enough subscribers have the wanted progress.

        :param min_subscribers: The lowest number of subscribers.
        :param wanted: The progress.
        """
        return (self.completed if wanted is Progress.COMPLETED else self.answered) >= min_subscribers


@lru_cache(maxsize=1024)  # the same few texts come with every subscriber
def _plain(question: str) -> str:
    return " ".join(question.split())
