"""The events that triggers send to their sensors: written and read here only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from airflow_provider_cytechbot.api import errors
from airflow_provider_cytechbot.api.errors import CyTechBotError

#: Increased whenever events change, to detect a triggerer and a worker of different versions.
EVENT_VERSION = 1
#: The longest text of an error in an event, in characters.
MAX_TEXT = 2_000

Event: TypeAlias = dict[str, Any]
Status: TypeAlias = Literal["success", "timeout", "error"]

_ERRORS = {
    cls.__name__: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, CyTechBotError)
}


class CyTechBotTriggerEventError(Exception):
    """A trigger event that this version of the provider cannot have sent. A retry of the task waits again."""


def reached(result: Any = None) -> Event:
    """
    Return the event for a wait that is over.

    :param result: What the sensor returns.
    """
    return {"version": EVENT_VERSION, "status": "success", "result": result}


def timed_out() -> Event:
    """Return the event for a wait that exceeded its sensor's ``timeout``."""
    return {"version": EVENT_VERSION, "status": "timeout"}


def failed(error: CyTechBotError, failed_polls: int) -> Event:
    """
    Return the event for a wait that failed.

    :param error: The error.
    :param failed_polls: The number of failed polls in a row.
    """
    public = next(cls for cls in type(error).__mro__ if cls in _ERRORS.values())
    return {
        "version": EVENT_VERSION,
        "status": "error",
        "error": public.__name__,
        "reason": _shorten(error.reason),
        "hint": _shorten(error.hint),
        "request": _shorten(error.request),
        "failed_polls": failed_polls,
    }


def validate(event: Any) -> Event:
    """
    Return an event if it has one of the forms above.

    :param event: The event that Airflow passes to ``execute_complete``.
    :raises CyTechBotTriggerEventError: It has another form.
    """
    if event is None:
        raise _reject("there is none (None): the trigger ended without an event")
    if not isinstance(event, Mapping):
        raise _reject(f"it is a {type(event).__name__}, not a dictionary")
    if event.get("version") != EVENT_VERSION:
        raise _reject(
            f"it is of version {event.get('version')!r}, not {EVENT_VERSION}: does the triggerer have "
            "another version of the provider than the worker, or was it changed while the task was deferred?"
        )
    status = event.get("status")
    needed = {
        "success": ("result",),
        "timeout": (),
        "error": ("error", "reason", "hint", "request", "failed_polls"),
    }
    if not isinstance(status, str) or status not in needed:
        raise _reject(f"its status is {status!r}, none of {', '.join(needed)}")
    if missing := [name for name in needed[status] if name not in event]:
        raise _reject(f"it lacks {', '.join(missing)}")
    if status == "error" and str(event["error"]) not in _ERRORS:
        raise _reject(f"it names an unknown error {event['error']!r}")
    return dict(event)


def error_of(event: Event) -> CyTechBotError:
    """
    Return the error in an event.

    :param event: A valid event of the status ``error``.
    """
    reason = str(event["reason"])
    if event["failed_polls"] > 1:
        reason = f"{event['failed_polls']} polls in a row failed, the last because: {reason}"
    return _ERRORS[event["error"]](reason, str(event["hint"]), str(event["request"]))


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _reject(problem: str) -> CyTechBotTriggerEventError:
    return CyTechBotTriggerEventError(f"The trigger's event cannot be read: {problem}.")
