"""Shards: a bulk write divided among tasks by a hash of each row's key."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

MAX_SHARDS = 10_000


class Shard(NamedTuple):
    """
    One of the shards.

    :param number: Its number, from 0.
    :param shards: How many there are.
    """

    number: int = 0
    shards: int = 1

    def has(self, key: str | None) -> bool:
        """Return whether the rows of a key are in this shard. The answer never changes."""
        if self.shards == 1:
            return True
        digest = blake2b((key or "").encode(), digest_size=8).digest()
        return int.from_bytes(digest) % self.shards == self.number

    @property
    def folder(self) -> str:
        """The name of the shard's folder in the state; empty if there is one shard only."""
        return f"shard-{self.number}-of-{self.shards}" if self.shards > 1 else ""


#: All rows.
WHOLE = Shard()
