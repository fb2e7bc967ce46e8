"""The variables that an error tracker shows: those of each frame of an error and of its causes."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import airflow_provider_cytechbot

PACKAGE = airflow_provider_cytechbot.__path__[0]
#: Frames above the provider's own: tests and test tools.
ABOVE = ("/tests/", "/_pytest/", "/pluggy/")


def shown_by_error_trackers(error: BaseException) -> list[str]:
    """Return `function: variable = value` for each frame below the test, the provider's and libraries'."""
    return [
        f"{frame.f_code.co_name}: {name} = {value!r}"
        for each in _chain(error)
        for frame, _ in traceback.walk_tb(each.__traceback__)
        if not any(part in frame.f_code.co_filename for part in ABOVE)
        for name, value in frame.f_locals.items()
    ]


def provider_frames(error: BaseException) -> list[str]:
    """Return the names of the provider's functions in an error's traceback."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return [frame.f_code.co_name for frame in frames if frame.f_code.co_filename.startswith(PACKAGE)]


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while waiting:
        each = waiting.pop()
        if each is not None and each not in seen:
            seen.append(each)
            yield each
            waiting += [each.__cause__, each.__context__]
