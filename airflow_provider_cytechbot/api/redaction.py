"""Taking secrets out of text, in every form in which they travel. The one place that knows those forms."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
#: A shorter secret would mask ordinary letters; Airflow's own masker draws the same kind of line.
MIN_SECRET_LENGTH = 4

_KEY_IN_QUERY = re.compile(r"(api_key=)[^&\s\"'<>)]+", re.IGNORECASE)


def forms(secret: str) -> tuple[str, ...]:
    """
    Return the forms in which a secret can appear in a URL, a form body, JSON or HTML, longest first.

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
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        texts = {form for secret in secrets if len(secret) >= MIN_SECRET_LENGTH for form in forms(secret)}
        alternatives = "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
        self._secrets = re.compile(alternatives) if alternatives else None

    def __call__(self, text: str) -> str:
        """
        Return the text with each secret replaced by ``***``.

        :param text: Anything that may be shown to a person or written to a log.
        """
        if self._secrets:
            text = self._secrets.sub(MASK, text)
        return redact_query(text)


def redact_query(text: str) -> str:
    """
    Return the text with the value of every ``api_key=`` in it masked, whatever the key is.

    :param text: A URL or a log line that may hold one.
    """
    return _KEY_IN_QUERY.sub(rf"\1{MASK}", text)
