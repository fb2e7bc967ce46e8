"""Answers on the worker's disk, for what needs to know them all before it can write the first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch
    from airflow_provider_cytechbot.exports.layouts import Question

_LENGTH = 4


class Spool:
    """
    Takes batches and gives them back, as often as asked. Its file has no name, so it outlives no process.

    The questions, which repeat in every subscriber, are kept in memory once.
    """

    def __init__(self) -> None:
        import msgspec

        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(list[tuple[str, list[tuple[int, str | None]]]]).decode
        self._numbers: dict[Question, int] = {}

    @property
    def questions(self) -> list[Question]:
        """Every question that was answered, in the order in which they were met."""
        return list(self._numbers)

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
                [
                    (numbers.setdefault((each.question_id, each.question), len(numbers)), each.answer)
                    for each in answers
                ],
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

        self._file.seek(place[0] + _LENGTH)
        questions = self.questions
        return [
            (subscriber_id, [Answer(*questions[number], answer) for number, answer in answers])
            for subscriber_id, answers in self._decode(self._file.read(place[1] - _LENGTH))
        ]

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
