"""Records on the worker's disk, for work that needs all of them before it can go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar

from airflow_provider_cytechbot.storage.scratch_file import open_scratch_file, scratch_error

T = TypeVar("T")

_LENGTH_BYTES = 4


class Spool(Generic[T]):
    """
    Stores records in a scratch file, as MessagePack, and returns them as often as needed.

    :param kind: The type of a record, for msgspec; by default whatever MessagePack can hold.
    :raises CyTechBotStorageError: The worker's disk cannot be used (also from the methods).
    """

    def __init__(self, kind: Any = Any) -> None:
        import msgspec

        self._file = open_scratch_file()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._end = self._position = 0
        self.count = 0

    def append(self, record: T) -> int:
        """Store a record and return its place, for :meth:`read`."""
        data: bytes = self._encode(record)
        place = self._end
        try:
            if self._position != place:
                self._file.seek(place)
            self._file.write(len(data).to_bytes(_LENGTH_BYTES, "little") + data)
        except OSError as error:
            self._position = -1
            raise scratch_error(error) from None
        self._end = self._position = place + _LENGTH_BYTES + len(data)
        self.count += 1
        return place

    def read(self, place: int) -> T:
        """Return the record at a place."""
        try:
            if self._position != place:
                self._file.seek(place)
            length = int.from_bytes(self._file.read(_LENGTH_BYTES), "little")
            data = self._file.read(length)
        except OSError as error:
            self._position = -1
            raise scratch_error(error) from None
        self._position = place + _LENGTH_BYTES + length
        record: T = self._decode(data)
        return record

    def __iter__(self) -> Iterator[T]:
        """Yield all records in the order in which they were stored; other calls may come in between."""
        place = 0
        while place < self._end:
            record = self.read(place)
            place = self._position
            yield record

    def close(self) -> None:
        """Free the disk."""
        with suppress(OSError):  # a full disk takes no more of the records, which nobody will read
            self._file.close()
