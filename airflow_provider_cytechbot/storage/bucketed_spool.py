"""Records on the worker's disk by key, to group or compare more of them than memory holds."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Generic

from airflow_provider_cytechbot.storage.spool import Spool, T

BUCKETS = 256
#: How many bytes of records wait in memory until they are written, in one piece for each bucket.
_MAX_WAITING_BYTES = 4 * 1024 * 1024
#: What a record takes in memory beside its bytes.
_OVERHEAD_BYTES = 48


def bucket_of(key: str, buckets: int = BUCKETS) -> int:
    """
    Return the number of the bucket for a key: the same in every process.

    :param key: The key.
    :param buckets: How many buckets there are.
    """
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=8, person=b"bucket").digest()
    return int.from_bytes(digest) % buckets


class BucketedSpool(Generic[T]):
    """
    Stores records in buckets, by a hash of their keys: records with one key are in one bucket.

    Two spools with the same number of buckets can be compared one bucket at a time.

    :param buckets: How many buckets there are. One of them at a time is held in memory.
    :param kind: The type of a record, for msgspec; by default whatever MessagePack can hold.
    :raises CyTechBotStorageError: The worker's disk cannot be used (also from the methods).
    """

    def __init__(self, buckets: int = BUCKETS, kind: Any = Any) -> None:
        import msgspec

        self._spool: Spool[list[msgspec.Raw]] = Spool(list[msgspec.Raw])
        self._as_raw = msgspec.Raw
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._waiting: list[list[bytes]] = [[] for _ in range(buckets)]
        self._waiting_bytes = 0
        self._places: list[list[int]] = [[] for _ in range(buckets)]
        self.count = 0

    def append(self, key: str, record: T) -> None:
        """
        Store a record.

        :param key: Its key, which the record itself has to hold if it is needed later.
        :param record: The record.
        """
        data: bytes = self._encode(record)
        self._waiting[bucket_of(key, len(self._waiting))].append(data)
        self._waiting_bytes += len(data) + _OVERHEAD_BYTES
        self.count += 1
        if self._waiting_bytes >= _MAX_WAITING_BYTES:
            self._write()

    def bucket(self, number: int) -> list[T]:
        """
        Return the records of a bucket, in the order in which they were stored.

        :param number: The number of the bucket, from 0.
        """
        stored = [raw for place in self._places[number] for raw in self._spool.read(place)]
        return [self._decode(data) for data in (*stored, *self._waiting[number])]

    def __iter__(self) -> Iterator[list[T]]:
        """Yield the records of each bucket."""
        return map(self.bucket, range(len(self._places)))

    def close(self) -> None:
        """Free the disk."""
        self._spool.close()

    def _write(self) -> None:
        for places, waiting in zip(self._places, self._waiting, strict=True):
            if waiting:
                places.append(self._spool.append(list(map(self._as_raw, waiting))))
                waiting.clear()
        self._waiting_bytes = 0
