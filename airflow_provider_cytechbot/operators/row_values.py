"""The checks of a row's values that all bulk writes share. Their reasons hold no value of the row."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.bulk.resource import InvalidRowError

#: Where an error shows the value, as text of either quotation mark.
_SHOWN_VALUE = re.compile("(?:, not|:) ['\"]")


def filled(value: object) -> object:
    """
    Return a value; ``None`` for an empty text or list, and for what pandas writes where there is none.

    :param value: The value of a row.
    """
    if isinstance(value, str | list):
        return value or None
    if isinstance(value, float | date) and value != value:  # as of NaN and NaT alone
        return None
    return value


def checked(check: Callable[[str, object], str], name: str, value: object) -> str:
    """
    Return a value as it is sent.

    :param check: The check of the field, one of :mod:`airflow_provider_cytechbot.api.fields`.
    :param name: The field.
    :param value: The value.
    :raises InvalidRowError: It cannot be sent.
    """
    try:
        return check(name, value)
    except CyTechBotFieldError as error:
        reason = error.reason
    raise InvalidRowError(without_value(reason))


def without_value(reason: str) -> str:
    """
    Return the reason of a field's error without the field's value.

    :param reason: The reason.
    """
    kept = _SHOWN_VALUE.split(reason.removesuffix(" Nothing was sent."), maxsplit=1)[0]
    return kept if kept.endswith(".") else f"{kept}."
