"""A set of subscribers, compact in memory and in Airflow's asset state store."""

from __future__ import annotations

import base64
import hashlib
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import islice
from operator import lt
from typing import Any

#: Increased whenever the stored form changes.
STATE_VERSION = 1
#: Bytes of the digest of each subscriber's id. With 100,000 subscribers, a new one is mistaken for a seen one
#: with probability 1 in 10**14, and the state takes 1.07 MB. Ids themselves can be long, and are personal
#: data that does not belong into Airflow's database.
DIGEST_SIZE = 8


class StateError(Exception):
    """A stored state that this version of the provider cannot read."""


class SeenSubscribers:
    """
    The subscribers seen so far, by digests of their ids.

    :param digests: The digests, as numbers.
    """

    def __init__(self, digests: Iterable[int] = ()) -> None:
        self._sorted = array("Q", sorted(set(digests)))

    def __len__(self) -> int:
        """Return the number of subscribers seen."""
        return len(self._sorted)

    def unseen(self, subscriber_ids: Iterable[str]) -> list[str]:
        """
        Return the subscribers that were not seen, in the order given.

        :param subscriber_ids: Some subscribers.
        """
        return [each for each in subscriber_ids if not self._has(_digest(each))]

    def with_also(self, subscriber_ids: Iterable[str]) -> SeenSubscribers:
        """
        Return a set that holds these, too.

        :param subscriber_ids: Some subscribers.
        """
        return self.union(SeenSubscribers(map(_digest, subscriber_ids)))

    def union(self, other: SeenSubscribers) -> SeenSubscribers:
        """
        Return a set that holds the subscribers of both.

        :param other: Another set.
        """
        fewer, more = sorted((self._sorted, other._sorted), key=len)
        both = SeenSubscribers()
        start = 0
        # Slices are copied, as Python's numbers would take ten times the memory: a few of a million are new.
        for digest in fewer:
            end = bisect_left(more, digest, start)
            both._sorted.extend(more[start:end])
            both._sorted.append(digest)
            start = end + (more[end : end + 1] == array("Q", [digest]))
        both._sorted.extend(more[start:])
        return both

    def to_state(self) -> dict[str, Any]:
        """Return the form that is stored."""
        digests = self._sorted[:]
        if sys.byteorder == "little":
            digests.byteswap()
        return {
            "version": STATE_VERSION,
            "count": len(digests),
            "seen": base64.b64encode(digests.tobytes()).decode("ascii"),
        }

    @classmethod
    def from_state(cls, state: Any) -> SeenSubscribers:
        """
        Return the set of a stored state.

        :param state: A result of :meth:`to_state`.
        :raises StateError: The state is damaged or of another version.
        """
        if not isinstance(state, dict) or state.get("version") != STATE_VERSION:
            version = state.get("version") if isinstance(state, dict) else type(state).__name__
            raise StateError(f"it is of version {version!r}, not {STATE_VERSION}")
        digests = array("Q")
        try:
            digests.frombytes(base64.b64decode(state["seen"], validate=True))
        except (KeyError, TypeError, ValueError):
            raise StateError("it is damaged") from None
        if sys.byteorder == "little":
            digests.byteswap()
        if len(digests) != state.get("count") or not all(map(lt, digests, islice(digests, 1, None))):
            raise StateError("it is damaged")
        seen = cls()
        seen._sorted = digests
        return seen

    def _has(self, digest: int) -> bool:
        at = bisect_left(self._sorted, digest)
        return at < len(self._sorted) and self._sorted[at] == digest


def _digest(subscriber_id: str) -> int:
    digest = hashlib.blake2b(subscriber_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST_SIZE)
    return int.from_bytes(digest.digest(), "big")
