"""Creates that a crash cannot double: an earlier one is returned, found or reported, but not repeated."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
)
from airflow_provider_cytechbot.operators.task_memory import PreviousTry, TaskMemory

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.records import Contact, ContactGroup
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Create:
    """
    A create, and how to find out whether it happened.

    :param what: What is made, in the log's words, such as ``contact group 'Leads'``.
    :param call: The call that makes it.
    :param exists: Tells whether there is a thing of that id, or raises ``CyTechBotNotFoundError``.
    :param look: Returns the id of the thing if it exists, found by what no other thing has, such as an
        e-mail address, and was not there before the time that is given, where that is known; ``None`` where
        the API cannot look.
    """

    what: str
    call: Call[str]
    exists: Callable[[str], bool]
    look: Callable[[datetime | None], str | None] | None = None


def create_once(create: Create, hook: CyTechBotHook, context: Context) -> str:
    """
    Create, unless an earlier try of the same task did, and return the id.

    :param create: What to create.
    :param hook: The hook to create it with.
    :param context: The task's context.
    :raises CyTechBotAmbiguousWriteError: It was begun and may have happened, and the API cannot tell.
    :raises CyTechBotRequestError: The API refused.
    :raises CyTechBotAuthError: The API refused the key.
    :raises CyTechBotUnansweredError: The API did not act, or what an earlier try made could not be looked
        up: the task may be retried.
    :raises AirflowTaskTimeout: The task's time was over, and the next try can look.
    """
    memory = _memory(create, hook, context)
    earlier = memory.recall()
    return _known_result(create, hook, memory, earlier) or _send(create, hook, memory, earlier)


def is_deleted(record: Contact | ContactGroup) -> bool:
    """
    Return whether a record is of something that was deleted: the server still tells of it.

    :param record: The record.
    """
    return record["deleted"] not in (None, "", "0")


def _known_result(
    create: Create, hook: CyTechBotHook, memory: TaskMemory, earlier: PreviousTry
) -> str | None:
    """Return the id where an earlier try settles the matter; ``None`` where the create is to be sent."""
    if earlier.new_id and _still_counts(create, earlier.new_id, earlier):
        log.info("Found %s, which an earlier attempt made: id %s", create.what, earlier.new_id)
        return earlier.new_id
    if earlier.was_cut_off and create.look and earlier.is_same:
        return _look(create, memory)
    if earlier.may_be_sent_again or not memory.is_persistent:
        return None
    memory.tell()
    raise hook.task_error(
        _ambiguous(create, "An earlier try of this task began it and ended before it knew the result.")
    )


def _send(create: Create, hook: CyTechBotHook, memory: TaskMemory, earlier: PreviousTry) -> str:
    """Send the create and account for what comes of it."""
    from airflow.providers.common.compat.sdk import AirflowTaskTimeout

    memory.begin()
    try:
        new_id = hook.call(create.call.endpoint, **create.call.fields)
    except CyTechBotError as error:
        failure = error
    except AirflowTaskTimeout:
        if create.look:
            raise  # the next try looks
        failure = hook.task_error(_ambiguous(create, "The task's execution_timeout ended it on its way."))
    else:
        log.info("Made %s: id %s", create.what, new_id)
        memory.finish(new_id)
        return new_id
    is_ambiguous = isinstance(failure, CyTechBotAmbiguousWriteError)
    # Refused, after an earlier try was cut off: perhaps because that one made it after all.
    is_refused_after_all = earlier.was_cut_off and isinstance(failure, CyTechBotRequestError)
    if is_ambiguous or is_refused_after_all:
        with suppress(CyTechBotError):
            if found := _look(create, memory):
                return found
    if is_ambiguous:
        memory.tell()
    else:
        memory.restore()
    raise failure


def _look(create: Create, memory: TaskMemory) -> str | None:
    found = create.look(memory.began) if create.look else None
    if found:
        log.info("Found %s, which an earlier attempt made: id %s", create.what, found)
        memory.finish(found)
    return found


def _memory(create: Create, hook: CyTechBotHook, context: Context) -> TaskMemory:
    return TaskMemory(context, [hook.cytechbot_conn_id, hook.settings.base_url, *create.call.loggable_fields])


def _still_counts(create: Create, new_id: str, earlier: PreviousTry) -> bool:
    """Return whether an earlier result is this try's, too: a retry's always; who clears wants it to exist."""
    if not earlier.was_cleared_since:
        return True
    try:
        return earlier.is_same and create.exists(new_id)
    except CyTechBotNotFoundError:
        return False


def _ambiguous(create: Create, reason: str) -> CyTechBotAmbiguousWriteError:
    return CyTechBotAmbiguousWriteError(
        f"{create.what} may have been made. {reason} It is not sent again.",
        f"{create.call.endpoint.how_to_check} If it is not there, clear the task to create it.",
        create.call.request,
    )
