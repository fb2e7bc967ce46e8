"""The checks of a row's values that all bulk writes share. Their reasons hold no value of the row."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from numbers import Integral, Number

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.bulk.resource import InvalidRowError

#: What a spreadsheet or a float makes of a long id. No id has a point or an exponent.
_ROUNDED_ID = re.compile(r"[+-]?\d+(?:[.,]\d*)?[eE][+-]?\d+|[+-]?\d+[.]\d*", re.ASCII)
#: The same for a phone number, which may be written as 030.1234567.
_ROUNDED_PHONE = re.compile(r"[+-]?\d+(?:[.,]\d*)?[eE][+-]?\d+|[+-]?\d+[.]0*", re.ASCII)
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


def refuse_rounded_id(name: str, value: object) -> None:
    """
    Refuse an id that has gone through a float.

    :param name: The field.
    :param value: The id.
    :raises InvalidRowError: It is a float, or looks like one.
    """
    _refuse_rounded(name, value, _ROUNDED_ID)


def refuse_rounded_phone(name: str, value: object) -> None:
    """
    Refuse a phone number that has gone through a float.

    :param name: The field.
    :param value: The phone number.
    :raises InvalidRowError: It is a float, or looks like one.
    """
    _refuse_rounded(name, value, _ROUNDED_PHONE)


def _refuse_rounded(name: str, value: object, rounded: re.Pattern[str]) -> None:
    if isinstance(value, str):
        is_rounded = bool(rounded.fullmatch(value.strip()))
    else:
        is_rounded = isinstance(value, Number) and not isinstance(value, Integral)
    if is_rounded:
        raise InvalidRowError(
            f"Field {name!r} looks like a number that a spreadsheet or a float has rounded."
        )
