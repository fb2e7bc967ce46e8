"""A set of subscribers as small as it needs to be, in memory and in Airflow's asset state store."""

from __future__ import annotations

import base64
import hashlib
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

#: Raised by one whenever the stored form changes.
STATE_VERSION = 1
#: Of a subscriber's id, so many bytes of a digest are kept. With 100,000 seen, the odds that a new one is
#: taken for one of them are 1 in 10**14, and what is stored is 1.07 MB. Ids themselves would not be smaller,
#: as on some channels they are long text, and they are personal data that has no business in Airflow's
#: database.
DIGEST_SIZE = 8


class StateError(Exception):
    """A stored state that this version of the provider cannot read."""


class SeenSubscribers:
    """
    Remembers which subscribers were seen, by digests of their ids.

    :param digests: The digests, as numbers.
    """

    def __init__(self, digests: Iterable[int] = ()) -> None:
        self._sorted = array("Q", sorted(digests))

    def __len__(self) -> int:
        """Return how many were seen."""
        return len(self._sorted)

    def unseen(self, subscriber_ids: Iterable[str]) -> list[str]:
        """
        Return those who were not seen, in the order given.

        :param subscriber_ids: Some subscribers.
        """
        return [each for each in subscriber_ids if not self._has(_digest(each))]

    def with_also(self, subscriber_ids: Iterable[str]) -> SeenSubscribers:
        """
        Return what is remembered once these were seen too.

        :param subscriber_ids: Some subscribers.
        """
        return SeenSubscribers({*self._sorted, *map(_digest, subscriber_ids)})

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
        Return what was stored.

        :param state: What :meth:`to_state` returned.
        :raises StateError: It is something else.
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
        if len(digests) != state.get("count"):
            raise StateError("it is damaged")
        return cls(digests)

    def _has(self, digest: int) -> bool:
        at = bisect_left(self._sorted, digest)
        return at < len(self._sorted) and self._sorted[at] == digest


def _digest(subscriber_id: str) -> int:
    digest = hashlib.blake2b(subscriber_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST_SIZE)
    return int.from_bytes(digest.digest(), "big")
