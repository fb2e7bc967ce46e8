"""The state of a task's write across its tries, kept in the task state store of Airflow 3.3 and newer."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

STORE_KEY = "cytechbot_create"

#: Seconds between the writing of an entry and the look at whose it is. Another run that has read the store
#: before needs some milliseconds to write its own entry.
SETTLE_TIME = 0.25


def is_retry(context: Context) -> bool:
    """
    Return whether an earlier try of this task failed or died, and the task was not cleared since.

    :param context: The task's context.
    """
    return bool(context["ti"].try_number > first_try_of(context))


def first_try_of(context: Context) -> int:
    """Return the number of the first try since the task was cleared: a clear restores all retries."""
    ti: Any = context["ti"]
    # If the retries of a running task are raised, its max_tries stays as it was.
    return max(1, int(ti.max_tries - ti.task.retries + 1))


class PreviousTry(NamedTuple):
    """The stored state of the write before this try."""

    #: The write began, and its result is not known.
    was_cut_off: bool = False
    new_id: str | None = None
    #: Whether that call had the same fields.
    is_same: bool = True
    was_cleared_since: bool = False
    #: Whether the task failed with the error of an ambiguous write.
    was_reported: bool = False

    @property
    def allows_sending(self) -> bool:
        """Whether to send the write: its result is known, or the task was cleared after the report."""
        return not self.was_cut_off or (self.was_reported and self.was_cleared_since)


class TaskMemory:
    """
    The stored state of a task's one write, a create or a delete.

    :param context: The task's context.
    :param call: The connection, URL, endpoint and fields; only their digest is stored.
    """

    def __init__(self, context: Context, call: object) -> None:
        self._context = context
        self._store: Any = context.get("task_state_store")
        self._first_try = first_try_of(context)
        self._call = hashlib.sha256(json.dumps(call, default=str, sort_keys=True).encode()).hexdigest()
        self._entry: Any = None
        self._run = token_hex(8)
        self._is_overtaken = False
        #: When the oldest write without a known result began; otherwise, when this try began.
        self.began: datetime | None = datetime.now(UTC)

    def read_previous_try(self) -> PreviousTry:
        """Return the state that an earlier try stored; without a store, the try number decides."""
        if self._store is None:
            was_cut_off = is_retry(self._context)
            if was_cut_off:
                self.began = None
            return PreviousTry(was_cut_off=was_cut_off)
        entry = self._entry = self._store.get(STORE_KEY)
        if not isinstance(entry, dict):
            return PreviousTry()
        was_cut_off = "id" not in entry
        if was_cut_off:
            self.began = datetime.fromisoformat(entry["began"]) if "began" in entry else None
        return PreviousTry(
            was_cut_off=was_cut_off,
            new_id=entry.get("id"),
            is_same=entry.get("call") == self._call,
            was_cleared_since=entry.get("first_try") != self._first_try,
            was_reported=bool(entry.get("reported")),
        )

    @property
    def is_persistent(self) -> bool:
        """Whether the next try can read the state that this one stores."""
        return self._store is not None

    def begin(self) -> bool:
        """
        Store that the write begins, and return whether it did not begin in another run of the same try.

        If this returns false or raises, no create may be sent. The store has no compare-and-set, only get and
        set. So the entry is read right before it is written, and again :data:`SETTLE_TIME` later, when each
        run that had read an older entry has written its own: the last one to write goes on (Fischer's mutual
        exclusion). Two runs side by side both get true only if one stands still for that long between its
        read and its write.
        """
        if self._store is None:
            return True
        is_first = bool(self._store.get(STORE_KEY) == self._entry)
        if is_first:
            self._set({})
            time.sleep(SETTLE_TIME)
            entry = self._store.get(STORE_KEY)
            is_first = isinstance(entry, dict) and bool(entry.get("run") == self._run)
        self._is_overtaken = not is_first
        return is_first

    def finish(self, new_id: str) -> None:
        """Store the id of the created record."""
        self._try_to_set({"id": new_id})

    def mark_reported(self) -> None:
        """Store that the ambiguous write was reported, so that a later clear counts as confirmed."""
        self._try_to_set({"reported": True})

    def restore(self) -> None:
        """Store the state from before this try, which changed nothing."""
        if self._is_overtaken:
            return
        try:
            if self._entry is not None:
                self._store.set(STORE_KEY, self._entry)
            elif self._store is not None:
                self._store.delete(STORE_KEY)
        except Exception as error:  # noqa: BLE001 - the next try is only more careful than necessary
            self._warn(error)

    def _try_to_set(self, outcome: dict[str, Any]) -> None:
        try:
            self._set(outcome)
        except Exception as error:  # noqa: BLE001 - the result still reaches Airflow as an XCom
            self._warn(error)

    def _set(self, outcome: dict[str, Any]) -> None:
        if self._store is not None:
            began = {"began": self.began.isoformat()} if self.began else {}
            run = {"call": self._call, "first_try": self._first_try, "run": self._run}
            self._store.set(STORE_KEY, {**run, **began, **outcome})

    @staticmethod
    def _warn(error: Exception) -> None:
        log.warning("The task state store could not be written (%s): a retry may fail.", type(error).__name__)
