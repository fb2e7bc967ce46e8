"""The kinds of fields that calls carry, each with its check: what was meant is sent, or nothing is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from numbers import Integral, Number
from typing import TypeAlias, TypeGuard

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError

#: What an id may be given as. Never a float: it would round the 17 digits of a subscriber's id.
IdInput: TypeAlias = str | int
#: What a day may be given as: ``YYYY-MM-DD``, or a ``date`` or ``datetime`` (also pendulum's).
DateInput: TypeAlias = str | date

_SURROGATE = re.compile("[\ud800-\udfff]")
#: Python itself refuses to write down a number of thousands of digits.
_TOO_LARGE = 10**100
_KEEP_TEXT = (
    "Pass it as text; in a DAG with render_template_as_native_obj, write a template as {{ ... | tojson }}: "
    "otherwise Airflow makes a number of it, and loses a plus or leading zeros."
)
_NO_BASE = "Operators count a period of days from the date of the run; a hook has no date to count from."
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True)
class Field:
    """
    One field of an endpoint.

    :param name: The vendor's name of the field, also the name of the hook's parameter.
    :param encode: Turns a value into the text that is sent, or raises
        :class:`~airflow_provider_cytechbot.api.errors.CyTechBotFieldError`.
    :param required: Whether the API needs it.
    :param secret: Whether its value must never be shown, not even in an error.
    """

    name: str
    encode: Callable[[str, object], str]
    required: bool = True
    secret: bool = False

    @property
    def is_id(self) -> bool:
        """Whether it names other records by id."""
        return self.encode in (encode_number, encode_identifier, encode_id_list)


def field_error(name: str, problem: str, hint: str = "") -> CyTechBotFieldError:
    """
    Return the error for a field that cannot be sent.

    :param name: The field.
    :param problem: What was wrong, as the rest of a sentence that begins with the field's name.
    :param advice: What to do instead.
    """
    return CyTechBotFieldError(f"Field {name!r} {problem}. Nothing was sent.", hint)


def encode_text(name: str, value: object) -> str:
    """
    Return free text as it is.

    A number is refused: it is what native rendering makes of ``+49151`` or ``0x1F``, and no longer the text.

    :param name: The field, for the error.
    :param value: ``str``.
    """
    if not isinstance(value, str):
        hint = _KEEP_TEXT if isinstance(value, Number) else ""
        raise field_error(name, f"must be text, not {type(value).__name__}", hint)
    # Searched for, not tried: an error of the codec would hold the whole text, perhaps a password.
    if _SURROGATE.search(value):
        raise field_error(name, "holds half a surrogate pair, which is no text")
    return value


def encode_identifier(name: str, value: object) -> str:
    """
    Return an id of the messaging channel (subscriber, page, label): usually digits, on some channels text.

    :param name: The field, for the error.
    :param value: ``str`` or ``int``.
    """
    if _is_whole_number(value):
        if abs(int(value)) >= _TOO_LARGE:
            raise field_error(name, "is larger than any id can be")
        value = str(int(value))
    if not isinstance(value, str):
        hint = "Pass ids as text, or as whole numbers: a float rounds the digits of a long id."
        raise field_error(name, f"must be an id, not {type(value).__name__}", hint)
    text = encode_text(name, value)
    if text in ("", "0"):
        raise field_error(name, f"must be an id, not {text!r}")
    # The space is the only printable one of the characters that separate words.
    if not text.isprintable() or " " in text or "," in text:
        raise field_error(name, f"must be one id without spaces and commas, not {text[:40]!r}")
    return text


def encode_number(name: str, value: object) -> str:
    """
    Return an id that CyTechBot itself numbers (user, package, contact, contact group, flow campaign).

    :param name: The field, for the error.
    :param value: Digits as ``str``, or ``int``.
    """
    text = encode_identifier(name, value)
    if not (text.isascii() and text.isdigit() and text.strip("0")):
        raise field_error(name, f"must be a number above zero, not {text[:40]!r}")
    return text


def encode_id_list(name: str, value: object) -> str:
    """
    Return several ids as the API's comma-separated list, each once, in the order given.

    :param name: The field, for the error.
    :param value: A list of ids, or the comma-separated text itself.
    """
    ids = value.split(",") if isinstance(value, str) else [value] if _is_whole_number(value) else value
    if not isinstance(ids, Iterable) or isinstance(ids, bytes | bytearray | dict):
        raise field_error(name, f"must be a list of ids, not {type(value).__name__}")
    encoded = dict.fromkeys(
        encode_identifier(name, item.strip() if isinstance(item, str) else item) for item in ids
    )
    if not encoded:
        raise field_error(name, "is empty", "Give at least one id.")
    return ",".join(encoded)


def encode_date(name: str, value: object) -> str:
    """
    Return a day as ``YYYY-MM-DD``.

    :param name: The field, for the error.
    :param value: Such text, a ``date``, or a ``datetime`` (also pendulum's), of which the day is taken.
    """
    if isinstance(value, timedelta) or (isinstance(value, str) and value.strip()[:1] in ("+", "-")):
        raise field_error(name, f"must be a date as YYYY-MM-DD, not {str(value)[:40]!r}", _NO_BASE)
    if not isinstance(value, str | date):
        raise field_error(name, f"must be a date, not {type(value).__name__}")
    try:
        if isinstance(value, str):
            return date.fromisoformat(value if _DATE.fullmatch(value) else "").isoformat()
        return (value.date() if isinstance(value, datetime) else value).isoformat()
    except ValueError:  # also of pandas' NaT, which calls itself a datetime
        raise field_error(name, f"must be a date as YYYY-MM-DD, not {str(value)[:40]!r}") from None


def read_switch(name: str, value: object) -> bool:
    """
    Return a switch that may have been a template, whose text ``False`` must not count as true.

    :param name: The parameter, for the error.
    :param value: A bool, or its text.
    """
    text = str(value).strip().lower()
    if text not in ("true", "false"):
        raise field_error(name, f"must be true or false, not {str(value)[:40]!r}")
    return text == "true"


def _is_whole_number(value: object) -> TypeGuard[int]:
    # Integral covers the integers of numpy and pandas; a bool is one too, but never meant as one.
    return not isinstance(value, bool) and isinstance(value, Integral)


def text(name: str, *, required: bool = True) -> Field:
    """Declare a field of free text."""
    return Field(name, encode_text, required)


def password(name: str) -> Field:
    """Declare a field of free text that must never be shown."""
    return Field(name, encode_text, secret=True)


def number(name: str, *, required: bool = True) -> Field:
    """Declare an id that CyTechBot itself numbers."""
    return Field(name, encode_number, required)


def identifier(name: str) -> Field:
    """Declare an id of the messaging channel."""
    return Field(name, encode_identifier)


def id_list(name: str) -> Field:
    """Declare a list of ids of the messaging channel."""
    return Field(name, encode_id_list)


def day(name: str, *, required: bool = True) -> Field:
    """Declare a day."""
    return Field(name, encode_date, required)
