"""The journal: what happened to each key, in numbered files that are durable soon after it happened."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.bulk.folder import BAD_CONTENT, DIGEST_SIZE, new_digest

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.folder import Folder

log = logging.getLogger(__name__)

#: Records are written when the first has waited this many seconds, or when there are this many.
WAIT = 0.1
MOST_RECORDS = 50
#: This many files become one.
FILES_OF_A_ROLL = 100
_TRIES = 3
_WAIT_BEFORE_RETRY = 0.3
_NAME = re.compile(r"journal-(\d+)-(\d+)-(\d+)\.bin")


class Begun(msgspec.Struct, array_like=True, frozen=True, tag="b"):
    """
    A step that is about to be sent, or that was not sent after all.

    :param key: The key.
    :param step: The step; ``None`` if there is none any more.
    :param run: The run that recorded it, if that is another one: a step that is restored.
    """

    key: str
    step: bytes | None
    run: str | None = None


class Saved(msgspec.Struct, array_like=True, frozen=True, tag="s"):
    """
    A new value of a key, before its result.

    :param key: The key.
    :param value: The value.
    """

    key: str
    value: bytes | None


class Remembered(msgspec.Struct, array_like=True, frozen=True, tag="h"):
    """
    Something about the resource as a whole.

    :param name: Its name.
    :param value: Its value.
    """

    name: str
    value: str


class Settlement(msgspec.Struct, array_like=True, frozen=True, tag="r"):
    """
    The result of a key.

    :param key: The key.
    :param digest: The digest of what was written.
    :param operation: The operation.
    :param fields: The names of the fields.
    :param outcome: The outcome.
    :param reason: Why it is not done.
    :param id: The id of what was written.
    :param attempted_at: When it was sent.
    :param has_value: Whether ``value`` is the new value; otherwise the old one stays.
    :param value: The new value; ``None`` removes it.
    :param keeps_step: Whether the step stays.
    """

    key: str
    digest: bytes
    operation: str
    fields: str
    outcome: str
    reason: str
    id: str | None
    attempted_at: str | None
    has_value: bool
    value: bytes | None
    keeps_step: bool


Record = Begun | Saved | Remembered | Settlement


class Head(msgspec.Struct, array_like=True, frozen=True):
    """
    What is at the beginning of each file.

    :param run: What all tries of the task instance have in common.
    :param first_try: The number of the first try since the task was cleared.
    :param based_on: The number of the state that the run began with.
    """

    run: str
    first_try: int
    based_on: int


class _Content(msgspec.Struct, array_like=True):
    head: Head
    records: list[Record]


class Journal:
    """
    Writes records, in a thread of its own.

    :param folder: The folder.
    :param number: The number of the claim.
    :param head: The beginning of each file.
    :param check: Checks that the folder still belongs to this process.
    :param on_error: Called once when the journal cannot be written any more.
    """

    def __init__(
        self,
        folder: Folder,
        number: int,
        head: Head,
        check: Callable[[], None],
        on_error: Callable[[CyTechBotError], None],
    ) -> None:
        self._folder, self._number, self._head = folder, number, head
        self._check, self._on_error = check, on_error
        self._records: list[Record] = []
        self._waiting: list[Future[None]] = []
        self._changed = threading.Condition()
        self._is_closing = False
        self._error: CyTechBotError | None = None
        self._written = 0
        self._roll: list[list[Record]] = []
        self._thread = threading.Thread(target=self._work, name="bulk-journal", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        """Write a record soon."""
        with self._changed:
            self._records.append(record)
            if len(self._records) in (1, MOST_RECORDS):
                self._changed.notify()

    def flushed(self) -> Future[None]:
        """Write all records now. The future ends when they are durable, or with an error."""
        future: Future[None] = Future()
        with self._changed:
            if self._error or self._is_closing:
                future.set_exception(self._error or RuntimeError("The journal is closed."))
            else:
                self._waiting.append(future)
                self._changed.notify()
        return future

    def close(self) -> None:
        """
        Write all records and end.

        :raises CyTechBotError: They could not be written.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        if self._error:
            raise self._error

    def _work(self) -> None:
        while batch := self._next_batch():
            records, waiting = batch
            error = self._error or (self._write_all(records, is_checked=bool(waiting)) if records else None)
            for future in waiting:
                future.set_exception(error) if error else future.set_result(None)
            if error and not self._error:
                self._error = error
                self._on_error(error)

    def _next_batch(self) -> tuple[list[Record], list[Future[None]]] | None:
        with self._changed:
            while not (self._records or self._waiting or self._is_closing):
                self._changed.wait()
            ready_at = time.monotonic() + WAIT
            while (
                not (self._waiting or self._is_closing or len(self._records) >= MOST_RECORDS)
                and (left := ready_at - time.monotonic()) > 0
            ):
                self._changed.wait(left)
            if not self._records and not self._waiting:
                return None
            # A future whose call was cut off meanwhile is cancelled; the others cannot be cancelled any more.
            batch = self._records, [each for each in self._waiting if each.set_running_or_notify_cancel()]
            self._records, self._waiting = [], []
            return batch

    def _write_all(self, records: list[Record], *, is_checked: bool) -> CyTechBotError | None:
        try:
            self._written += 1
            self._write(self._written, self._written, records)
            if is_checked:
                # Afterwards: either this sees the claim of the next try, or that one reads these records.
                self._check()
            self._roll_up(records)
        except CyTechBotError as error:
            return error
        return None

    def _write(self, first: int, last: int, records: list[Record]) -> None:
        body = msgspec.msgpack.encode(_Content(self._head, records))
        name = _name(self._number, first, last)
        content = _digest(name, body) + body
        for left in reversed(range(_TRIES)):
            try:
                self._folder.write(name, content)
            except CyTechBotError as error:
                if not (left and error.retryable):
                    raise
                time.sleep(_WAIT_BEFORE_RETRY)
            else:
                return

    def _roll_up(self, records: list[Record]) -> None:
        """Make one file of many: a folder of a million rows would have twenty thousand."""
        self._roll.append(records)
        if len(self._roll) < FILES_OF_A_ROLL:
            return
        first, last = self._written - len(self._roll) + 1, self._written
        self._write(first, last, [record for each in self._roll for record in each])
        self._roll = []
        self._folder.remove(_name(self._number, each, each) for each in range(first, last + 1))


class JournalFile(NamedTuple):
    """
    The name of a journal's file.

    :param claim: The number of the claim.
    :param first: The number of its first batch.
    :param last: The number of its last batch.
    """

    claim: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """The name."""
        return _name(*self)


def journal_files(names: list[str]) -> tuple[list[JournalFile], dict[int, str]]:
    """
    Return the files of all journals in the order in which they were written, and what is missing.

    :param names: The names of all files in the folder.
    :return: The files, and by number of the claim the name of the first missing file.
    """
    found = [JournalFile(*map(int, match.groups())) for name in names if (match := _NAME.fullmatch(name))]
    chosen: list[JournalFile] = []
    missing: dict[int, str] = {}
    for file in sorted(found, key=lambda each: (each.claim, each.first, -each.last)):
        covered = chosen[-1].last if chosen and chosen[-1].claim == file.claim else 0
        if file.last <= covered:
            continue  # a part of a larger file
        if file.first != covered + 1:
            missing.setdefault(file.claim, _name(file.claim, covered + 1, covered + 1))
        chosen.append(file)
    return chosen, missing


def read_journal(folder: Folder, file: JournalFile) -> tuple[Head, list[Record]]:
    """
    Return the content of a file.

    :param folder: The folder.
    :param file: The file.
    :raises CyTechBotStorageRefusedError: It is damaged.
    """
    content = folder.read(file.name)
    digest, body = content[:DIGEST_SIZE], content[DIGEST_SIZE:]
    if _digest(file.name, body) != digest:
        raise folder.damaged(file.name)
    try:
        decoded = msgspec.msgpack.decode(body, type=_Content)
    except BAD_CONTENT:
        raise folder.damaged(file.name) from None
    return decoded.head, decoded.records


def _digest(name: str, body: bytes) -> bytes:
    digest = new_digest(name)
    digest.update(body)
    return digest.digest()


def _name(claim: int, first: int, last: int) -> str:
    return f"journal-{claim:06}-{first:08}-{last:08}.bin"
