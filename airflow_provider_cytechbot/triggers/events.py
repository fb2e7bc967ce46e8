"""What a trigger tells its sensor: one place that writes such an event, and one that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from airflow_provider_cytechbot.api import errors
from airflow_provider_cytechbot.api.errors import CyTechBotError

#: Raised by one whenever events change, so that a triggerer and a worker of different versions notice.
EVENT_VERSION = 1

Event: TypeAlias = dict[str, Any]
Status: TypeAlias = Literal["success", "timeout", "error"]

_ERRORS = {
    cls.__name__: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, CyTechBotError)
}


class CyTechBotTriggerEventError(Exception):
    """A trigger event that this version of the provider cannot have sent. A retry of the task waits anew."""


def reached(result: Any = None) -> Event:
    """
    Return the event for a wait that is over.

    :param result: What the trigger found out.
    """
    return {"version": EVENT_VERSION, "status": "success", "result": result}


def timed_out() -> Event:
    """Return the event for a wait that lasted longer than its sensor's ``timeout``."""
    return {"version": EVENT_VERSION, "status": "timeout"}


def failed(error: CyTechBotError, failed_polls: int) -> Event:
    """
    Return the event for a wait that failed.

    :param error: Why.
    :param failed_polls: How many polls in a row had failed.
    """
    public = next(cls for cls in type(error).__mro__ if cls in _ERRORS.values())
    return {
        "version": EVENT_VERSION,
        "status": "error",
        "error": public.__name__,
        "reason": error.reason,
        "hint": error.hint,
        "request": error.request,
        "failed_polls": failed_polls,
    }


def validate(event: Any) -> Event:
    """
    Return an event if it is one of those above.

    :param event: What Airflow hands to ``execute_complete``.
    :raises CyTechBotTriggerEventError: It is something else; the message says what.
    """
    if event is None:
        raise _reject("there is none (None): the trigger ended without saying anything")
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
    Return the error that an event tells of.

    :param event: A valid event of the status ``error``.
    """
    reason = str(event["reason"])
    if event["failed_polls"] > 1:
        reason = f"{event['failed_polls']} polls in a row failed, the last because: {reason}"
    return _ERRORS[event["error"]](reason, str(event["hint"]), str(event["request"]))


def _reject(problem: str) -> CyTechBotTriggerEventError:
    return CyTechBotTriggerEventError(f"The trigger's event cannot be read: {problem}.")
