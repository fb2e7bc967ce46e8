"""From the bytes of an answer to JSON, past what PHP and web servers put around it."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

#: How far into a body its JSON may begin: notices are short.
MAX_NOTICES = 64 * 1024

_LEAD = re.compile(r"[\s\ufeff]*")
_ROOT = re.compile(r"[\[{]|null\s*\Z")
#: What a body can hold before its JSON: notices, each from its kind to the line that it names, and what
#: looks like JSON. PHP writes "Notice: ... on line 5", the framework below CyTechBot "... Line Number: 5".
_LANDMARK = re.compile(
    r"(?P<begin>\b(?:notice|warning|deprecated|strict standards|php error was encountered)\b)"
    r"|(?P<line>\b(?:on line\s+|line number:\s*)(?:<\w+>)?\d+)"
    r'|(?P<root>\{\s*["}]|\[\s*[\[{"\]\d]|null\s*\Z)',
    re.IGNORECASE,
)


def decode(body: bytes) -> str:
    """
    Return the text of a body, without byte order marks.

    :param body: The body. Bytes that are no UTF-8, which only a notice can hold, become U+FFFD.
    """
    return body.decode(errors="replace").lstrip("\ufeff")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class FloatText(str):
    """The text of a number with a fraction or an exponent: as an id, it was rounded before it was sent."""

    __slots__ = ()


#: Numbers stay the text that was sent, so that no id ever passes through a float.
DECODER = json.JSONDecoder(parse_int=str, parse_float=FloatText, parse_constant=_refuse_constant)


def loads(text: str) -> Any:
    """
    Return the JSON value of a text, numbers as text.

    :param text: The text, perhaps with PHP notices before the JSON.
    :raises ValueError: The text is not JSON.
    :raises RecursionError: It is nested more deeply than any answer.
    """
    try:
        return DECODER.decode(text)
    except ValueError:
        start = find_root(text)
        if not start:
            raise
    return DECODER.decode(text[start:])


def find_root(text: str) -> int | None:
    """
    Return where the JSON of a body begins; ``None`` where none does.

    A PHP server with ``display_errors`` on writes its notices before the JSON; anything else before it,
    such as a web page, means that this is not the API. What looks like JSON inside a notice is passed over:
    the answer's begins behind the last one, right there, or on a line or behind a tag of its own.

    :param text: The body, or its beginning.
    """
    lead = _LEAD.match(text)
    start = lead.end() if lead else 0
    if _ROOT.match(text, start):
        return start
    in_notice, end = False, None
    for match in _LANDMARK.finditer(text, start, MAX_NOTICES):
        if match.lastgroup == "begin":
            in_notice, end = True, None
        elif match.lastgroup == "line":
            end = match.end() if in_notice else None
        elif end is not None:
            between = text[end : match.start()].rstrip(" \t\ufeff")
            if not between or between[-1] in ">\r\n":
                return None if "<html" in text[: match.start()].lower() else match.start()
    return None


def clean(text: str) -> str:
    """
    Return text that every store takes: half a surrogate pair, which is not a character, becomes U+FFFD.

    :param text: Text from JSON, which can hold half an emoji, cut off by the width of a database column.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def json_type(value: Any) -> str:
    """Return what JSON calls a value of this type."""
    names = {
        dict: "an object",
        list: "a list",
        str: "text or a number",
        FloatText: "a number",
        bool: "a boolean",
    }
    return names.get(type(value), "null")
