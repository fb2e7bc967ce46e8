"""The ledger: every row of a bulk write with its outcome, in a temporary SQLite file."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from airflow_provider_cytechbot.bulk.outcomes import INVALID, NOT_ATTEMPTED, SUCCEEDED, UNCHANGED
from airflow_provider_cytechbot.bulk.resource import (
    Change,
    InvalidRowError,
    PlannedCall,
    PlannedWrite,
    Settled,
)

#: How many calls are read from the file at once.
_CALLS_AT_ONCE = 500
_WRITES_AT_ONCE = 5_000
_NO_OPERATION = "none"
#: SQLite's page cache in KiB; everything beyond it is on disk.
_CACHE_KIB = 8192

_SCHEMA = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -{_CACHE_KIB};
CREATE TABLE lines (
    row INTEGER PRIMARY KEY, key TEXT, payload TEXT, operation TEXT NOT NULL DEFAULT '{_NO_OPERATION}',
    fields TEXT, lead INTEGER, size INTEGER NOT NULL DEFAULT 1,
    is_repeatable INTEGER NOT NULL DEFAULT 1, step BLOB, phase INTEGER NOT NULL DEFAULT 0,
    outcome TEXT, reason TEXT, id TEXT, attempted_at TEXT
);
CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB, step BLOB, step_run TEXT) WITHOUT ROWID;
CREATE TABLE shared (field TEXT, digest TEXT, key TEXT);
BEGIN;
"""


#: Value, step, and the run that recorded the step.
StoredEntry = Sequence[Any]


class CallResult(NamedTuple):
    """
    What became of a call.

    :param outcome: One of the outcomes.
    :param reason: Why it is not done; empty if it is.
    :param id: The id of what was written.
    :param attempted_at: When it was sent last, as ISO 8601 in UTC.
    """

    outcome: str
    reason: str = ""
    id: str | None = None
    attempted_at: str | None = None


class PastResult(NamedTuple):
    """The result of a key in an earlier try, with the operation and fields of that try."""

    result: CallResult
    operation: str
    fields: str


class ReportLine(NamedTuple):
    """A line of the report: a row of the source with its outcome, or a delete, which has no row."""

    row: int | None
    key: str | None
    operation: str
    fields: str | None
    outcome: str
    reason: str | None
    id: str | None
    attempted_at: str | None


class Ledger:
    """
    Keeps rows, calls and outcomes on disk, so that memory does not grow with the number of rows.

    Its file has no name and disappears with the process. Use it from one thread at a time.
    """

    def __init__(self) -> None:
        #: The database, in which the state is kept, too.
        self.database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self.database.executescript(_SCHEMA)
        #: The number of rows whose key cannot be read, those of other shards included.
        self.rows_without_key = 0
        self._first_without_row: int | None = None

    def close(self) -> None:
        """Remove the file."""
        self.database.close()

    def add_valid(self, lines: Iterable[tuple[int, PlannedWrite]]) -> None:
        """Add rows with their numbers."""
        lines = list(lines)
        self.database.executemany(
            "INSERT INTO lines (row, key, payload, fields) VALUES (?, ?, ?, ?)",
            ((row, write.key, write.payload, write.fields) for row, write in lines),
        )
        self.add_shared(write for _, write in lines)

    def add_shared(self, writes: Iterable[PlannedWrite]) -> None:
        """Add the values that no two keys may have, of rows of this and other shards."""
        self.database.executemany(
            "INSERT INTO shared VALUES (?, ?, ?)",
            ((field, digest, write.key) for write in writes for field, digest in write.unique),
        )

    def add_invalid(self, lines: Iterable[tuple[int, str | None, str]]) -> None:
        """Add rows that cannot be sent, as ``(row, key, reason)``."""
        self.database.executemany(
            "INSERT INTO lines (row, key, reason, outcome) VALUES (?, ?, ?, ?)",
            ((*line, INVALID) for line in lines),
        )

    def refuse_shared_values(self) -> None:
        """Make all rows invalid whose keys share a value that no two keys may have."""
        run = self.database.execute
        run(
            "CREATE TEMP TABLE bad AS SELECT DISTINCT shared.key, 'Field ''' || field ||"
            " ''' has the same value in a row of another key.' AS reason FROM shared"
            " JOIN (SELECT field, digest FROM shared GROUP BY 2, 1 HAVING min(key) <> max(key))"
            " USING (field, digest)"
        )
        self._refuse_bad_keys()

    def merge_rows(self, merge: Callable[[str, str], str]) -> None:
        """
        Make one call of the rows that share a key; its result is the result of each of them.

        :param merge: Returns the payload for two rows, or raises the error that makes the key's rows invalid.
        """
        run = self.database.execute
        run(
            "CREATE TEMP TABLE doubled AS SELECT key FROM lines WHERE outcome IS NULL"
            " GROUP BY key HAVING count(*) > 1"
        )
        run("CREATE TEMP TABLE bad (key TEXT, reason TEXT)")
        # Sorted on disk before the first row is returned, so the table can be changed meanwhile.
        found = run(
            "SELECT lines.key, lines.row, lines.payload FROM lines JOIN doubled ON doubled.key = lines.key"
            " WHERE lines.outcome IS NULL ORDER BY lines.key, lines.row"
        )
        lead, lead_key, payload, size, is_bad = 0, None, "", 0, False
        for key, row, other in found:
            if key != lead_key:
                run("UPDATE lines SET payload = ?, size = ? WHERE row = ?", (payload, size, lead))
                lead, lead_key, payload, size, is_bad = row, key, other, 1, False
                continue
            if is_bad:
                continue
            try:
                payload, size = merge(payload, other), size + 1
            except InvalidRowError as error:
                run("INSERT INTO bad VALUES (?, ?)", (key, error.reason))
                is_bad = True
            else:
                run("UPDATE lines SET lead = ?, payload = NULL WHERE row = ?", (lead, row))
        run("UPDATE lines SET payload = ?, size = ? WHERE row = ?", (payload, size, lead))
        run("DROP TABLE doubled")
        self._refuse_bad_keys()

    def _refuse_bad_keys(self) -> None:
        run = self.database.execute
        run("CREATE INDEX temp.bad_key ON bad (key)")
        run(
            "UPDATE lines SET outcome = ?, lead = NULL, size = 1,"
            " reason = (SELECT reason FROM bad WHERE bad.key = lines.key)"
            " WHERE outcome IS NULL AND key IN (SELECT key FROM bad)",
            (INVALID,),
        )
        run("DROP TABLE bad")

    def compare_all(
        self, compare: Callable[[PlannedWrite, StoredEntry], Change | Settled | PastResult]
    ) -> None:
        """
        Decide for each call whether it is sent.

        :param compare: Returns what the rows of a key need, from what the state has of the key.
        """
        last = 0
        while page := self.database.execute(
            "SELECT row, lines.key, payload, fields, value, state.step, step_run"
            " FROM lines LEFT JOIN state ON state.key = lines.key"
            " WHERE row > ? AND outcome IS NULL AND lead IS NULL ORDER BY row LIMIT ?",
            (last, _WRITES_AT_ONCE),
        ).fetchall():
            last = page[-1][0]
            self._decide(
                (row, compare(PlannedWrite(key, payload, fields), entry))
                for row, key, payload, fields, *entry in page
            )

    def add_gone(self, keys: Iterable[tuple[str, Change | Settled | PastResult]]) -> None:
        """Add keys that have no row, with what they need."""
        (last,) = self.database.execute("SELECT coalesce(max(row), 0) FROM lines").fetchone()
        if self._first_without_row is None:
            self._first_without_row = last + 1
        for row, (key, decision) in enumerate(keys, last + 1):
            self.database.execute("INSERT INTO lines (row, key) VALUES (?, ?)", (row, key))
            self._decide([(row, decision)])

    def _decide(self, decisions: Iterable[tuple[int, Change | Settled | PastResult]]) -> None:
        changes: list[tuple[object, ...]] = []
        settled: list[tuple[object, ...]] = []
        for row, decision in decisions:
            if isinstance(decision, Change):
                changes.append((*decision, row))
            elif isinstance(decision, Settled):
                outcome, reason, operation, fields, id_ = decision
                settled.append((outcome, reason or None, id_, None, operation, fields, row))
            else:
                result, operation, fields = decision
                settled.append(
                    (
                        result.outcome,
                        result.reason or None,
                        result.id,
                        result.attempted_at,
                        operation,
                        fields,
                        row,
                    )
                )
        self.database.executemany(
            "UPDATE lines SET operation = ?, payload = ?, fields = ?, is_repeatable = ?, step = ?, phase = ?"
            " WHERE row = ?",
            changes,
        )
        self.database.executemany(
            "UPDATE lines SET outcome = ?, reason = ?, id = ?, attempted_at = ?, operation = ?,"
            " fields = coalesce(nullif(?, ''), fields) WHERE row = ?",
            settled,
        )

    def phases(self) -> list[int]:
        """Return the phases of the calls that have no outcome yet, in their order."""
        found = self.database.execute(
            "SELECT DISTINCT phase FROM lines WHERE outcome IS NULL AND lead IS NULL ORDER BY 1"
        )
        return [phase for (phase,) in found]

    def calls(self, phase: int) -> Iterator[PlannedCall]:
        """
        Yield the calls of a phase that have no outcome yet, in the order of their first rows.

        :param phase: The phase.
        """
        last = 0
        while page := self.database.execute(
            "SELECT row, key, operation, payload, size, is_repeatable, step, fields FROM lines"
            " WHERE row > ? AND outcome IS NULL AND lead IS NULL AND phase = ? ORDER BY row LIMIT ?",
            (last, phase, _CALLS_AT_ONCE),
        ).fetchall():
            for row, key, operation, payload, size, is_repeatable, step, fields in page:
                yield PlannedCall(row, key, operation, payload, size, bool(is_repeatable), step, fields)
            last = page[-1][0]

    def record(self, results: Iterable[tuple[int, CallResult]]) -> None:
        """Store the results of calls, by their first rows."""
        self.database.executemany(
            "UPDATE lines SET outcome = ?, reason = ?, id = ?, attempted_at = ? WHERE row = ?",
            (
                (result.outcome, result.reason or None, result.id, result.attempted_at, row)
                for row, result in results
            ),
        )

    def close_open_rows(self, reason: str) -> None:
        """
        Give all rows that have no outcome yet the outcome ``not_attempted``.

        :param reason: Why they were not sent.
        """
        self.database.execute(
            "UPDATE lines SET outcome = ?, reason = ? WHERE outcome IS NULL AND lead IS NULL",
            (NOT_ATTEMPTED, reason),
        )

    def counts(self) -> Counter[str]:
        """Return the number of rows by outcome; rows without one are not counted."""
        found = self.database.execute(
            "SELECT coalesce(first.outcome, lines.outcome), count(*)"
            " FROM lines LEFT JOIN lines AS first ON first.row = lines.lead GROUP BY 1"
        )
        return Counter({outcome: number for outcome, number in found if outcome is not None})

    def operations(self) -> Counter[str]:
        """Return the number of rows by operation."""
        found = self.database.execute(
            "SELECT coalesce(first.operation, lines.operation), count(*)"
            " FROM lines LEFT JOIN lines AS first ON first.row = lines.lead GROUP BY 1"
        )
        return Counter(dict(found))

    def planned_operations(self) -> Counter[str]:
        """Return the number of calls that have no outcome yet by operation."""
        found = self.database.execute(
            "SELECT operation, count(*) FROM lines WHERE outcome IS NULL AND lead IS NULL GROUP BY 1"
        )
        return Counter(dict(found))

    def rows(self) -> int:
        """Return the number of lines."""
        return self._number("SELECT count(*) FROM lines")

    def open_calls(self) -> int:
        """Return the number of calls that have no outcome yet."""
        return self._number("SELECT count(*) FROM lines WHERE outcome IS NULL AND lead IS NULL")

    def _number(self, sql: str) -> int:
        (number,) = self.database.execute(sql).fetchone()
        return int(number)

    def report_lines(self) -> Iterator[ReportLine]:
        """Yield every row with its outcome, in the order of the source, then the deletes."""
        found = self.database.execute(
            "SELECT iif(lines.row < ?, lines.row, NULL), lines.key,"
            " coalesce(first.operation, lines.operation), lines.fields,"
            " coalesce(first.outcome, lines.outcome), coalesce(first.reason, lines.reason),"
            " coalesce(first.id, lines.id), coalesce(first.attempted_at, lines.attempted_at)"
            " FROM lines LEFT JOIN lines AS first ON first.row = lines.lead ORDER BY lines.row",
            (self._first_without_row or 2**62,),
        )
        return map(ReportLine._make, found)

    def not_done(self, limit: int) -> list[tuple[str | None, str | None]]:
        """
        Return key and reason of the first rows that were sent or checked without success.

        :param limit: How many at most.
        """
        return self.database.execute(
            "SELECT key, reason FROM lines WHERE outcome NOT IN (?, ?, ?) ORDER BY row LIMIT ?",
            (SUCCEEDED, UNCHANGED, NOT_ATTEMPTED, limit),
        ).fetchall()

    def remember_keys(self, keys: Iterable[tuple[str, bool]]) -> None:
        """
        Store the keys of an earlier report, for :meth:`is_wanted`.

        :param keys: Each line's key, and whether its row may be sent again.
        """
        run = self.database.execute
        run("CREATE TABLE wanted (key TEXT PRIMARY KEY, is_wanted INTEGER NOT NULL) WITHOUT ROWID")
        self.database.executemany(
            "INSERT INTO wanted VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET is_wanted = min(is_wanted, excluded.is_wanted)",
            keys,
        )

    def is_wanted(self, key: str | None) -> bool:
        """Return whether the earlier report leaves the rows of a key to be sent."""
        found = self.database.execute("SELECT is_wanted FROM wanted WHERE key = ?", (key or "",)).fetchone()
        return bool(found and found[0])

    def wanted_without_row(self) -> Iterator[str]:
        """Yield the keys that the earlier report leaves to be sent, but that no row has."""
        found = self.database.execute(
            "SELECT key FROM wanted WHERE is_wanted AND key <> '' EXCEPT SELECT key FROM lines ORDER BY key"
        )
        return (key for (key,) in found)
