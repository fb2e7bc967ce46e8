"""Exceptions without the frames below, since error trackers print the variables of frames."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import TypeVar

from airflow_provider_cytechbot.api.errors import CyTechBotError

T = TypeVar("T")

#: How many of the dropped frames the error still names, those where it was raised.
_NAMED_FRAMES = 4


def without_frames(operation: Callable[[], T]) -> T:
    """
    Run an operation whose frames have secrets, and raise its exception without them.

    This holds for any exception: a signal such as that of a timeout can be raised in each line.

    :param operation: The operation.
    """
    handled = sys.exception()
    try:
        return operation()
    except BaseException as error:  # noqa: BLE001 - raised again below
        failure = error
    raise _stripped(failure, handled)


async def without_frames_async(operation: Awaitable[T]) -> T:
    """
    Await an operation whose frames have secrets, and raise its exception without them.

    :param operation: The operation.
    """
    handled = sys.exception()
    try:
        return await operation
    except BaseException as error:  # noqa: BLE001 - raised again below
        failure = error
    raise _stripped(failure, handled)


def _stripped(error: BaseException, handled: BaseException | None) -> BaseException:
    """Drop the frames of an exception and of all that it hides, except those the caller handles already."""
    if error.__traceback__ is not None and not isinstance(error, CyTechBotError):
        # The source line of a frame has no values.
        frames = traceback.extract_tb(error.__traceback__)[-_NAMED_FRAMES:]
        error.add_note("Raised in\n" + "".join(traceback.format_list(frames)).rstrip())
    seen: list[BaseException | None] = [None, handled]
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and all(each is not other for other in seen):
            seen.append(each)
            each.__traceback__ = None
            waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
    return error
