"""What is new, changed or gone since the export before, by a digest of each answer kept between runs."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import msgspec

from airflow_provider_cytechbot.api.flow_answer_batches import Answer
from airflow_provider_cytechbot.exports.answer_spool import AnswerSpool
from airflow_provider_cytechbot.storage.scratch_file import open_scratch_file
from airflow_provider_cytechbot.storage.staged_files import StagedFile

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch
    from airflow_provider_cytechbot.exports.layouts import Question
    from airflow_provider_cytechbot.storage.locations import StorageLocation

_T = TypeVar("_T")

NEW, CHANGED, GONE = "new", "changed", "gone"

#: Subscribers are compared a bucket at a time, so that memory holds the 256th part of a campaign.
BUCKETS = 256
#: How much waits in memory until it is put into its buckets: about so many bytes.
_WAITING_AT_MOST = 3_000_000
#: What an answer takes beside its text.
_BYTES_OF_AN_ANSWER = 100
#: How much of a state is read at a time.
_AT_A_TIME = 1024 * 1024
#: How many states are kept: so many intervals back can be run again with the same result.
KEPT_STATES = 14

_VERSION = 1
_SUFFIX = ".state.gz"
# A question's number, most of which gzip takes back, and six bytes of BLAKE2b: of 280 million million changed
# answers one goes unseen by chance. Who wants to can make two texts in minutes that are taken for the same,
# and so hide a change of an answer of their own, no one else's.
_ENTRY = struct.Struct("<I6s")
_LENGTH = struct.Struct("<I")


class _Key(NamedTuple):
    """One answer of a subscriber: the question, and which of several answers to it."""

    question: str
    occurrence: int


class ChangeLog:
    """
    Compares the answers of a campaign with those of the interval before, and keeps what the next one needs.

    A state is one file for each campaign and interval in a folder, which is the same from run to run. It is
    written after the export, so that a run that fails leaves all as it was. A run compares with the newest
    state of an earlier interval: running an interval again gives the same changes again.

    The new one is begun at once, so that trouble with the folder shows before the API is asked.

    :param folder: Where the states are.
    :param flow_campaign_id: The campaign's id.
    :param interval: What the run is for: later runs have later times.
    :raises CyTechBotStorageError: The folder cannot be read or written, or a state in it cannot be used.
    """

    def __init__(self, folder: StorageLocation, flow_campaign_id: str, interval: datetime) -> None:
        self._folder = folder.child(f"flow_campaign_id={flow_campaign_id}")
        self._name = interval.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ") + _SUFFIX
        self._spool = AnswerSpool()
        self._places: list[list[int]] = [[] for _ in range(BUCKETS)]
        self._waiting: list[Batch] = [[] for _ in range(BUCKETS)]
        self._blocks = open_scratch_file()
        self._digest = ""
        self._states = [name for name in self._folder.names() if name.endswith(_SUFFIX)]
        self._own = _StoredState(self._folder.child(self._name)) if self._name in self._states else None
        earlier = [name for name in self._states if name < self._name]
        self._before = _StoredState(self._folder.child(earlier[-1])) if earlier else None
        if not earlier and self._is_too_old():
            raise self._folder.failures.refused(
                f"keeps no state before {self._name}: an export of that interval would call all answers new.",
                f"The last {KEPT_STATES} intervals can be run again.",
            )
        self._staged = StagedFile(self._folder.child(self._name))

    @property
    def is_first(self) -> bool:
        """Whether there is nothing to compare with: then all answers are new."""
        return self._before is None

    def fill(self, batches: Iterable[Batch]) -> None:
        """Take all answers of the campaign, onto the disk of the worker."""
        waiting = 0
        for batch in batches:
            for member in batch:
                self._waiting[zlib.crc32(member[0].encode()) % BUCKETS].append(member)
                waiting += _BYTES_OF_AN_ANSWER * (len(member[1]) + 1)
                waiting += sum([len(each.answer or "") for each in member[1]])
            if waiting >= _WAITING_AT_MOST:
                self._put_into_buckets()
                waiting = 0
        self._put_into_buckets()
        self._digest_all()

    def extracted_at(self, now: str) -> str:
        """
        Return the time to write into the rows.

        :param now: When the answers were asked for. Where this interval was exported before and nothing is
            different since, it is the time of that: running it again gives the same file.
        """
        if self._own and self._own.head["digest"] == self._digest:
            return str(self._own.head["extracted_at"])
        return now

    def changes(self) -> Iterator[tuple[Batch, list[str]]]:
        """Yield subscribers with those of their answers that changed, and for each answer, how."""
        before = self._before.blocks() if self._before else iter(())
        old_questions = self._before.questions if self._before else []
        # Where questions have kept their numbers, equal entries are equal answers: most are passed over so.
        is_comparable = old_questions == self._spool.questions[: len(old_questions)]
        self._blocks.seek(0)
        for places in self._places:
            old_block, new_block = next(before, b""), _read(self._blocks)
            if is_comparable and old_block == new_block:
                continue
            old, new = _read_block(old_block), _read_block(new_block)
            differing = {each for each in {*old, *new} if not is_comparable or old.get(each) != new.get(each)}
            new_answers = _bucket(map(self._spool.read, places))
            batch, changes = self._compare(sorted(differing), old, old_questions, new_answers)
            if batch:
                yield batch, changes

    def save(self, extracted_at: str) -> None:
        """Keep what was found for the next interval, and forget what is older than the last few."""
        head = {
            "version": _VERSION,
            "extracted_at": extracted_at,
            "digest": self._digest,
            "is_first": self.is_first,
            "questions": self._spool.questions,
        }
        self._blocks.seek(0)
        file = cast("IO[bytes]", self._staged)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as sink:
            _write(sink, json.dumps(head).encode())
            while block := self._blocks.read(_AT_A_TIME):
                sink.write(block)
        self._staged.finish()
        self._staged.commit()
        for name in sorted({*self._states, self._name})[:-KEPT_STATES]:
            if name != self._name:
                self._folder.child(name).remove()

    def close(self) -> None:
        """Give the disk its room back, and drop a state that was not kept."""
        self._staged.discard()
        self._spool.close()
        self._blocks.close()

    def _is_too_old(self) -> bool:
        """Return whether there was a state to compare with, which has been forgotten since."""
        return not self._own.head["is_first"] if self._own else len(self._states) >= KEPT_STATES

    def _put_into_buckets(self) -> None:
        for places, waiting in zip(self._places, self._waiting, strict=True):
            if waiting:
                places.append(self._spool.add(waiting))
                waiting.clear()

    def _digest_all(self) -> None:
        """Write down the state as it is now."""
        whole = blake2b(digest_size=16)
        for places in self._places:
            bucket = _bucket(map(self._spool.read_numbered, places))
            block = msgspec.msgpack.encode(
                {
                    subscriber_id: b"".join(
                        [_ENTRY.pack(number, _digest(answer)) for number, answer in answers]
                    )
                    for subscriber_id, answers in bucket.items()
                }
            )
            whole.update(block)
            _write(self._blocks, block)
        self._digest = whole.hexdigest()

    def _compare(
        self,
        subscriber_ids: Sequence[str],
        old: dict[str, bytes],
        old_questions: list[Question],
        new: dict[str, list[Answer]],
    ) -> tuple[Batch, list[str]]:
        batch: Batch = []
        changes: list[str] = []
        for subscriber_id in subscriber_ids:
            if subscriber_id not in old:
                if answers := new[subscriber_id]:
                    batch.append((subscriber_id, answers))
                    changes += [NEW] * len(answers)
                continue
            keys = Counter[str]()
            before = {}
            for number, digest in _ENTRY.iter_unpack(old.get(subscriber_id, b"")):
                question_id, question = old_questions[number]
                before[_key(question_id, question, keys)] = (digest, question_id, question)
            keys.clear()
            found: list[Answer] = []
            for answer in new.get(subscriber_id, ()):
                was = before.pop(_key(answer.question_id, answer.question, keys), None)
                if was is None or was[0] != _digest(answer.answer):
                    found.append(answer)
                    changes.append(CHANGED if was else NEW)
            for _, question_id, question in before.values():
                found.append(Answer(question_id, question, None))
                changes.append(GONE)
            if found:
                batch.append((subscriber_id, found))
        return batch, changes


class _StoredState:
    """A state as it is kept: its head, then a block for each bucket."""

    def __init__(self, place: StorageLocation) -> None:
        self._place = place
        with self._opened() as source:
            self.head: dict[str, Any] = json.loads(_read(source))
            # Up to the check sum: what is damaged further on is known now, and not read as something else.
            while source.read(_AT_A_TIME):
                pass
        if self.head.get("version") != _VERSION:
            raise place.failures.refused(
                "holds a state of another version of this provider.",
                "Remove it to compare with the one before it.",
            )
        self.questions = [(question_id, question) for question_id, question in self.head["questions"]]

    def blocks(self) -> Iterator[bytes]:
        """Yield the block of each bucket."""
        with self._opened() as source:
            _read(source)
            for _ in range(BUCKETS):
                yield _read(source)

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        with self._place.failures.translate_errors(has_begun=True):
            try:
                with self._place.open() as file, gzip.GzipFile(fileobj=file) as source:
                    yield cast("IO[bytes]", source)
            except (EOFError, gzip.BadGzipFile, struct.error, zlib.error, ValueError):
                raise self._place.failures.refused(
                    "holds a damaged state.", "Remove it to compare with the one before it."
                ) from None


def _bucket(batches: Iterable[list[tuple[str, list[_T]]]]) -> dict[str, list[_T]]:
    """Return a bucket's subscribers in an order that does not depend on the server's."""
    found: dict[str, list[_T]] = defaultdict(list)
    for batch in batches:
        for subscriber_id, answers in batch:
            found[subscriber_id] += answers
    return dict(sorted(found.items()))


def _key(question_id: str | None, question: str | None, seen: Counter[str]) -> _Key:
    """Return what makes an answer the same one in two exports: a reworded question stays the same."""
    name = question_id if question_id is not None else f"?{question}"
    seen[name] += 1
    return _Key(name, seen[name])


def _digest(answer: str | None) -> bytes:
    text = b"" if answer is None else b"=" + answer.encode()
    return blake2b(text, digest_size=6).digest()


def _read_block(block: bytes) -> dict[str, bytes]:
    """Return the entries of each subscriber of a bucket."""
    return msgspec.msgpack.decode(block, type=dict[str, bytes]) if block else {}


def _write(sink: Any, data: bytes) -> None:
    sink.write(_LENGTH.pack(len(data)) + data)


def _read(source: Any) -> bytes:
    (length,) = _LENGTH.unpack(source.read(_LENGTH.size))
    data: bytes = source.read(length)
    return data
