"""Merging subscribers that occur several times in an answer: the wide layout has one row for each."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_answer_batches import Answer, Batch

#: Hashes are compared one bucket at a time, so that memory holds the 256th part of them twice.
_BUCKETS = 256


class RepeatedSubscribers:
    """
    Finds subscribers that occur more than once, which JSON allows.

    Memory holds eight bytes for each subscriber, and the answers of those that occur again.
    """

    def __init__(self) -> None:
        self._hashes = [array("q") for _ in range(_BUCKETS)]

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """
        Yield batches unchanged, and store a hash of each subscriber.

        :param batches: All subscribers, as they arrive.
        """
        for batch in batches:
            for subscriber_id, _ in batch:
                found = hash(subscriber_id)
                self._hashes[found % _BUCKETS].append(found)
            yield batch

    def merge(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """
        Yield the batches with each subscriber once, at its first place, with all of its answers.

        :param batches: The same subscribers, which can be iterated over twice.
        """
        repeated = self._repeated()
        answers_of: dict[str, list[Answer]] = {}
        for batch in batches if repeated else ():
            for subscriber_id, answers in batch:
                if hash(subscriber_id) in repeated:
                    answers_of.setdefault(subscriber_id, []).extend(answers)
        for batch in batches:
            yield [
                (subscriber_id, answers_of.pop(subscriber_id, answers))
                for subscriber_id, answers in batch
                if subscriber_id in answers_of or hash(subscriber_id) not in repeated
            ]

    def _repeated(self) -> set[int]:
        found: set[int] = set()
        for hashes in self._hashes:
            if len(set(hashes)) < len(hashes):
                found.update(each for each, times in Counter(hashes).items() if times > 1)
        return found
