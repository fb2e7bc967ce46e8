"""Changes since the export of an earlier interval, found by stored digests of its answers."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError
from airflow_provider_cytechbot.api.flow_answer_batches import Answer
from airflow_provider_cytechbot.assets.flow_campaigns import flow_campaign_uri
from airflow_provider_cytechbot.exports.answer_spool import AnswerSpool
from airflow_provider_cytechbot.exports.state_files import (
    BUCKETS,
    VERSION,
    StateHead,
    StoredState,
    bucket_of,
    digest_of,
    encode_bucket,
    read_block,
    state_name,
    write_block,
    write_state,
)
from airflow_provider_cytechbot.storage.scratch_file import open_scratch_file
from airflow_provider_cytechbot.storage.signals import HeldSignals
from airflow_provider_cytechbot.storage.staged_files import StagedFile, WriteOptions

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch
    from airflow_provider_cytechbot.storage.locations import StorageLocation

_T = TypeVar("_T")

NEW, CHANGED, GONE = "new", "changed", "gone"

#: The number of states that are kept: this many intervals can be run again with the same result.
KEPT_STATES = 14

_STATE_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z\.state\.gz")
#: The size in bytes at which waiting answers are written to their buckets.
_MAX_WAITING = 3_000_000
#: The memory that an answer takes beside its text, in bytes.
_BYTES_OF_AN_ANSWER = 100


class _Key(NamedTuple):
    """An answer of a subscriber: the question, and the position among several answers to it."""

    question: str
    occurrence: int


class ChangeLog:
    """
    Compares the answers of a campaign with those of an earlier interval, and stores a state for later ones.

    A state is one file for each campaign and interval, in a folder that stays the same. It is written after
    the export, so that a failed run changes nothing. A run compares with the newest state of an earlier
    interval: running an interval again finds the same changes again.

    :param folder: The folder of the states.
    :param base_url: The base URL of the API.
    :param flow_campaign_id: The campaign's id.
    :param interval: The time of the run's interval.
    :raises CyTechBotStorageError: The folder cannot be read or written.
    :raises CyTechBotStorageRefusedError: A state cannot be used, or the interval is too old.
    """

    def __init__(
        self, folder: StorageLocation, base_url: str, flow_campaign_id: str, interval: datetime
    ) -> None:
        # Readers of data skip names that begin with an underscore (Spark: without an equals sign).
        self._folder = folder.child(f"_flow_campaign_{flow_campaign_id}")
        self._campaign = flow_campaign_uri(base_url, flow_campaign_id)
        self._name = state_name(interval)
        self._states = self._stored()
        self._own = self._state(self._name) if self._name in self._states else None
        earlier = [name for name in self._states if name < self._name]
        self._before = self._state(earlier[-1]) if earlier else None
        self._refuse_old_interval()
        self._waiting: list[Batch] = [[] for _ in range(BUCKETS)]
        self._places: list[list[int]] = [[] for _ in range(BUCKETS)]
        self._digest = ""
        self._answers = 0
        self._spool = AnswerSpool()
        self._blocks = open_scratch_file()
        self._staged: StagedFile | None = None

    def open(self, storage_options: Mapping[str, Any] | None = None) -> StagedFile:
        """
        Open the new state file, so that errors of the folder come before the API call.

        :param storage_options: Further options of the store.
        """
        options = WriteOptions("application/gzip", None, storage_options or {})
        with HeldSignals():
            self._staged = staged = StagedFile(self._folder.child(self._name), options=options)
        return staged

    @property
    def is_first(self) -> bool:
        """Whether there is no earlier state to compare with: then all answers are new."""
        return self._before is None

    @property
    def has_state(self) -> bool:
        """Whether there is a state of this interval or an earlier one."""
        return bool(self._own or self._before)

    @property
    def had_answers(self) -> bool:
        """Whether a state of this interval or the earlier one has answers that are not null."""
        return any(state.has_answers() for state in (self._own, self._before) if state)

    @property
    def earlier_columns(self) -> Sequence[str]:
        """The names of the columns of the export that this one is compared with."""
        return self._before.head.columns if self._before else ()

    def fill(self, batches: Iterable[Batch]) -> None:
        """Store all answers of the campaign on the worker's disk."""
        waiting = 0
        for batch in batches:
            for member in batch:
                self._waiting[bucket_of(member[0])].append(member)
                self._answers += len(member[1])
                waiting += _BYTES_OF_AN_ANSWER * (len(member[1]) + 1)
                waiting += sum([len(each.answer or "") for each in member[1]])
            if waiting >= _MAX_WAITING:
                self._put_into_buckets()
                waiting = 0
        self._put_into_buckets()
        self._digest_all()

    def extracted_at(self, now: str) -> str:
        """
        Return the time to write into the rows.

        :param now: When the answers were requested. If this interval was exported before with the same
            answers, the earlier time is returned, so that running it again gives the same file.
        """
        if self._own and self._own.head.digest == self._digest:
            return self._own.head.extracted_at
        return now

    def changes(self) -> Iterator[tuple[Batch, list[str]]]:
        """
        Yield subscribers with their changed answers, and for each answer the kind of change.

        :raises CyTechBotStorageError: Another run has stored a state since this one began, a new one or in
            the place of the earlier one.
        """
        self._refuse_states_of_other_runs()
        earlier = self._before
        old_blocks = earlier.blocks() if earlier else iter(())
        # With the same question numbers, equal blocks mean equal answers: most are skipped this way.
        old_questions = earlier.head.questions if earlier else []
        is_comparable = old_questions == self._spool.questions[: len(old_questions)]
        self._blocks.seek(0)
        for places in self._places:
            old_block, new_block = next(old_blocks, b""), read_block(self._blocks)
            if is_comparable and old_block == new_block:
                continue
            old = earlier.subscribers(old_block) if earlier else {}
            new = msgspec.msgpack.decode(new_block, type=dict[str, bytes])
            differing = {each for each in {*old, *new} if not is_comparable or old.get(each) != new.get(each)}
            new_answers = _bucket(map(self._spool.read, places))
            batch, changes = self._compare(sorted(differing), old, new_answers)
            if batch:
                yield batch, changes

    def save(self, extracted_at: str, columns: Sequence[str] = ()) -> None:
        """
        Store the state for later intervals, and remove all but the last few.

        :param extracted_at: The time in the rows.
        :param columns: The names of the columns of the export.
        """
        head = StateHead(
            version=VERSION,
            campaign=self._campaign,
            interval=self._name,
            extracted_at=extracted_at,
            digest=self._digest,
            is_first=self.is_first,
            answers=self._answers,
            columns=list(columns),
            questions=list(self._spool.questions),
        )
        staged = self._staged or self.open()
        self._blocks.seek(0)
        write_state(staged, head, (read_block(self._blocks) for _ in range(BUCKETS)))
        staged.finish()
        staged.commit()
        for name in sorted({*self._states, self._name})[:-KEPT_STATES]:
            if name != self._name:
                self._folder.child(name).remove()

    def close(self) -> None:
        """Free the disk, and discard a state that was not stored."""
        if self._staged:
            self._staged.discard()
        self._spool.close()
        self._blocks.close()

    def _stored(self) -> list[str]:
        return [name for name in self._folder.names() if _STATE_NAME.fullmatch(name)]

    def _refuse_states_of_other_runs(self) -> None:
        # The answers may have taken an hour to arrive, and this run compares with what it found before.
        if new := sorted(set(self._stored()) - {*self._states, self._name}):
            raise CyTechBotStorageError(
                f"{self._folder.path} has the new state of a run at the same time: {new[0]}.",
                "The next try compares with it. Let one run at a time export: max_active_runs=1.",
            )

    def _state(self, name: str) -> StoredState:
        return StoredState(self._folder.child(name), self._campaign)

    def _refuse_old_interval(self) -> None:
        if self._own and not self._before and not self._own.head.is_first:
            raise self._folder.failures.refused(
                f"keeps no state before {self._name}: an export of that interval would call all answers new.",
                f"The last {KEPT_STATES} intervals can be run again.",
            )
        if not self._own and self._states and self._states[-1] > self._name:
            hint = "Export intervals in their order. One that has a state can be run again."
            if self._states[-1] > state_name(datetime.now(UTC)):
                hint += " That state is of the future: remove it if no run has such an interval."
            raise self._folder.failures.refused(
                f"keeps no state before or of {self._name}, but the newer {self._states[-1]}: "
                "an export of an older interval would contradict the newer ones.",
                hint,
            )

    def _put_into_buckets(self) -> None:
        for places, waiting in zip(self._places, self._waiting, strict=True):
            if waiting:
                places.append(self._spool.add(waiting))
                waiting.clear()

    def _digest_all(self) -> None:
        """Write the block of each bucket to the worker's disk, and compute their digest."""
        digest = blake2b(digest_size=16)
        for places in self._places:
            block = encode_bucket(_bucket(map(self._spool.read_numbered, places)))
            digest.update(block)
            write_block(self._blocks, block)
        self._digest = digest.hexdigest()

    def _compare(
        self,
        subscriber_ids: Sequence[str],
        old: dict[str, bytes],
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
            entries = self._before.answers(old[subscriber_id]) if self._before else ()
            for (question_id, question), digest in entries:
                before[_key(question_id, question, keys)] = (digest, question_id, question)
            keys.clear()
            found: list[Answer] = []
            for answer in new.get(subscriber_id, ()):
                was = before.pop(_key(answer.question_id, answer.question, keys), None)
                if was is None or was[0] != digest_of(answer.answer):
                    found.append(answer)
                    changes.append(CHANGED if was else NEW)
            for _, question_id, question in before.values():
                found.append(Answer(question_id, question, None))
                changes.append(GONE)
            if found:
                batch.append((subscriber_id, found))
        return batch, changes


def _bucket(batches: Iterable[list[tuple[str, list[_T]]]]) -> dict[str, list[_T]]:
    """Return a bucket's subscribers in an order that does not depend on the server."""
    found: dict[str, list[_T]] = defaultdict(list)
    for batch in batches:
        for subscriber_id, answers in batch:
            found[subscriber_id] += answers
    return dict(sorted(found.items()))


def _key(question_id: str | None, question: str | None, seen: Counter[str]) -> _Key:
    """Return the identity of an answer in two exports. A reworded question keeps its identity."""
    name = question_id if question_id is not None else f"?{question}"
    seen[name] += 1
    return _Key(name, seen[name])
