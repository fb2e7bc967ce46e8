"""Finds and decodes the JSON in the body of an answer, also after notices that PHP writes before it."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

#: The number of characters in which the JSON of a body must begin: notices are short.
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

    :param body: The body. Invalid UTF-8 becomes U+FFFD; :func:`is_utf8` finds it in a record.
    """
    return body.decode(errors="replace").lstrip("\ufeff")


def is_utf8(body: bytes) -> bool:
    """
    Return whether the JSON of a body is UTF-8. The notices before it need not be.

    :param body: The body, which has JSON.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        text = body.decode(errors="surrogateescape")
        return is_text(text[find_root(text) or 0 :])
    return True


def is_text(text: str) -> bool:
    """
    Return whether text has no half a surrogate pair, which also stands for a byte that is not UTF-8.

    :param text: The text.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class FloatText(str):
    """The text of a number with a fraction or an exponent. An id in this form was rounded by the server."""

    __slots__ = ()


#: Numbers are kept as text, so that no id passes through a float.
DECODER = json.JSONDecoder(parse_int=str, parse_float=FloatText, parse_constant=_refuse_constant)


def loads(text: str) -> Any:
    """
    Return the JSON value of a text, numbers as text.

    :param text: The text, perhaps with PHP notices before the JSON.
    :raises ValueError: The text is not JSON.
    :raises RecursionError: The JSON is nested too deeply.
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
    Return the position at which the JSON of a body begins; ``None`` if there is none.

    A PHP server with ``display_errors`` writes notices before the JSON. Other text before it, such as a web
    page, means that the server is not the API. Text inside a notice that looks like JSON is skipped: the JSON
    of the answer begins directly after the last notice, or after a line break or an HTML tag.

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
    Return text that can be encoded: half a surrogate pair, which is not a character, becomes U+FFFD.

    :param text: Text from JSON, which can hold half an emoji, cut off by the width of a database column.
    """
    return text if is_text(text) else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def json_type(value: Any) -> str:
    """Return the name of a value's type in JSON."""
    names = {
        dict: "an object",
        list: "a list",
        str: "text or a number",
        FloatText: "a number",
        bool: "a boolean",
    }
    return names.get(type(value), "null")
