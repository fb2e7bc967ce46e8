"""Creates that a crash cannot duplicate: an earlier create is returned, found or reported."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.calls import WAS_SENT
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.operators.task_memory import PreviousTry, TaskMemory

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.records import Contact, ContactGroup
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

log = logging.getLogger(__name__)

#: The steps after a create whose result is not known.
_STEPS = (
    "If it is there, pass its id to the tasks downstream: add it as this task's XCom return_value (Airflow "
    "3: POST /api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries with key, value "
    "and, for a mapped task, map_index; Airflow 2 cannot add XComs: there, trigger a run that takes the id "
    "as a param), then mark this task as success and clear the failed tasks downstream. "
    "If it is not there, clear this task, and it is created."
)
#: The step after a create that the next try can look for.
_STEP_IF_FOUND = (
    "Clear this task with those downstream: it looks first, returns the id if it is there, and creates it "
    "if not."
)


@dataclass(frozen=True)
class Create:
    """
    A create, and the reads that show whether it happened.

    :param description: The record, for log lines, such as ``contact group 'Leads'``.
    :param call: The call that creates it.
    :param is_present: Returns whether the record with an id exists, or raises ``CyTechBotNotFoundError``.
    :param find: Returns the id of an existing record by a unique field, such as an e-mail address. It gets
        the time at which the create began, if that is known, and ignores older records. ``None`` where the
        API has no such search.
    """

    description: str
    call: Call[str]
    is_present: Callable[[str], bool]
    find: Callable[[datetime | None], str | None] | None = None


def create_once(create: Create, hook: CyTechBotHook, context: Context) -> str:
    """
    Create, unless an earlier try of the same task did, and return the id.

    :param create: The create.
    :param hook: The hook that sends it.
    :param context: The task's context.
    :raises CyTechBotAmbiguousWriteError: The create was sent and may have happened; nothing can find it.
    :raises CyTechBotRequestError: The API refused.
    :raises CyTechBotAuthError: The API refused the key.
    :raises CyTechBotUnansweredError: The API did not act, or the search for an earlier result failed: a retry
        may help.
    :raises AirflowTaskTimeout: The task's time was over, and the next try can search.
    """
    memory = _memory(create, hook, context)
    earlier = memory.read_previous_try()
    return _known_result(create, hook, memory, earlier) or _send(create, hook, memory, earlier)


def is_deleted(record: Contact | ContactGroup) -> bool:
    """
    Return whether a record was deleted: the server still returns deleted records.

    :param record: The record.
    """
    return record["deleted"] not in (None, "", "0")


def _known_result(
    create: Create, hook: CyTechBotHook, memory: TaskMemory, earlier: PreviousTry
) -> str | None:
    """Return the id from an earlier try, or ``None`` if the create has to be sent."""
    if earlier.new_id and _is_reusable(create, earlier.new_id, earlier):
        _log_found(create, hook, earlier.new_id)
        return earlier.new_id
    if earlier.was_cut_off and create.find and earlier.is_same:
        return _find(create, hook, memory)
    if earlier.allows_sending or not memory.is_persistent:
        return None
    memory.mark_reported()
    reason = "An earlier try of this task sent the create and ended before it had the result."
    raise hook.task_error(_ambiguous(create, memory, reason))


def _send(create: Create, hook: CyTechBotHook, memory: TaskMemory, earlier: PreviousTry) -> str:
    """Send the create, and store its result."""
    from airflow.providers.common.compat.sdk import AirflowTaskTimeout

    if not memory.begin():
        reason = "Another run of this task began the same create at the same time. This one sent nothing."
        hint = "A retry returns the result of the other."
        raise hook.task_error(CyTechBotTransportError(reason, hint, create.call.request, was_sent=False))
    try:
        new_id = hook.call(create.call.endpoint, **create.call.fields)
    except CyTechBotError as error:
        failure = error
    except AirflowTaskTimeout:
        if create.find:
            raise  # the next try searches
        failure = hook.task_error(
            _ambiguous(create, memory, "The task's execution_timeout ended it before the response.")
        )
    else:
        memory.finish(new_id)
        return new_id
    is_ambiguous = isinstance(failure, CyTechBotAmbiguousWriteError)
    # A refusal after a lost response can mean that the earlier create did happen.
    is_refused_after_all = earlier.was_cut_off and isinstance(failure, CyTechBotRequestError)
    if is_ambiguous or is_refused_after_all:
        with suppress(CyTechBotError):
            if found := _find(create, hook, memory):
                return found
    if is_ambiguous:
        failure = hook.task_error(_ambiguous(create, memory, _sentence(failure.reason)))
        memory.mark_reported()
    else:
        memory.restore()
    raise failure


def _find(create: Create, hook: CyTechBotHook, memory: TaskMemory) -> str | None:
    found = create.find(memory.began) if create.find else None
    if found:
        _log_found(create, hook, found)
        memory.finish(found)
    return found


def _log_found(create: Create, hook: CyTechBotHook, new_id: str) -> None:
    log.info(
        "Found %s over connection %r, which an earlier try created: id %s.",
        create.description,
        hook.cytechbot_conn_id,
        new_id,
    )


def _memory(create: Create, hook: CyTechBotHook, context: Context) -> TaskMemory:
    return TaskMemory(context, [hook.cytechbot_conn_id, hook.settings.base_url, *create.call.loggable_fields])


def _is_reusable(create: Create, new_id: str, earlier: PreviousTry) -> bool:
    """Return whether to reuse an earlier result: always in a retry; after a clear, only if it exists."""
    if not earlier.was_cleared_since:
        return True
    try:
        return earlier.is_same and create.is_present(new_id)
    except CyTechBotNotFoundError:
        return False


def _ambiguous(create: Create, memory: TaskMemory, reason: str) -> CyTechBotAmbiguousWriteError:
    """Return the error of a create whose result is not known, with the steps for both cases."""
    steps = _STEP_IF_FOUND if create.find and memory.is_persistent else _STEPS
    began = f" The create began at {memory.began:%Y-%m-%d %H:%M:%S} UTC." if memory.began else ""
    return CyTechBotAmbiguousWriteError(
        f"{create.description} may have been created.{began} {reason} It is not sent again.",
        f"{create.call.endpoint.how_to_check} {steps}",
        create.call.request,
    )


def _sentence(reason: str) -> str:
    """Return a reason as a sentence, without the ending that the task's error replaces."""
    text = reason.removesuffix(WAS_SENT).strip()
    return text[:1].upper() + text[1:]
