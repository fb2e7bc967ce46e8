"""Answers on the worker's disk, for layouts that need all of them before the first row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.storage.spool import Spool

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch
    from airflow_provider_cytechbot.exports.layouts import Question

#: Some subscribers with their answers: the number of each question, and the text.
NumberedBatch = list[tuple[str, list[tuple[int, str | None]]]]


class _QuestionNumbers(dict["Question", int]):
    """Numbers the questions in the order in which they first occur."""

    def __init__(self) -> None:
        self.questions: list[Question] = []

    def __missing__(self, question: Question) -> int:
        number = self[question] = len(self)
        self.questions.append(question)
        return number


class AnswerSpool:
    """
    Stores batches and returns them as often as needed.

    The questions, which repeat in every subscriber, are kept once, in memory.

    :raises CyTechBotStorageError: The worker's disk cannot be used (also from the methods).
    """

    def __init__(self) -> None:
        self._spool: Spool[NumberedBatch] = Spool(NumberedBatch)
        self._numbers = _QuestionNumbers()

    @property
    def questions(self) -> Sequence[Question]:
        """Every question that has an answer, in the order in which they first occurred."""
        return self._numbers.questions

    def fill(self, batches: Iterable[Batch]) -> AnswerSpool:
        """Store several batches."""
        for batch in batches:
            self.add(batch)
        return self

    def add(self, batch: Batch) -> int:
        """Store a batch and return its place, for :meth:`read`."""
        numbers = self._numbers
        return self._spool.append(
            [
                (subscriber_id, [(numbers[each.question_id, each.question], each.answer) for each in answers])
                for subscriber_id, answers in batch
            ]
        )

    def read(self, place: int) -> Batch:
        """Return the batch at a place."""
        return self._with_questions(self._spool.read(place))

    def read_numbered(self, place: int) -> NumberedBatch:
        """Return the batch at a place with numbers for questions, which is faster."""
        return self._spool.read(place)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches in the order in which they were stored."""
        return map(self._with_questions, self._spool)

    def close(self) -> None:
        """Free the disk."""
        self._spool.close()

    def _with_questions(self, batch: NumberedBatch) -> Batch:
        from airflow_provider_cytechbot.api.flow_answer_batches import Answer

        questions = self.questions
        return [
            (subscriber_id, [Answer(*questions[number], answer) for number, answer in answers])
            for subscriber_id, answers in batch
        ]
