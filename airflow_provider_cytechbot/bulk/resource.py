"""What the engine needs to know about the resource that rows are written to."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.records import WriteOutcome
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook


class InvalidRowError(Exception):
    """
    A row cannot be sent.

    :param reason: Why, without any value of the row besides its key.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PlannedWrite(NamedTuple):
    """
    What a row asks for.

    :param key: What identifies the row: rows of one key become one call.
    :param payload: What is written, as a text that only the resource reads.
    :param fields: The names of the fields that are written.
    """

    key: str
    payload: str
    fields: str


class BulkResource(Protocol):
    """A resource of the API, as the bulk engine uses it."""

    #: The report's word for what is done to each row.
    operation: str
    #: The field that identifies a row; any row but a mapping is a value of this field.
    key_field: str
    #: The fields that are read from a row.
    fields: Sequence[str]
    #: Whether a call whose response was lost can be sent again in a later run.
    is_repeatable: bool

    def plan(self, values: Mapping[str, object]) -> PlannedWrite:
        """
        Check a row and return what to write.

        :param values: The row's values by field; a field without a column is absent.
        :raises InvalidRowError: The row cannot be sent.
        """
        ...

    def merge(self, payload: str, other: str) -> str:
        """Return the payload of one call for two rows of the same key."""
        ...

    def describe(self, payload: str) -> str:
        """Return a payload as a text that is the same in every run, for the plan's digest."""
        ...

    def prepare(self, *, plan_only: bool) -> None:
        """
        Do what must be done once, after all rows were read and before the first call.

        :param plan_only: Check only, and change nothing.
        """
        ...

    def write(self, hook: CyTechBotAsyncHook, key: str, payload: str) -> Awaitable[WriteOutcome]:
        """
        Send the call for a key, once: the engine repeats it.

        :param hook: The open hook.
        :param key: The key.
        :param payload: The payload.
        """
        ...
