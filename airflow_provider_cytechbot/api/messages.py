"""Texts of the server as they stand in errors: its message, the title of a page, the outline of an answer.

Only the beginning of a text is read, however long it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, TypeAlias

from airflow_provider_cytechbot.api.json_text import json_type

Redact: TypeAlias = Callable[[str], str]

#: How long the reason of an error may be, the server's own words in it included.
MAX_REASON = 400
#: How much of a text is masked, before it is cut to :data:`MAX_REASON`.
MAX_MASKED = 4096
#: How much of a message is read.
MAX_MESSAGE = 16 * 1024
#: How much of a page is searched for its title.
MAX_PAGE = 8192

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_MEMBERS = 10


def message_of(answer: dict[str, Any]) -> str:
    """
    Return the server's message as text: it can be an object passed on from Facebook.

    :param answer: The answer.
    """
    message = answer.get("message") or answer.get("error")
    while isinstance(message, dict) and (inner := message.get("message") or message.get("error")):
        message = inner
    if not isinstance(message, str):
        message = _json_beginning(message) if message else ""
    return message[:MAX_MESSAGE].strip()


def is_failure(name: str, value: Any) -> bool:
    """
    Return whether a member of an answer states a failure. No record without a ``status`` has such a member.

    :param name: The member's name.
    :param value: Its value.
    """
    text = value.strip().lower() if isinstance(value, str) else value
    if name == "status":
        return text in ("error", "info", "fail", "failed", "failure")
    if name == "success":
        return text in (False, "false", "0")
    return name in ("error", "errors") and bool(text) and text not in ("0", "false")


def quote(text: str) -> str:
    """
    Return a message in quotes.

    :param text: The message.
    """
    return f'"{text}"' if text else "(no message)"


def one_line(text: str, redact: Redact) -> str:
    """
    Return text of the server as one short line.

    It is masked before it is cut, because a part of a secret would not be recognised.

    :param text: The text.
    :param redact: Masks secrets and returns :data:`MAX_MASKED` characters at most.
    """
    line = _CONTROL.sub("\ufffd", " ".join(redact(text).split()))
    return line if len(line) <= MAX_REASON else f"{line[:MAX_REASON]}…"


def describe_page(headers: Mapping[str, str], body: str) -> str:
    """
    Return what a body that is not the API's is: the title of a web page, or its type.

    :param headers: The HTTP headers.
    :param body: The body, or its beginning.
    """
    page = body[:MAX_PAGE]
    tags = page.lower() if page.isascii() else "".join(map(_lower, page))
    begin = tags.find("<title")
    begin = tags.find(">", begin) + 1 if begin >= 0 else 0
    end = tags.find("</title", begin)
    if begin and end >= 0:
        return f"a web page titled {quote(page[begin:end].strip())}"
    kind = header(headers, "content-type")
    if not kind or "json" in kind.lower():  # which some servers name for every answer
        return "HTML" if page.lstrip().startswith("<") else "something else"
    return kind


def outline(value: Any) -> str:
    """
    Return what a JSON value looks like, without its content.

    :param value: The value.
    """
    if isinstance(value, dict) and value:
        names = sorted(name[:MAX_REASON] for name in islice(value, _MAX_MEMBERS))
        return f"an object with {', '.join(names)}"
    return json_type(value)


def header(headers: Mapping[str, str], name: str) -> str:
    """
    Return the value of a header; empty where there is none.

    :param headers: The HTTP headers.
    :param name: The header's name in lower case.
    """
    return next((value for key, value in headers.items() if key.lower() == name), "")


def _json_beginning(value: Any) -> str:
    pieces, length = [], 0
    for piece in json.JSONEncoder().iterencode(value):
        pieces.append(piece)
        length += len(piece)
        if length > MAX_MESSAGE:
            break
    return "".join(pieces)


def _lower(character: str) -> str:
    """Return a letter of ASCII in lower case, so that no position in the text changes."""
    return character.lower() if character.isascii() else character
