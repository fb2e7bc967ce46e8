"""State files of ``export_mode="changes"``: digests of all answers of one campaign at one interval."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast

import msgspec

from airflow_provider_cytechbot.api.decoders import is_empty_id, is_rounded_id
from airflow_provider_cytechbot.api.errors import CyTechBotStorageError
from airflow_provider_cytechbot.api.times import is_future

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

    The digests find damage. Content that no export can have is refused, too, although its digests match.

    :param location: The file.
    :param campaign: The URI of the campaign that it must be of.
    :raises CyTechBotStorageRefusedError: It is damaged or impossible, or of another version, campaign, server
        or interval.
    """

    def __init__(self, location: StorageLocation, campaign: str) -> None:
        self._location = location
        with self._open() as source:
            reader = _BlockReader(source)
            self._head_block = reader.read()
            self.head = self._head(self._head_block)
            digest, check = blake2b(digest_size=16), _ContentCheck(self.head, self._head_block)
            for number in range(BUCKETS):
                block = reader.read()
                digest.update(block)
                check.add(number, block)
            is_whole = digest.hexdigest() == self.head.digest
            if not is_whole or reader.digest() != read_block(source) or source.read(1):
                raise ValueError("the content does not match its digests")
        self._refuse_foreign(campaign)
        if problem := check.problem():
            raise self._location.failures.refused(
                f"holds an impossible state: {problem}. No export has written it like that.",
                "Remove it to compare with the one before it.",
            )

    def blocks(self) -> Generator[bytes]:
        """
        Yield the block of each bucket, the last one when all are known to be those that were checked.

        :raises CyTechBotStorageError: The file was replaced since it was checked.
        """
        digest = blake2b(digest_size=16)
        with self._open() as source:
            is_same = read_block(source) == self._head_block
            for number in range(BUCKETS):
                block = read_block(source)
                digest.update(block)
                if number == BUCKETS - 1:
                    is_same = is_same and digest.hexdigest() == self.head.digest
                if not is_same:
                    raise CyTechBotStorageError(
                        f"{self._location.path} was replaced by a run at the same time.",
                        "The next try compares with it. Let one run at a time export: max_active_runs=1.",
                    )
                yield block

    def subscribers(self, block: bytes) -> dict[str, bytes]:
        """
        Return the entries of each subscriber of a bucket.

        :param block: Its block.
        """
        try:
            return msgspec.msgpack.decode(block, type=dict[str, bytes])
        except _BAD_CONTENT:
            self._refuse_damaged()

    def has_answers(self) -> bool:
        """Return whether any answer has a text."""
        no_texts = {digest_of(None), digest_of("")}
        with closing(self.blocks()) as blocks:
            return any(
                digest not in no_texts
                for block in blocks
                for entries in self.subscribers(block).values()
                for _, digest in self.answers(entries)
            )

    def answers(self, entries: bytes) -> Iterator[tuple[Question, bytes]]:
        """Yield the question and the digest of each answer of a subscriber."""
        questions = self.head.questions
        try:
            for number, digest in _ENTRY.iter_unpack(entries):
                yield questions[number], digest
        except (struct.error, IndexError):  # damaged since it was checked
            self._refuse_damaged()

    def _head(self, block: bytes) -> StateHead:
        if msgspec.json.decode(block, type=_Version).version != VERSION:
            raise self._location.failures.refused(
                "holds a state of another version of this provider.",
                "Remove it to compare with the one before it.",
            )
        return msgspec.json.decode(block, type=StateHead)

    def _refuse_foreign(self, campaign: str) -> None:
        head = self.head
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


class _ContentCheck:
    """
    Looks for content that no export can have.

    What an export writes has one form: whatever encodes to other bytes than were read, such as a subscriber
    that occurs twice, is something else.

    :param head: The head.
    :param head_block: Its block.
    """

    def __init__(self, head: StateHead, head_block: bytes) -> None:
        self._head = head
        self._answers = 0
        self._numbers: set[int] = set()
        self._problem = (
            "" if encode_head(head) == head_block else "its head has members that do not belong there"
        )

    def add(self, number: int, block: bytes) -> None:
        """
        Check a bucket.

        :param number: Its number.
        :param block: Its block.
        """
        self._problem = self._problem or self._problem_of(number, block)

    def problem(self) -> str:
        """Return what was found, after the last bucket; empty if everything is possible."""
        return self._problem or self._problem_of_head()

    def _problem_of(self, number: int, block: bytes) -> str:
        try:
            found = msgspec.msgpack.decode(block, type=dict[str, bytes])
        except _BAD_CONTENT:
            return f"bucket {number} cannot be read"
        if msgspec.msgpack.encode(found) != block or list(found) != sorted(found):
            return f"bucket {number} has a subscriber twice, or its subscribers out of order"
        for subscriber_id, entries in found.items():
            if bucket_of(subscriber_id) != number:
                return f"bucket {number} has a subscriber of another bucket"
            if not subscriber_id.isdigit() and (is_empty_id(subscriber_id) or is_rounded_id(subscriber_id)):
                return f"{subscriber_id[:40]!r} is not the id of a subscriber"
            if len(entries) % _ENTRY.size:
                return f"an answer in bucket {number} is cut short"
        entries = b"".join(found.values())
        self._answers += len(entries) // _ENTRY.size
        self._numbers.update([question for question, _ in _ENTRY.iter_unpack(entries)])
        return ""

    def _problem_of_head(self) -> str:
        head = self._head
        for name, found in (("question", head.questions), ("column", head.columns)):
            if len(set(found)) < len(found):
                return f"it has a {name} twice"
        if self._numbers != set(range(len(head.questions))):
            return f"its answers do not belong to its {len(head.questions)} questions"
        if self._answers != head.answers:
            return f"it has {self._answers} answers and counts {head.answers}"
        return _problem_of_time(head.extracted_at)


def _problem_of_time(text: str) -> str:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return f"{text[:40]!r} is not a time"
    if time.tzinfo is None or time.isoformat() != text:
        return f"{text[:40]!r} is not a time as exports write it"
    if is_future(time):
        return f"it was extracted at {text}, which is in the future"
    return ""


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
        for block in chain([encode_head(head)], blocks):
            digest.update(write_block(file, block))
        write_block(file, digest.digest())


def encode_head(head: StateHead) -> bytes:
    """Return the block of a head."""
    return json.dumps(msgspec.structs.asdict(head)).encode()


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
