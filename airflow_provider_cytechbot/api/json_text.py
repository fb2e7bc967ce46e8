"""From the bytes of an answer to JSON, past what PHP and web servers put around it."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

#: How far into a body its JSON may begin: notices are short.
MAX_NOTICES = 64 * 1024

_NOTICE = re.compile(
    r"\b(notice|warning|deprecated|strict standards)\b.*\bon line\b", re.IGNORECASE | re.DOTALL
)
_ROOT = re.compile(r'[\[{]\s*["{\[\]}]|null\s*$')


def decode(body: bytes) -> str:
    """
    Return the text of a body, without byte order marks.

    :param body: The body. Bytes that are no UTF-8, which only a notice can hold, become U+FFFD.
    """
    return body.decode(errors="replace").lstrip("\ufeff")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


#: Numbers stay the text that was sent, so that no id ever passes through a float.
DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant)


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
    such as a web page, means that this is not the API.

    :param text: The body, or its beginning.
    """
    stripped = len(text) - len(text.lstrip())
    if text[stripped : stripped + 1] in ("{", "["):
        return stripped
    for match in _ROOT.finditer(text[:MAX_NOTICES]):
        before = text[: match.start()]
        if _NOTICE.search(before) and "<html" not in before.lower():
            return match.start()
    return None
