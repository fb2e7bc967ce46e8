"""Taking secrets out of text, in every form in which they travel. The one place that knows those forms."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from html.entities import codepoint2name
from itertools import groupby
from urllib.parse import quote, quote_plus

MASK = "***"
#: A shorter secret would mask ordinary letters; Airflow's own masker draws the same kind of line.
MIN_SECRET_LENGTH = 4

_KEY_IN_QUERY = re.compile(r"(api_key(?:=|%3D))[^&\s\"'<>)]+", re.IGNORECASE)


def forms(secret: str) -> tuple[str, ...]:
    """
    Return the usual forms of a secret in a URL, a form body, JSON or HTML, longest first.

    For maskers that look for fixed texts, such as Airflow's; a :class:`Redactor` finds any mixture of them.

    :param secret: The secret as the user gave it.
    """
    percent, plus = quote(secret, safe=""), quote_plus(secret)
    found = {
        secret,
        percent,
        plus,
        quote(secret),  # clients differ in whether they leave a slash alone
        percent.replace("%", "%25"),
        html.escape(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/"),
    }
    # Percent-encoding may be spelt in either case: %2f is %2F.
    found |= {re.sub(r"%[0-9A-F]{2}", lambda match: match.group().lower(), form) for form in found}
    return tuple(sorted(found, key=len, reverse=True))


class Redactor:
    """
    Masks a set of secrets, and any ``api_key=`` in a query string, in text.

    :param secrets: The secrets as the user gave them; very short ones are left alone.
    :param of_any_length: Secrets that are masked however short they are.
    """

    def __init__(self, secrets: Iterable[str], of_any_length: Iterable[str] = ()) -> None:
        worth_it = {secret.strip() for secret in secrets if len(secret.strip()) >= MIN_SECRET_LENGTH}
        worth_it |= {secret.strip() for secret in of_any_length if secret.strip()}
        self._secrets = [re.compile(_pattern(secret)) for secret in sorted(worth_it, key=len, reverse=True)]

    def __call__(self, text: str) -> str:
        """
        Return the text with each secret replaced by ``***``.

        :param text: Anything that may be shown to a person or written to a log.
        """
        for secret in self._secrets:
            text = secret.sub(MASK, text)
        return redact_query(text)


def redact_query(text: str) -> str:
    """
    Return the text with the value of every ``api_key=`` in it masked, whatever the key is.

    :param text: A URL or a log line that may hold one.
    """
    return _KEY_IN_QUERY.sub(rf"\1{MASK}", text)


def _pattern(secret: str) -> str:
    """Return a pattern of a secret in which each character may be encoded in its own way, even twice."""
    return "".join(_run(character, len(list(run))) for character, run in groupby(secret))


def _run(character: str, length: int) -> str:
    """Return a pattern of one character, so many times in a row."""
    code = ord(character)
    percent = "".join(f"%(?:25)*{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    entity = "|".join(filter(None, (f"#0*{code}", f"#x0*{code:x}", codepoint2name.get(code))))
    encoded = [percent, f"&(?:amp;)*(?:{entity});"]
    if not character.isascii() or not character.isprintable():  # in JSON: behind a backslash
        escaped = re.escape(json.dumps(character)[2:-1]).replace(r"\\", r"\\+")
        encoded.append(rf"(?<=\\){escaped}")
    raw = re.escape(character) + (r"|\+" if character == " " else "")
    any_form = f"(?:(?i:{'|'.join(encoded)})|{raw})"
    # Backslashes, which escape one another too, are taken in one go (*+): to try each division of a long row
    # of them would take for ever.
    if character == "\\":
        return f"{any_form}{{{length},}}+"
    return rf"(?:\\*+{any_form}){{{length}}}"
