"""Creates that a crash cannot double: what was begun is remembered across a task's tries, where Airflow can.

From Airflow 3.3 on a task has a state store that outlives its tries. Before, the only help is to look whether
the thing exists, where the API lets one look.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_cytechbot.api.endpoints import Endpoint
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

log = logging.getLogger(__name__)

STORE_KEY = "cytechbot_create"


@dataclass(frozen=True)
class Create:
    """
    A create, and how to find out whether it happened.

    :param what: What is made, in the log's words, such as ``contact group 'Leads'``.
    :param endpoint: The endpoint that makes it.
    :param fields: The endpoint's fields.
    :param look: Returns the id of the thing if it exists, found by what no other thing has, such as an
        e-mail address; ``None`` where the API cannot look.
    :param read: Where it cannot: reads the thing by its id, or raises ``CyTechBotNotFoundError``.
    """

    what: str
    endpoint: Endpoint[str]
    fields: Mapping[str, object] = field(repr=False)
    look: Callable[[], str | None] | None = None
    read: Callable[[str], object] | None = None


def create_once(create: Create, hook: CyTechBotHook, context: Context) -> str:
    """
    Create, unless an earlier try of the same task did, and return the id.

    :param create: What to create.
    :param hook: The hook to create it with.
    :param context: The task's context.
    :raises CyTechBotAmbiguousWriteError: It was begun and may have happened, and the API cannot tell.
    :raises CyTechBotRequestError: The API refused.
    :raises CyTechBotTransportError: The API was not reached. Nothing was made, so the task may be retried.
    """
    memory = _Memory(create, context)
    earlier = memory.recall()
    if earlier.new_id and (not earlier.was_cleared_since or _exists(create, earlier.new_id)):
        log.info("%s was made by an earlier try of this task: id %s", create.what, earlier.new_id)
        return earlier.new_id
    if earlier.was_begun and create.look:
        if found := create.look():
            return _found(create, memory, found)
    elif earlier.was_begun and not earlier.was_cleared_since:
        raise hook.failure(
            CyTechBotAmbiguousWriteError(
                f"An earlier try of this task began to make {create.what} and was ended before it knew the "
                "result. It may have happened, and is not begun again.",
                f"{create.endpoint.find_out} Clear the task to make it all the same.",
            )
        )
    memory.begin()
    try:
        new_id = hook.call(create.endpoint, **create.fields)
    except CyTechBotError as error:
        failure = error
    else:
        log.info("Made %s: id %s", create.what, new_id)
        memory.finish(new_id)
        return new_id
    is_ambiguous = isinstance(failure, CyTechBotAmbiguousWriteError)
    # Refused, after an earlier try was cut short: perhaps because that one made it after all.
    is_refused_after_all = earlier.was_begun and isinstance(failure, CyTechBotRequestError)
    if create.look and (is_ambiguous or is_refused_after_all):
        with suppress(CyTechBotError):
            if found := create.look():
                return _found(create, memory, found)
    if not is_ambiguous:
        memory.forget()
    raise failure


def _found(create: Create, memory: _Memory, new_id: str) -> str:
    log.info(
        "%s exists, though the answer was lost: id %s",
        create.what,
        new_id,
    )
    memory.finish(new_id)
    return new_id


def _exists(create: Create, new_id: str) -> bool:
    if create.look:
        return create.look() == new_id
    try:
        return create.read is not None and bool(create.read(new_id))
    except CyTechBotNotFoundError:
        return False


class _Earlier(NamedTuple):
    """What is known of a create from before this try."""

    was_begun: bool = False
    new_id: str | None = None
    was_cleared_since: bool = False


class _Memory:
    """What a task remembers of one create: its state store, or what the try's number tells without one."""

    def __init__(self, create: Create, context: Context) -> None:
        ti = context["ti"]
        self._store: Any = context.get("task_state_store")
        self._can_look = create.look is not None
        # Clearing a task gives it more tries; a retry does not.
        self._max_tries: int = ti.max_tries
        self._is_retry: bool = ti.try_number > 1 and ti.max_tries == ti.task.retries
        secret = {each.name for each in create.endpoint.fields if each.secret}
        told = [create.endpoint.path, {k: v for k, v in create.fields.items() if k not in secret}]
        self._call = hashlib.sha256(json.dumps(told, default=str, sort_keys=True).encode()).hexdigest()

    def recall(self) -> _Earlier:
        """Return what an earlier try of the very same call left behind."""
        if self._store is None:
            return _Earlier(was_begun=self._is_retry and self._can_look)
        entry = self._store.get(STORE_KEY)
        if not isinstance(entry, dict) or entry.get("call") != self._call:
            return _Earlier()
        return _Earlier(
            was_begun=True,
            new_id=entry.get("id"),
            was_cleared_since=entry.get("max_tries") != self._max_tries,
        )

    def begin(self) -> None:
        self._remember()

    def finish(self, new_id: str) -> None:
        self._remember(id=new_id)

    def forget(self) -> None:
        """Nothing was made. If this cannot be stored, the next try is only more careful than it has to be."""
        if self._store is not None:
            with suppress(Exception):
                self._store.delete(STORE_KEY)

    def _remember(self, **entry: str) -> None:
        if self._store is not None:
            self._store.set(STORE_KEY, {"call": self._call, "max_tries": self._max_tries, **entry})
