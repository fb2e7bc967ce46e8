"""The state during a run: what earlier runs left, and what happens to it, in the ledger's database."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_cytechbot.bulk import outcomes
from airflow_provider_cytechbot.bulk.journal import Begun, Remembered, Saved, Settlement
from airflow_provider_cytechbot.bulk.ledger import CallResult, PastResult
from airflow_provider_cytechbot.bulk.resource import NO_ENTRY, StateEntry

if TYPE_CHECKING:
    import sqlite3

    from airflow_provider_cytechbot.bulk.journal import Journal, Record
    from airflow_provider_cytechbot.bulk.ledger import StoredEntry
    from airflow_provider_cytechbot.bulk.resource import PlannedCall, Written
    from airflow_provider_cytechbot.bulk.state_file import Entry

_SALT_BYTES = 16
_MOST_STEP_BYTES = 255
#: Outcomes of an earlier try that a later one keeps if the content is the same.
_KEPT_BY_A_RETRY = frozenset({outcomes.SUCCEEDED, outcomes.UNCHANGED, outcomes.REFUSED, outcomes.AMBIGUOUS})
_KEPT_AFTER_A_CLEAR = _KEPT_BY_A_RETRY - {outcomes.REFUSED}

_PAST_TABLE = """
CREATE TABLE IF NOT EXISTS past (
    key TEXT PRIMARY KEY, digest BLOB, first_try INTEGER, outcome TEXT, reason TEXT, id TEXT,
    attempted_at TEXT, operation TEXT, fields TEXT
) WITHOUT ROWID
"""
_DELETE = "delete"


class Identity(NamedTuple):
    """
    The run that a state is opened for.

    :param run: What all tries of the task instance have in common.
    :param first_try: The number of the first try since the task was cleared.
    """

    run: str
    first_try: int


class RunState:
    """
    The values, steps and results of all keys. It fulfils :class:`ResourceState`.

    :param database: The ledger's database.
    :param identity: The run.
    """

    def __init__(self, database: sqlite3.Connection, identity: Identity) -> None:
        self._database = database
        self._identity = identity
        self._header: dict[str, str] = {}
        self._salt = b""
        self._journal: Journal | None = None
        #: Whether an earlier try of this run has begun to send.
        self.is_resumed = False
        #: Whether anything differs from the newest state file.
        self.is_changed = False
        #: The number of keys whose content has changed since an earlier try.
        self.changed_since_try = 0
        self._has_past = False
        #: The step of each key under way, and its run, before the change began.
        self._steps_before: dict[str, tuple[bytes | None, str | None]] = {}
        database.execute(_PAST_TABLE)

    # What a resource sees

    @property
    def is_durable(self) -> bool:
        """Whether anything is stored."""
        return self._journal is not None

    @property
    def salt(self) -> bytes:
        """A random salt that stays with the state."""
        if not self._salt:
            self._salt = secrets.token_bytes(_SALT_BYTES)
            self._write(Remembered("", self._salt.hex()))
        return self._salt

    @property
    def run(self) -> str:
        """A digest of the task instance."""
        return self._identity.run

    @property
    def header(self) -> Mapping[str, str]:
        """What the resource remembers."""
        return self._header

    def remember(self, name: str, value: str) -> None:
        """Store something about the resource as a whole; durable when this returns."""
        self._header[name] = value
        self._write(Remembered(name, value))
        if self._journal:
            self._journal.flushed().result()

    def entry(self, key: str) -> StateEntry:
        """Return the entry of a key."""
        found = self._database.execute(
            "SELECT value, step, step_run FROM state WHERE key = ?", (key,)
        ).fetchone()
        return self.entry_of(found) if found else NO_ENTRY

    def entry_of(self, stored: StoredEntry) -> StateEntry:
        """Return an entry as the resource sees it."""
        value, step, step_run = stored
        if step is None:
            return StateEntry(value) if value is not None else NO_ENTRY
        return StateEntry(value, step, step_run == self._identity.run)

    # Reading

    def load(self, batches: Iterable[list[Entry]], header: Mapping[str, str], salt: str) -> None:
        """
        Read a state file.

        :param batches: Its entries.
        :param header: What the resource remembers.
        :param salt: The salt, in hexadecimal.
        """
        for batch in batches:
            self._database.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)", batch)
        self._header.update(header)
        self._salt = bytes.fromhex(salt)

    def replay(self, run: str, first_try: int, records: Iterable[Record], *, is_new: bool) -> None:
        """
        Apply the records of an earlier run or try.

        :param run: The run that wrote them.
        :param first_try: The number of that run's first try since the task was cleared.
        :param records: The records.
        :param is_new: Whether they are newer than the state file.
        """
        is_own = run == self._identity.run
        self.is_resumed |= is_own
        for record in records:
            if is_new:
                self.is_changed = True
                self._apply(record, run)
            if is_own and isinstance(record, Settlement):
                self._has_past = True
                self._database.execute(
                    "INSERT OR REPLACE INTO past VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        record.key,
                        record.digest,
                        first_try,
                        record.outcome,
                        record.reason,
                        record.id,
                        record.attempted_at,
                        record.operation,
                        record.fields,
                    ),
                )

    def _apply(self, record: Record, run: str) -> None:
        match record:
            case Begun(key, step, earlier_run):
                self._set_step(key, step, earlier_run or run)
            case Saved(key, value):
                self._set_value(key, value)
            case Remembered("", value):
                self._salt = bytes.fromhex(value)
            case Remembered(name, value):
                self._header[name] = value
            case Settlement():
                self._settle_entry(record.key, record.value, record.has_value, record.keeps_step)

    def write_to(self, journal: Journal | None) -> None:
        """Write everything that happens from now on to a journal; with ``None``, to none."""
        self._journal = journal

    # What happens

    def past_result(self, key: str, describe: Callable[[], str]) -> PastResult | None:
        """
        Return the result of a key in an earlier try, if this try keeps it.

        :param key: The key.
        :param describe: Returns a description of what is to be written.
        """
        if not self._has_past:
            return None
        found = self._database.execute("SELECT * FROM past WHERE key = ?", (key,)).fetchone()
        if not found or found[7] == _DELETE or not self._is_kept(found):
            return None
        if found[1] != digest_of(describe()):
            self.changed_since_try += 1
            return None
        return _past_result(found)

    def past_deletes(self) -> Iterator[tuple[str, PastResult]]:
        """Yield the results that this try keeps of keys that an earlier one deleted and that have no row."""
        found = self._database.execute(
            "SELECT * FROM past WHERE operation = ?"
            " AND key NOT IN (SELECT key FROM lines WHERE key IS NOT NULL) ORDER BY key",
            (_DELETE,),
        ).fetchall()
        return ((past[0], _past_result(past)) for past in found if self._is_kept(past))

    def _is_kept(self, past: tuple[Any, ...]) -> bool:
        kept = _KEPT_BY_A_RETRY if past[2] == self._identity.first_try else _KEPT_AFTER_A_CLEAR
        return past[3] in kept

    def gone_entries(self) -> Iterator[tuple[str, StateEntry]]:
        """Yield the keys of the state that have no row."""
        found = self._database.execute(
            "SELECT key, value, step, step_run FROM state"
            " WHERE key NOT IN (SELECT key FROM lines WHERE key IS NOT NULL) ORDER BY key"
        )
        while page := found.fetchmany(1_000):
            for key, *stored in page:
                yield key, self.entry_of(stored)

    def keys(self) -> int:
        """Return the number of keys that have a value."""
        (number,) = self._database.execute("SELECT count(*) FROM state WHERE value IS NOT NULL").fetchone()
        return int(number)

    async def begin(self, key: str, step: bytes) -> None:
        """
        Record a step. It is durable when this returns.

        :param key: The key.
        :param step: The step.
        :raises CyTechBotStorageError: It could not be written, so nothing may be sent.
        """
        if len(step) > _MOST_STEP_BYTES:
            raise ValueError(f"a step has more than {_MOST_STEP_BYTES} bytes")
        if key not in self._steps_before:
            found = self._database.execute(
                "SELECT step, step_run FROM state WHERE key = ?", (key,)
            ).fetchone()
            self._steps_before[key] = found or (None, None)
        self._set_step(key, step, self._identity.run)
        self._write(Begun(key, step))
        if self._journal:
            await asyncio.wrap_future(self._journal.flushed())

    def withdraw(self, key: str) -> None:
        """Restore the step that a key had before: what was to be sent was not."""
        step, run = self._steps_before.pop(key, (None, None))
        self._write(Begun(key, step, run))
        self._set_step(key, step, run)

    def save(self, key: str, value: bytes | None) -> None:
        """Store a value of a key before its result."""
        self._write(Saved(key, value))
        self._set_value(key, value)

    def settle(self, call: PlannedCall, content: str, result: CallResult, written: Written | None) -> None:
        """
        Store the result of a call.

        :param call: The call.
        :param content: A description of what was written.
        :param result: Its result.
        :param written: What the resource returned; ``None`` after an error.
        """
        has_failed = result.outcome == outcomes.FAILED
        if has_failed and not call.is_repeatable:
            self.withdraw(call.key)
        self._steps_before.pop(call.key, None)
        keeps_step = has_failed or result.outcome == outcomes.AMBIGUOUS
        value = written.value if written else None
        self._write(
            Settlement(
                call.key,
                digest_of(content),
                call.operation,
                call.fields,
                result.outcome,
                result.reason,
                result.id,
                result.attempted_at,
                written is not None,
                value,
                keeps_step,
            )
        )
        # The journal first: it has the result also where the temporary file cannot grow any more.
        self._settle_entry(call.key, value, written is not None, keeps_step)

    def _write(self, record: Record) -> None:
        self.is_changed = True
        if self._journal:
            self._journal.add(record)

    def _set_step(self, key: str, step: bytes | None, run: str | None) -> None:
        self._database.execute(
            "INSERT INTO state (key, step, step_run) VALUES (?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET step = excluded.step, step_run = excluded.step_run",
            (key, step, run),
        )

    def _set_value(self, key: str, value: bytes | None) -> None:
        self._database.execute(
            "INSERT INTO state (key, value) VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    def _settle_entry(self, key: str, value: bytes | None, has_value: bool, keeps_step: bool) -> None:
        if has_value and not keeps_step:
            self._database.execute("INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)", (key, value))
        elif has_value:
            self._set_value(key, value)
        elif not keeps_step:
            self._database.execute(
                "UPDATE state SET step = NULL, step_run = NULL WHERE key = ? AND step IS NOT NULL", (key,)
            )

    # Writing

    def entries(self) -> Iterator[Entry]:
        """Yield everything that a state file keeps, sorted by key."""
        return iter(
            self._database.execute(
                "SELECT key, value, step, step_run FROM state WHERE value IS NOT NULL OR step IS NOT NULL"
                " ORDER BY key"
            )
        )

    @property
    def stored_salt(self) -> str:
        """The salt in hexadecimal; empty if no digest needed one."""
        return self._salt.hex()


def _past_result(past: tuple[Any, ...]) -> PastResult:
    _, _, _, outcome, reason, id_, attempted_at, operation, fields = past
    return PastResult(CallResult(outcome, reason, id_, attempted_at), operation, fields)


def digest_of(content: str) -> bytes:
    """Return the digest by which the content of two tries is compared."""
    return blake2b(content.encode(), digest_size=8).digest()
