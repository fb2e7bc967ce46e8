"""Answers on the worker's disk, for what needs to know them all before it can write the first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.storage.disk_room import check_room

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch
    from airflow_provider_cytechbot.exports.layouts import Question

_LENGTH = 4

#: Some subscribers with their answers: of each the number of its question, and the text.
NumberedBatch = list[tuple[str, list[tuple[int, str | None]]]]


class _Numbers(dict["Question", int]):
    """Numbers questions in the order in which they are met."""

    def __init__(self) -> None:
        self.questions: list[Question] = []

    def __missing__(self, question: Question) -> int:
        number = self[question] = len(self)
        self.questions.append(question)
        return number


class Spool:
    """
    Takes batches and gives them back, as often as asked. Its file has no name, so it outlives no process.

    The questions, which repeat in every subscriber, are kept in memory once.

    :raises OSError: The disk has no room.
    """

    def __init__(self) -> None:
        import msgspec

        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        check_room(self._file)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(NumberedBatch).decode
        self._numbers = _Numbers()

    @property
    def questions(self) -> Sequence[Question]:
        """Every question that was answered, in the order in which they were met."""
        return self._numbers.questions

    def fill(self, batches: Iterable[Batch]) -> Spool:
        """Take all of some batches."""
        for batch in batches:
            self.add(batch)
        return self

    def add(self, batch: Batch) -> tuple[int, int]:
        """Take a batch and return its place, for :meth:`read`."""
        numbers = self._numbers
        rows = [
            (
                subscriber_id,
                [(numbers[each.question_id, each.question], each.answer) for each in answers],
            )
            for subscriber_id, answers in batch
        ]
        data = self._encode(rows)
        place = self._file.tell(), len(data) + _LENGTH
        self._file.write(len(data).to_bytes(_LENGTH, "little") + data)
        return place

    def read(self, place: tuple[int, int]) -> Batch:
        """Return the batch at a place."""
        from airflow_provider_cytechbot.api.flow_answer_batches import Answer

        questions = self.questions
        return [
            (subscriber_id, [Answer(*questions[number], answer) for number, answer in answers])
            for subscriber_id, answers in self.read_numbered(place)
        ]

    def read_numbered(self, place: tuple[int, int]) -> NumberedBatch:
        """Return the batch at a place with numbers for questions, which is quicker."""
        self._file.seek(place[0] + _LENGTH)
        batch: NumberedBatch = self._decode(self._file.read(place[1] - _LENGTH))
        return batch

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches in the order in which they came."""
        end = self._file.seek(0, 2)
        at = 0
        while at < end:
            self._file.seek(at)
            length = int.from_bytes(self._file.read(_LENGTH), "little") + _LENGTH
            yield self.read((at, length))
            at += length

    def close(self) -> None:
        """Give the disk its room back."""
        self._file.close()
