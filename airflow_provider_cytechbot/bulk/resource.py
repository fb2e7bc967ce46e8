"""What the engine needs of the resource that rows are written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook


class InvalidRowError(Exception):
    """
    A row cannot be sent.

    :param reason: Why, without any value of the row besides its key.
    :param key: The row's key; ``None`` if it cannot be read, so that no key counts as gone.
    """

    def __init__(self, reason: str, key: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.key = key


class PlannedWrite(NamedTuple):
    """
    What a row sets, as far as the row alone shows it.

    :param key: What identifies the row: rows of one key become one call.
    :param payload: What is written, as a text that only the resource reads.
    :param fields: The names of the fields that are written.
    :param unique: Pairs of a field and the digest of its value that no two keys may share. All rows that
        share one are invalid.
    """

    key: str
    payload: str
    fields: str
    unique: Sequence[tuple[str, str]] = ()


class StateEntry(NamedTuple):
    """
    What the state holds of a key.

    :param value: The value that the last successful write left; ``None`` if there is none.
    :param step: A step that was recorded and whose result is not known.
    :param is_of_this_run: Whether the step was recorded by this task instance: by an earlier try, or before
        the task was cleared. Otherwise an earlier run recorded it.
    """

    value: bytes | None = None
    step: bytes | None = None
    is_of_this_run: bool = False


#: The entry of a key that the state does not have.
NO_ENTRY = StateEntry()


class Change(NamedTuple):
    """
    A call that a key needs, or several that belong together.

    :param operation: The report's word: ``assign``, ``update``, ``create``, ``recreate`` or ``delete``.
    :param payload: What is written, as a text that only the resource reads.
    :param fields: The names of the fields that are written.
    :param is_repeatable: Whether a call whose response was lost can be sent again.
    :param step: Recorded durably before the first call. Needed if the call is not repeatable: after a kill
        the entry of the key has it.
    :param phase: All calls of a phase have ended before one of the next begins.
    """

    operation: str
    payload: str
    fields: str
    is_repeatable: bool = True
    step: bytes | None = None
    phase: int = 0


class Settled(NamedTuple):
    """
    A key for which nothing is sent.

    :param outcome: Usually ``unchanged``; also ``ambiguous`` for a key that is held, ``refused`` or
        ``invalid``.
    :param reason: Why.
    :param operation: The report's word.
    :param fields: The names of the fields.
    :param id: The id of what the key stands for.
    """

    outcome: str
    reason: str
    operation: str = "none"
    fields: str = ""
    id: str | None = None


class Written(NamedTuple):
    """
    The result of a successful call.

    :param is_changed: Whether it changed anything; otherwise the outcome is ``unchanged``.
    :param reason: Why it did not.
    :param id: The id of what was written, for the report.
    :param value: The value that the state keeps for the key; ``None`` removes the key from the state.
    """

    is_changed: bool = True
    reason: str = ""
    id: str | None = None
    value: bytes | None = None


class PlannedCall(NamedTuple):
    """
    A call to send.

    :param row: The number of its first line in the ledger.
    :param key: The rows' key.
    :param operation: As in :class:`Change`.
    :param payload: As in :class:`Change`.
    :param rows: How many rows it is for.
    :param is_repeatable: As in :class:`Change`.
    :param step: As in :class:`Change`.
    :param fields: As in :class:`Change`.
    """

    row: int
    key: str
    operation: str
    payload: str
    rows: int
    is_repeatable: bool = True
    step: bytes | None = None
    fields: str = ""


class PlanFigures(NamedTuple):
    """
    The plan in figures, before anything is sent.

    :param operations: The number of calls by operation.
    :param source_rows: The rows of the source.
    :param unreadable_keys: The rows whose key cannot be read. With one, no key counts as gone.
    :param state_keys: The keys of the state when this run began (of this shard).
    :param digest: The plan's digest.
    :param is_resumed: Whether an earlier try of this task instance has begun: the plan holds what it left.
    """

    operations: Mapping[str, int]
    source_rows: int
    unreadable_keys: int
    state_keys: int
    digest: str
    is_resumed: bool


class ResourceState(Protocol):
    """The state, as a resource sees it. Without ``state_path`` it lasts as long as the task instance."""

    @property
    def is_durable(self) -> bool:
        """Whether anything is stored: without ``state_path`` and ``report_path`` nothing is."""
        ...

    @property
    def salt(self) -> bytes:
        """A random salt that stays with the state, for digests of values."""
        ...

    @property
    def run(self) -> str:
        """A digest of dag, task, run and map index: the same in each try and after a clear."""
        ...

    @property
    def header(self) -> Mapping[str, str]:
        """What :meth:`remember` stored, in this run or an earlier one."""
        ...

    def remember(self, name: str, value: str) -> None:
        """Store something about the resource as a whole, such as the id of its group. It is durable then."""
        ...

    def entry(self, key: str) -> StateEntry:
        """Return the entry of a key."""
        ...


class Steps(Protocol):
    """The record of one key's steps, inside :meth:`BulkResource.write`."""

    async def begin(self, step: bytes) -> None:
        """
        Record a step. It is durable when this returns, so that the call may be sent.

        It replaces the step before it. ``succeeded``, ``unchanged``, ``refused`` and ``invalid`` remove it,
        ``ambiguous`` keeps it, and ``failed`` keeps it if the change is repeatable. A call that was not sent,
        and one that failed and is not repeatable, restore the step that the key had before.

        :param step: Up to 255 bytes that only the resource reads.
        """
        ...

    def save(self, value: bytes | None) -> None:
        """
        Store a value of the key whatever the outcome, for example that the old contact is deleted.

        It is durable with the next step or result.
        """
        ...


class BulkResource(Protocol):
    """
    A resource of the API, as the bulk engine uses it.

    The engine calls, once each and in this order: :meth:`open_state`; :meth:`plan` for each row and
    :meth:`merge` for the rows of one key; :meth:`compare` for each key; :meth:`gone` for each key that the
    state alone has; :meth:`check`; :meth:`prepare`; then :meth:`write`, for several keys at once.
    """

    @property
    def identity(self) -> Mapping[str, str]:
        """
        What a state is about, besides the server: ``{"operation": "assign", "page_id": "9"}``.

        A state of anything else is refused.
        """
        ...

    @property
    def key_field(self) -> str:
        """The field that identifies a row; any row but a mapping is a value of this field."""
        ...

    @property
    def fields(self) -> Sequence[str]:
        """The fields that are read from a row."""
        ...

    @property
    def finds_gone_keys(self) -> bool:
        """Whether :meth:`gone` is called."""
        ...

    def open_state(self, state: ResourceState) -> None:
        """Take the state, before the source is read."""
        ...

    def plan(self, values: Mapping[str, object]) -> PlannedWrite:
        """
        Check a row and return what to write.

        :param values: The row's values by field; a field without a column is absent.
        :raises InvalidRowError: The row cannot be sent.
        """
        ...

    def merge(self, payload: str, other: str) -> str:
        """
        Return the payload of one call for two rows of the same key.

        :raises InvalidRowError: The key must not occur twice. All its rows are invalid.
        """
        ...

    def compare(self, write: PlannedWrite, entry: StateEntry) -> Change | Settled:
        """
        Return what a key needs.

        It is not called for a key that this task instance has settled already, with the same content: a retry
        keeps the outcomes ``succeeded``, ``unchanged``, ``refused`` and ``ambiguous``, and a cleared task
        keeps them except ``refused``.

        :param write: What the rows of the key set, merged; its ``unique`` is empty.
        :param entry: What the state holds of the key. It has a step if that may have been sent.
        """
        ...

    def gone(self, key: str, entry: StateEntry) -> Change | Settled | None:
        """
        Return what a key needs that the state has and the source has not; ``None`` for no line in the report.

        It is not called at all if a row has no readable key, or if ``retry_report`` leaves rows out.

        :param key: The key.
        :param entry: What the state holds of it.
        """
        ...

    def describe(self, payload: str) -> str:
        """Return a payload as a text that is the same in every run: for the plan's digest and for retries."""
        ...

    def check(self, figures: PlanFigures, *, plan_only: bool) -> None:
        """
        Check the plan as a whole.

        :param figures: The plan.
        :param plan_only: Nothing is going to be sent.
        :raises CyTechBotError: Nothing is sent.
        """
        ...

    def prepare(self, *, plan_only: bool) -> None:
        """
        Do what must be done once, before the first call.

        :param plan_only: Check only, and change nothing.
        """
        ...

    async def write(self, hook: CyTechBotAsyncHook, call: PlannedCall, steps: Steps) -> Written:
        """
        Send the call for a key, once: the engine repeats it if its error is temporary.

        Send with ``max_retries=0``. An error becomes the key's outcome: ``CyTechBotRequestError`` refused,
        ``CyTechBotAmbiguousWriteError`` ambiguous, ``CyTechBotFieldError`` invalid, others failed; one that
        concerns every row ends the run.

        :param hook: The open hook.
        :param call: The call; its first step is recorded.
        :param steps: Records further steps. Where the engine repeats the call, the write begins at its start:
            keep in the resource what was done.
        """
        ...
