"""Counts of the most frequent answers in bounded memory, exact while the answers are few."""

from __future__ import annotations

from hashlib import blake2b
from heapq import heappush, heappushpop, nlargest
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_cytechbot.reports.answer_text import ShownText

#: How many answers keep their count when memory is full; it is full with twice this number.
MAX_ANSWERS = 1_000
#: How many hashes estimate the number of different answers: the standard error is 1.6 %.
_HASHES = 4_096
_HASH_SPACE = 2**64


class FrequentAnswers:
    """
    Counts answers: the algorithm of Misra and Gries, with amortised constant time for each answer.

    Counts are exact up to twice ``size`` different answers. Beyond that, all counts are reduced by the same
    number, and answers whose count reaches zero are dropped. So each count is at most :attr:`max_missed` too
    low, and an answer without a count was given at most that often.

    :param size: How many answers keep their count.
    """

    def __init__(self, size: int = MAX_ANSWERS) -> None:
        #: The number of answers.
        self.total = 0
        #: By how much a count may be too low: at most a share of ``1 / (size + 1)`` of all answers.
        self.max_missed = 0
        self._size = size
        self._counts: dict[ShownText, int] = {}
        self._estimate: _DistinctEstimate | None = None

    @property
    def is_approximate(self) -> bool:
        """Whether there were too many different answers to count each one."""
        return self._estimate is not None

    @property
    def distinct(self) -> int:
        """How many different answers there were, estimated if :attr:`is_approximate`."""
        return len(self._counts) if self._estimate is None else round(self._estimate)

    def add(self, answer: ShownText) -> None:
        """
        Count an answer.

        :param answer: The answer.
        """
        self.total += 1
        count = self._counts.get(answer, 0)
        self._counts[answer] = count + 1
        if count:
            return
        if self._estimate is not None:
            self._estimate.add(answer)
        if len(self._counts) > 2 * self._size:
            self._reduce()

    def most_frequent(self, limit: int) -> list[tuple[ShownText, int]]:
        """
        Return the most frequent answers and their counts, the most frequent first.

        Of approximate counts it returns only answers that were certainly given more often than every answer
        without a count.

        :param limit: The largest number of answers.
        """
        certain = (each for each in self._counts.items() if each[1] > self.max_missed)
        return nlargest(limit, certain, key=itemgetter(1))

    def _reduce(self) -> None:
        if self._estimate is None:
            self._estimate = _DistinctEstimate()
            for answer in self._counts:
                self._estimate.add(answer)
        reduction = nlargest(self._size + 1, self._counts.values())[-1]
        self.max_missed += reduction
        self._counts = {
            answer: count - reduction for answer, count in self._counts.items() if count > reduction
        }


class _DistinctEstimate:
    """Estimates how many different answers there were from the smallest hashes (k minimum values)."""

    def __init__(self) -> None:
        self._negated: list[int] = []
        self._hashes: set[int] = set()

    def add(self, answer: ShownText) -> None:
        data = f"{answer.left_out} {answer.text}".encode(errors="surrogatepass") + answer.digest
        found = int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
        if found in self._hashes:
            return
        if len(self._negated) < _HASHES:
            heappush(self._negated, -found)
        elif found < -self._negated[0]:
            self._hashes.remove(-heappushpop(self._negated, -found))
        else:
            return
        self._hashes.add(found)

    def __round__(self) -> int:
        if len(self._negated) < _HASHES:
            return len(self._negated)
        return round((_HASHES - 1) * _HASH_SPACE / -self._negated[0])
