"""What users of HttpEventTrigger must write themselves: when an answer is an event. For `watching.py`."""

from __future__ import annotations

from typing import Any

#: How many had answered. The trigger reloads this module before each check, which leaves it as it was; a
#: restart of the triggerer does not.
globals().setdefault("known", None)


async def someone_has_answered(response: Any) -> bool:
    """Look at the one answer alone."""
    return len(response.json()["data"]) > 0


async def more_have_answered(response: Any) -> bool:
    """Compare with the last answer, kept in the process, as the trigger has no other place for it."""
    global known
    before, known = known, len(response.json()["data"])
    return before is not None and known > before
