"""State files of ``export_mode="changes"``: digests of all answers of one campaign at one interval."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast

import msgspec

if TYPE_CHECKING:
    from airflow_provider_cytechbot.exports.layouts import Question
    from airflow_provider_cytechbot.storage.locations import StorageLocation

VERSION = 3
SUFFIX = ".state.gz"

#: Subscribers are compared a bucket at a time, so that memory holds the 256th part of a campaign.
BUCKETS = 256
#: The largest block in bytes. Reading a file from elsewhere takes no more memory.
MAX_BLOCK_SIZE = 256 * 1024 * 1024
# A question's number, which gzip shrinks to almost nothing, and six bytes of BLAKE2b: a change is missed with
# probability 2**-48. Subscribers can make two texts with the same digest and hide a change of their own.
_ENTRY = struct.Struct("<I6s")
_LENGTH = struct.Struct("<I")
_BAD_CONTENT = (
    EOFError,
    gzip.BadGzipFile,
    struct.error,
    zlib.error,
    ValueError,
    OverflowError,
    RecursionError,
    msgspec.MsgspecError,
)


class StateHead(msgspec.Struct, forbid_unknown_fields=True):
    """
    The first block of a state file.

    :param version: The version of the format.
    :param campaign: The URI of the campaign, with the server's address.
    :param interval: The name of the file.
    :param extracted_at: When the answers were requested.
    :param digest: The digest of all buckets.
    :param is_first: Whether there was no earlier state to compare with.
    :param answers: The number of answers.
    :param columns: The names of the columns of the export.
    :param questions: The questions, by whose position the buckets refer to them.
    """

    version: int
    campaign: str
    interval: str
    extracted_at: str
    digest: str
    is_first: bool
    answers: int
    columns: list[str]
    questions: list[tuple[str | None, str | None]]


class _Version(msgspec.Struct):
    version: int


class StoredState:
    """
    A stored state: its head, then a block for each bucket, then a digest of everything before.

    :param location: The file.
    :param campaign: The URI of the campaign that it must be of.
    :raises CyTechBotStorageRefusedError: It is damaged, or of another version, campaign, server or interval.
    """

    def __init__(self, location: StorageLocation, campaign: str) -> None:
        self._location = location
        with self._open() as source:
            reader = _BlockReader(source)
            self.head = self._head(reader.read(), campaign)
            digest = blake2b(digest_size=16)
            for _ in range(BUCKETS):
                digest.update(reader.read())
            is_whole = digest.hexdigest() == self.head.digest
            if not is_whole or reader.digest() != read_block(source) or source.read(1):
                raise ValueError("the content does not match its digests")

    def blocks(self) -> Iterator[bytes]:
        """Yield the block of each bucket."""
        with self._open() as source:
            read_block(source)
            for _ in range(BUCKETS):
                yield read_block(source)

    def subscribers(self, number: int, block: bytes) -> dict[str, bytes]:
        """
        Return the entries of each subscriber of a bucket.

        :param number: The number of the bucket.
        :param block: Its block.
        """
        try:
            found = msgspec.msgpack.decode(block, type=dict[str, bytes])
        except _BAD_CONTENT:
            self._refuse_damaged()
        for subscriber_id, entries in found.items():
            if bucket_of(subscriber_id) != number or len(entries) % _ENTRY.size:
                self._refuse_damaged()
        return found

    def answers(self, entries: bytes) -> Iterator[tuple[Question, bytes]]:
        """Yield the question and the digest of each answer of a subscriber."""
        questions = self.head.questions
        for number, digest in _ENTRY.iter_unpack(entries):
            if number >= len(questions):
                self._refuse_damaged()
            yield questions[number], digest

    def _head(self, block: bytes, campaign: str) -> StateHead:
        if msgspec.json.decode(block, type=_Version).version != VERSION:
            raise self._location.failures.refused(
                "holds a state of another version of this provider.",
                "Remove it to compare with the one before it.",
            )
        head = msgspec.json.decode(block, type=StateHead)
        if datetime.fromisoformat(head.extracted_at).tzinfo is None:
            raise ValueError("the time has no offset")
        if head.campaign != campaign:
            raise self._location.failures.refused(
                f"holds a state of {head.campaign[:200]!r}, but this task exports {campaign!r}.",
                "Give each server a state_path of its own.",
            )
        if head.interval != self._location.path.name:
            raise self._location.failures.refused(
                f"holds the state {head.interval[:100]!r}: it was renamed or copied.",
                "Remove it to compare with the one before it.",
            )
        return head

    def _refuse_damaged(self) -> NoReturn:
        raise self._location.failures.refused(
            "holds a damaged state.", "Remove it to compare with the one before it."
        ) from None

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        with self._location.failures.translate_errors(has_begun=True):
            try:
                with self._location.open() as file, gzip.GzipFile(fileobj=file) as source:
                    yield cast("IO[bytes]", source)
            except _BAD_CONTENT:
                self._refuse_damaged()


class _BlockReader:
    """Reads blocks and computes their digest."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._digest = blake2b(digest_size=16)

    def read(self) -> bytes:
        block = read_block(self._source)
        self._digest.update(_LENGTH.pack(len(block)) + block)
        return block

    def digest(self) -> bytes:
        return self._digest.digest()


def write_state(sink: Any, head: StateHead, blocks: Iterable[bytes]) -> None:
    """
    Write a state file.

    :param sink: The file.
    :param head: The head.
    :param blocks: The block of each bucket.
    """
    digest = blake2b(digest_size=16)
    with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=sink, mtime=0) as file:
        for block in chain([json.dumps(msgspec.structs.asdict(head)).encode()], blocks):
            digest.update(write_block(file, block))
        write_block(file, digest.digest())


def state_name(interval: datetime) -> str:
    """Return the name of an interval's state file. Names sort like intervals."""
    return f"{interval.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}{SUFFIX}"


def bucket_of(subscriber_id: str) -> int:
    """Return the number of a subscriber's bucket."""
    return zlib.crc32(subscriber_id.encode()) % BUCKETS


def digest_of(answer: str | None) -> bytes:
    """Return the digest of an answer."""
    return blake2b(b"" if answer is None else b"=" + answer.encode(), digest_size=6).digest()


def encode_bucket(subscribers: dict[str, list[tuple[int, str | None]]]) -> bytes:
    """
    Return the block of a bucket.

    :param subscribers: Each subscriber's answers, with the numbers of their questions.
    """
    return msgspec.msgpack.encode(
        {
            subscriber_id: b"".join([_ENTRY.pack(number, digest_of(answer)) for number, answer in answers])
            for subscriber_id, answers in subscribers.items()
        }
    )


def write_block(sink: Any, block: bytes) -> bytes:
    """Write a block with its length, and return the written bytes."""
    written = _LENGTH.pack(len(block)) + block
    sink.write(written)
    return written


def read_block(source: Any) -> bytes:
    """
    Read a block.

    :raises EOFError: It is cut short.
    :raises ValueError: It is too long.
    """
    (length,) = _LENGTH.unpack(source.read(_LENGTH.size))
    if length > MAX_BLOCK_SIZE:
        raise ValueError("a block is too long")
    block: bytes = source.read(length)
    if len(block) < length:
        raise EOFError("a block is cut short")
    return block
