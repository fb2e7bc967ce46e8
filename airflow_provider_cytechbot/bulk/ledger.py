"""The ledger: every row of a bulk write with its outcome, in a temporary SQLite file."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from airflow_provider_cytechbot.bulk.outcomes import INVALID, NOT_ATTEMPTED, SUCCEEDED, UNCHANGED

#: How many calls are read from the file at once.
_CALLS_AT_ONCE = 500
_NO_OPERATION = "none"
#: SQLite's page cache in KiB; everything beyond it is on disk.
_CACHE_KIB = 8192

_SCHEMA = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -{_CACHE_KIB};
CREATE TABLE lines (
    row INTEGER PRIMARY KEY, key TEXT, payload TEXT, operation TEXT NOT NULL, fields TEXT,
    lead INTEGER, size INTEGER NOT NULL DEFAULT 1,
    outcome TEXT, reason TEXT, id TEXT, attempted_at TEXT
);
BEGIN;
"""


class PlannedCall(NamedTuple):
    """
    A call to send.

    :param row: The number of its first row.
    :param key: The rows' key.
    :param payload: What is written.
    :param rows: How many rows it is for.
    """

    row: int
    key: str
    payload: str
    rows: int


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


class ReportLine(NamedTuple):
    """A line of the report: a row of the source with its outcome."""

    row: int
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

    :param operation: The report's word for what is done to valid rows.
    """

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Remove the file."""
        self._database.close()

    def add_valid(self, lines: Iterable[tuple[int, str, str, str]]) -> None:
        """Add rows as ``(row, key, payload, fields)``."""
        self._database.executemany(
            "INSERT INTO lines (row, key, payload, fields, operation) VALUES (?, ?, ?, ?, ?)",
            ((*line, self._operation) for line in lines),
        )

    def add_invalid(self, lines: Iterable[tuple[int, str | None, str]]) -> None:
        """Add rows that cannot be sent, as ``(row, key, reason)``."""
        self._database.executemany(
            "INSERT INTO lines (row, key, reason, operation, outcome) VALUES (?, ?, ?, ?, ?)",
            ((*line, _NO_OPERATION, INVALID) for line in lines),
        )

    def merge_rows(self, merge: Callable[[str, str], str]) -> None:
        """
        Make one call of the rows that share a key; its result is the result of each of them.

        :param merge: Returns the payload for two rows.
        """
        run = self._database.execute
        run(
            "CREATE TEMP TABLE doubled AS SELECT key FROM lines WHERE outcome IS NULL"
            " GROUP BY key HAVING count(*) > 1"
        )
        # Sorted on disk before the first row is returned, so the table can be changed meanwhile.
        found = run(
            "SELECT lines.key, lines.row, lines.payload FROM lines JOIN doubled ON doubled.key = lines.key"
            " WHERE lines.outcome IS NULL ORDER BY lines.key, lines.row"
        )
        lead, lead_key, payload, size = 0, None, "", 0
        for key, row, other in found:
            if key == lead_key:
                payload, size = merge(payload, other), size + 1
                run("UPDATE lines SET lead = ?, payload = NULL WHERE row = ?", (lead, row))
                continue
            run("UPDATE lines SET payload = ?, size = ? WHERE row = ?", (payload, size, lead))
            lead, lead_key, payload, size = row, key, other, 1
        run("UPDATE lines SET payload = ?, size = ? WHERE row = ?", (payload, size, lead))
        run("DROP TABLE doubled")

    def calls(self) -> Iterator[PlannedCall]:
        """Yield the calls that have no outcome yet, in the order of their first rows."""
        last = 0
        while page := self._database.execute(
            "SELECT row, key, payload, size FROM lines"
            " WHERE row > ? AND outcome IS NULL AND lead IS NULL ORDER BY row LIMIT ?",
            (last, _CALLS_AT_ONCE),
        ).fetchall():
            yield from map(PlannedCall._make, page)
            last = page[-1][0]

    def record(self, results: Iterable[tuple[int, CallResult]]) -> None:
        """Store the results of calls, by their first rows."""
        self._database.executemany(
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
        self._database.execute(
            "UPDATE lines SET outcome = ?, reason = ? WHERE outcome IS NULL AND lead IS NULL",
            (NOT_ATTEMPTED, reason),
        )

    def counts(self) -> Counter[str]:
        """Return the number of rows by outcome; rows without one are not counted."""
        found = self._database.execute(
            "SELECT coalesce(first.outcome, lines.outcome), count(*)"
            " FROM lines LEFT JOIN lines AS first ON first.row = lines.lead GROUP BY 1"
        )
        return Counter({outcome: number for outcome, number in found if outcome is not None})

    def operations(self) -> Counter[str]:
        """Return the number of rows by operation."""
        return Counter(dict(self._database.execute("SELECT operation, count(*) FROM lines GROUP BY 1")))

    def rows(self) -> int:
        """Return the number of rows."""
        (number,) = self._database.execute("SELECT count(*) FROM lines").fetchone()
        return int(number)

    def open_calls(self) -> int:
        """Return the number of calls that have no outcome yet."""
        (number,) = self._database.execute(
            "SELECT count(*) FROM lines WHERE outcome IS NULL AND lead IS NULL"
        ).fetchone()
        return int(number)

    def report_lines(self) -> Iterator[ReportLine]:
        """Yield every row with its outcome, in the order of the source."""
        found = self._database.execute(
            "SELECT lines.row, lines.key, lines.operation, lines.fields,"
            " coalesce(first.outcome, lines.outcome), coalesce(first.reason, lines.reason),"
            " coalesce(first.id, lines.id), coalesce(first.attempted_at, lines.attempted_at)"
            " FROM lines LEFT JOIN lines AS first ON first.row = lines.lead ORDER BY lines.row"
        )
        return map(ReportLine._make, found)

    def not_done(self, limit: int) -> list[tuple[str | None, str | None]]:
        """
        Return key and reason of the first rows that were sent or checked without success.

        :param limit: How many at most.
        """
        return self._database.execute(
            "SELECT key, reason FROM lines WHERE outcome NOT IN (?, ?, ?) ORDER BY row LIMIT ?",
            (SUCCEEDED, UNCHANGED, NOT_ATTEMPTED, limit),
        ).fetchall()

    def remember_keys(self, keys: Iterable[tuple[str, bool]]) -> None:
        """
        Store the keys of an earlier report, for :meth:`is_wanted`.

        :param keys: Each line's key, and whether its row may be sent again.
        """
        run = self._database.execute
        run("CREATE TABLE wanted (key TEXT PRIMARY KEY, is_wanted INTEGER NOT NULL) WITHOUT ROWID")
        self._database.executemany(
            "INSERT INTO wanted VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET is_wanted = min(is_wanted, excluded.is_wanted)",
            keys,
        )

    def is_wanted(self, key: str | None) -> bool:
        """Return whether the earlier report leaves the rows of a key to be sent."""
        found = self._database.execute("SELECT is_wanted FROM wanted WHERE key = ?", (key or "",)).fetchone()
        return bool(found and found[0])
