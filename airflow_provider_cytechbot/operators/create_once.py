"""Creates that a crash cannot double: an earlier one is returned, found or reported, but not repeated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
)
from airflow_provider_cytechbot.operators.task_memory import Earlier, TaskMemory

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_cytechbot.api.endpoints import Endpoint
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Create:
    """
    A create, and how to find out whether it happened.

    :param what: What is made, in the log's words, such as ``contact group 'Leads'``.
    :param endpoint: The endpoint that makes it.
    :param fields: The endpoint's fields.
    :param read: Reads the thing by its id, or raises ``CyTechBotNotFoundError``.
    :param look: Returns the id of the thing if it exists, found by what no other thing has, such as an
        e-mail address; ``None`` where the API cannot look.
    """

    what: str
    endpoint: Endpoint[str]
    fields: Mapping[str, object] = field(repr=False)
    read: Callable[[str], object]
    look: Callable[[], str | None] | None = None


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
    from airflow.providers.common.compat.sdk import AirflowTaskTimeout

    memory = _memory(create, hook, context)
    earlier = memory.recall()
    if earlier.new_id and _still_counts(create, earlier.new_id, earlier):
        log.info("An earlier try of this task made %s: id %s", create.what, earlier.new_id)
        return earlier.new_id
    if earlier.was_cut_off and create.look and earlier.is_same:
        if found := create.look():
            return _found(create, memory, found)
    elif earlier.was_cut_off and memory.is_lasting and not (earlier.was_told and earlier.was_cleared_since):
        memory.tell()
        raise hook.failure(
            _ambiguous(create, "An earlier try of this task began it and ended before it knew the result.")
        )
    memory.begin()
    try:
        new_id = hook.call(create.endpoint, **create.fields)
    except CyTechBotError as error:
        failure = error
    except AirflowTaskTimeout:
        if create.look:
            raise  # the next try looks
        failure = hook.failure(_ambiguous(create, "The task's execution_timeout ended it on its way."))
    else:
        log.info("Made %s: id %s", create.what, new_id)
        memory.finish(new_id)
        return new_id
    is_ambiguous = isinstance(failure, CyTechBotAmbiguousWriteError)
    # Refused, after an earlier try was cut off: perhaps because that one made it after all.
    is_refused_after_all = earlier.was_cut_off and isinstance(failure, CyTechBotRequestError)
    if create.look and (is_ambiguous or is_refused_after_all):
        with suppress(CyTechBotError):
            if found := create.look():
                return _found(create, memory, found)
    if is_ambiguous:
        memory.tell()
    else:
        memory.undo()
    raise failure


def _memory(create: Create, hook: CyTechBotHook, context: Context) -> TaskMemory:
    secret = {each.name for each in create.endpoint.fields if each.secret}
    shown = {name: value for name, value in create.fields.items() if name not in secret}
    return TaskMemory(context, [hook.cytechbot_conn_id, hook.settings.base_url, create.endpoint.path, shown])


def _still_counts(create: Create, new_id: str, earlier: Earlier) -> bool:
    """Return whether an earlier result is this try's, too: a retry's always; who clears wants it to exist."""
    if not earlier.was_cleared_since:
        return True
    try:
        return earlier.is_same and bool(create.read(new_id))
    except CyTechBotNotFoundError:
        return False


def _ambiguous(create: Create, reason: str) -> CyTechBotAmbiguousWriteError:
    return CyTechBotAmbiguousWriteError(
        f"{create.what} may have been made. {reason} It is not sent again.",
        f"{create.endpoint.find_out} Clear the task to make it all the same.",
        f"{create.endpoint.verb} {create.endpoint.path}",
    )


def _found(create: Create, memory: TaskMemory, new_id: str) -> str:
    log.info("The answer was lost, but %s exists: id %s", create.what, new_id)
    memory.finish(new_id)
    return new_id
