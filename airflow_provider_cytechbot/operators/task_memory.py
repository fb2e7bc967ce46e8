"""What a task remembers of its write across its tries: in its state store, which Airflow has since 3.3."""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

STORE_KEY = "cytechbot_create"


def is_retry(context: Context) -> bool:
    """
    Return whether an earlier try of this task failed or died, and nobody has cleared it since.

    :param context: The task's context.
    """
    return bool(context["ti"].try_number > _first_try(context))


def _first_try(context: Context) -> int:
    """Return the number of the first try since the task was cleared, which gave it all its retries anew."""
    ti: Any = context["ti"]
    # Whoever raises the retries of a task under way leaves its max_tries behind.
    return max(1, int(ti.max_tries - ti.task.retries + 1))


class PreviousTry(NamedTuple):
    """What is known of the write from before this try."""

    #: It was begun, and what came of it is not known.
    was_cut_off: bool = False
    new_id: str | None = None
    #: Whether it was a call with the very same fields.
    is_same: bool = True
    was_cleared_since: bool = False
    #: Whether an error has told people that it may have happened.
    was_told: bool = False

    @property
    def may_be_sent_again(self) -> bool:
        """Whether nobody has to be told first: nothing is open, or who was told of it cleared the task."""
        return not self.was_cut_off or (self.was_told and self.was_cleared_since)


class TaskMemory:
    """
    What a task remembers of the one write, a create or a delete, that it makes.

    :param context: The task's context.
    :param call: What is called where with which fields; only its digest is stored.
    """

    def __init__(self, context: Context, call: object) -> None:
        self._context = context
        self._store: Any = context.get("task_state_store")
        self._first_try = _first_try(context)
        self._call = hashlib.sha256(json.dumps(call, default=str, sort_keys=True).encode()).hexdigest()
        self._entry: Any = None
        #: When the oldest try began whose result is not known: at the latest, this one.
        self.began: datetime | None = datetime.now(UTC)

    def recall(self) -> PreviousTry:
        """Return what an earlier try left behind; without a store, what the number of the try tells."""
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
            was_told=bool(entry.get("told")),
        )

    @property
    def is_persistent(self) -> bool:
        """Whether the next try will know what this one did."""
        return self._store is not None

    def begin(self) -> None:
        """Remember that the write begins. If this cannot be stored, nothing must be sent."""
        self._set({})

    def finish(self, new_id: str) -> None:
        """Remember the id of what a create made."""
        self._try_to_set({"id": new_id})

    def tell(self) -> None:
        """Remember that people are told, so that who clears the task does so knowingly."""
        self._try_to_set({"told": True})

    def restore(self) -> None:
        """Remember what was known before this try, which has done nothing."""
        try:
            if self._entry is not None:
                self._store.set(STORE_KEY, self._entry)
            elif self._store is not None:
                self._store.delete(STORE_KEY)
        except Exception as error:  # noqa: BLE001 - the next try is only more careful than it has to be
            self._warn(error)

    def _try_to_set(self, outcome: dict[str, Any]) -> None:
        try:
            self._set(outcome)
        except Exception as error:  # noqa: BLE001 - what is known must reach Airflow in the other way, as a result
            self._warn(error)

    def _set(self, outcome: dict[str, Any]) -> None:
        if self._store is not None:
            began = {"began": self.began.isoformat()} if self.began else {}
            self._store.set(STORE_KEY, {"call": self._call, "first_try": self._first_try, **began, **outcome})

    @staticmethod
    def _warn(error: Exception) -> None:
        log.warning("The task state store could not be written (%s): a retry may fail.", type(error).__name__)
