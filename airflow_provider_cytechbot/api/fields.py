"""The kinds of fields of calls, each with its check: a value is sent as it was meant, or not at all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from numbers import Integral, Number
from typing import TypeAlias, TypeGuard

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError

#: The types of an id. A float is none of them: it would round the 17 digits of a subscriber's id.
IdInput: TypeAlias = str | int
#: The types of a day: ``YYYY-MM-DD``, or a ``date`` or ``datetime`` (also pendulum's).
DateInput: TypeAlias = str | date

_SURROGATE = re.compile("[\ud800-\udfff]")
#: Categories of characters that nobody sees: control, format, line and paragraph separator.
_INVISIBLE_CATEGORIES = ("Cc", "Cf", "Zl", "Zp")
#: Format characters that belong to text: between letters of Persian or Hindi, in emoji, in flags.
_JOINERS = re.compile("[\u200c\u200d]|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
_LINE_BREAKS = re.compile(r"[\t\r\n]")
#: Characters of other categories that are not seen: fillers, blanks, variation selectors.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
#: Texts of floats: of a long number, the last digits are lost.
_FLOAT_LIKE = re.compile(r"[+-]?\d+(?:[.,]\d*)?[eE][+-]?\d+|[+-]?\d+[.]\d*|[+-]?\d+,0+", re.ASCII)
#: The same without fractions: a phone number can be written with a dot.
_FLOAT_LIKE_PHONE = re.compile(r"[+-]?\d+(?:[.,]\d*)?[eE][+-]?\d+|[+-]?\d+[.,]0*", re.ASCII)
#: What a spreadsheet adds to a cell, so that it counts as text, and what it writes for a formula that fails.
_CELL_LIKE = re.compile(r"['\u2019=\"].*|#[A-Z/0!?]+|#N/A")
#: Digits in groups of three. Phone numbers are also written with dots.
_GROUPED = re.compile(r"\d{1,3}([.,'\u2019_])\d{3}(?:\1\d{3})+", re.ASCII)
_GROUPED_PHONE = re.compile(r"\d{1,3}([,'\u2019_])\d{3}(?:\1\d{3})+", re.ASCII)
#: Digits of another script, or full-width ones.
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
#: Texts of missing values, as pandas, databases and other programs write them.
_MISSING = frozenset({"nan", "nat", "<na>", "none", "null", "undefined", "inf", "infinity"})
#: A reason of a row, too, which ends before the value.
_LOOKS_ROUNDED = "looks like a number that a spreadsheet or a float has rounded"
_LOOKS_LIKE_CELL = "looks like a cell as a spreadsheet shows it"
_ROUNDED = "Read the column as text: a spreadsheet or a float rounds the digits of long numbers."
#: Python itself refuses to write down a number of thousands of digits.
_TOO_LARGE = 10**100
_KEEP_TEXT = (
    "Pass it as text; in a DAG with render_template_as_native_obj, write a template as {{ ... | tojson }}: "
    "otherwise Airflow makes a number of it, and loses a plus or leading zeros."
)
_MAX_DIGITS = 18
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
        return self.is_single_id or self.encode is encode_id_list

    @property
    def is_single_id(self) -> bool:
        """Whether it names one other record by id."""
        return self.encode in (encode_number, encode_identifier)


def field_error(name: str, problem: str, hint: str = "") -> CyTechBotFieldError:
    """
    Return the error for a field that cannot be sent.

    :param name: The field.
    :param problem: The problem, as the rest of a sentence that begins with the field's name.
    :param hint: What to do instead.
    """
    return CyTechBotFieldError(f"Field {name!r} {problem}. Nothing was sent.", hint)


def encode_text(name: str, value: object) -> str:
    """
    Return free text as it is.

    A number is refused, because native rendering makes one of ``+49151`` or ``0x1F``. So are invisible
    characters, such as U+202E, which reverses the text after it.

    :param name: The field, for the error.
    :param value: ``str``.
    """
    text = _text(name, value)
    return _visible(name, text, _JOINERS.sub("", text))


def encode_lines(name: str, value: object) -> str:
    """
    Return free text that can have several lines.

    :param name: The field, for the error.
    :param value: ``str``.
    """
    text = _text(name, value)
    return _visible(name, text, _LINE_BREAKS.sub("", _JOINERS.sub("", text)))


def encode_password(name: str, value: object) -> str:
    """
    Return a password. No character of it stands in an error.

    :param name: The field, for the error.
    :param value: ``str``.
    """
    text = _text(name, value)
    if _invisible(_JOINERS.sub("", text)):
        raise field_error(name, "has an invisible character, such as a line break")
    return text


def encode_email(name: str, value: object) -> str:
    """
    Return an e-mail address.

    :param name: The field, for the error.
    :param value: ``str``.
    """
    text = _text(name, value)
    if is_missing(text):
        raise field_error(name, f"must be an e-mail address, not {text!r}")
    return _visible(name, text, text, _BLANK)


def encode_phone_number(name: str, value: object) -> str:
    """
    Return a phone number as it is written.

    :param name: The field, for the error.
    :param value: ``str``.
    """
    text = _text(name, value)
    if is_missing(text):
        raise field_error(name, f"must be a phone number, not {text!r}")
    if _FLOAT_LIKE_PHONE.fullmatch(text.strip()):
        raise field_error(name, f"{_LOOKS_ROUNDED}: {text[:40]!r}", _ROUNDED)
    _refuse_cell(name, text.strip(), _GROUPED_PHONE)
    return _visible(name, text, text, _BLANK)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        hint = _KEEP_TEXT if isinstance(value, Number) else ""
        raise field_error(name, f"must be text, not {type(value).__name__}", hint)
    # Not by encoding it: the error of the codec would have the whole text, perhaps a password.
    if _SURROGATE.search(value):
        raise field_error(name, "has half a surrogate pair, which is not text")
    return value


def invisible_in_word(text: str) -> str | None:
    """
    Return the first invisible character of a text without words, such as an id or a key; also a joiner.

    :param text: The text.
    """
    return _invisible(text, _BLANK)


def _invisible(text: str, others: re.Pattern[str] | None = None) -> str | None:
    """Return the first invisible character of a text."""
    if text.isascii() and text.isprintable():
        return None
    if others and (match := others.search(text)):
        return match[0]
    return next((each for each in text if unicodedata.category(each) in _INVISIBLE_CATEGORIES), None)


def _visible(name: str, value: str, checked: str, others: re.Pattern[str] | None = None) -> str:
    """Return a value, if the checked part of it has no invisible character."""
    if character := _invisible(checked, others):
        raise field_error(name, f"has the invisible character U+{ord(character):04X}", "Remove it.")
    return value


def is_missing(text: str) -> bool:
    """
    Return whether a text is what a program writes for a missing value, such as ``nan``.

    :param text: The text.
    """
    return text.strip().lstrip("+-").lower() in _MISSING


def encode_identifier(name: str, value: object) -> str:
    """
    Return an id of the messaging channel (subscriber, page, label): usually digits, on some channels text.

    :param name: The field, for the error.
    :param value: ``str`` or ``int``.
    """
    if type(value) is str and value.isascii() and value.isdigit() and value != "0":
        return value  # digits, as most ids are, need none of the checks below
    if _is_whole_number(value):
        if abs(int(value)) >= _TOO_LARGE:
            raise field_error(name, "is larger than any id can be")
        value = str(int(value))
    if not isinstance(value, str):
        hint = "Pass ids as text, or as whole numbers: a float rounds the digits of a long id."
        raise field_error(name, f"must be an id, not {type(value).__name__}", hint)
    text = _text(name, value)
    if text in ("", "0") or is_missing(text):
        raise field_error(name, f"must be an id, not {text!r}")
    if _FLOAT_LIKE.fullmatch(text):
        raise field_error(name, f"{_LOOKS_ROUNDED}: {text[:40]!r}", _ROUNDED)
    _refuse_cell(name, text, _GROUPED)
    if character := invisible_in_word(text):
        raise field_error(name, f"has the invisible character U+{ord(character):04X}", "Remove it.")
    # The space is the only printable one of the characters that separate words.
    if not text.isprintable() or " " in text or "," in text:
        raise field_error(name, f"must be one id without spaces and commas, not {text[:40]!r}")
    return text


def _refuse_cell(name: str, text: str, grouped: re.Pattern[str]) -> None:
    """Refuse an id or a phone number that has what a spreadsheet shows, and not the digits alone."""
    if _CELL_LIKE.fullmatch(text) or grouped.fullmatch(text):
        raise field_error(name, f"{_LOOKS_LIKE_CELL}: {text[:40]!r}", "Write the digits alone, as text.")
    if _OTHER_DIGIT.search(text):
        raise field_error(name, f"must be written with the digits 0 to 9, not {text[:40]!r}")


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


def read_count(name: str, value: object, *, at_least: int = 1, at_most: int | None = None) -> int:
    """
    Return a count that may have been a template.

    :param name: The parameter, for the error.
    :param value: An ``int``, or its digits as text.
    :param at_least: The lowest count.
    :param at_most: The highest count; ``None``: no limit.
    """
    digits = value.strip() if isinstance(value, str) else str(int(value)) if _is_count(value) else ""
    if digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS:
        count = int(digits)
        if at_least <= count and (at_most is None or count <= at_most):
            return count
    limits = f"from {at_least} to {at_most}" if at_most is not None else f"of {at_least} or more"
    raise field_error(name, f"must be a whole number {limits}, not {_shown(value)}")


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


def _is_count(value: object) -> TypeGuard[int]:
    return _is_whole_number(value) and abs(int(value)) < _TOO_LARGE


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str | float | bool | None) or _is_count(value) else ""
    return f"{text[:40]}" if text else type(value).__name__


def _is_whole_number(value: object) -> TypeGuard[int]:
    # Integral covers the integers of numpy and pandas; a bool is one too, but never meant as one.
    return not isinstance(value, bool) and isinstance(value, Integral)


def text(name: str, *, required: bool = True) -> Field:
    """Declare a field of free text."""
    return Field(name, encode_text, required)


def password(name: str) -> Field:
    """Declare a field of free text that must never be shown."""
    return Field(name, encode_password, secret=True)


def lines(name: str, *, required: bool = True) -> Field:
    """Declare a field of free text with several lines."""
    return Field(name, encode_lines, required)


def email(name: str, *, required: bool = True) -> Field:
    """Declare an e-mail address."""
    return Field(name, encode_email, required)


def phone_number(name: str, *, required: bool = True) -> Field:
    """Declare a phone number."""
    return Field(name, encode_phone_number, required)


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
