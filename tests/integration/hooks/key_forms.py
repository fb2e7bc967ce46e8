"""The API key of the tests in every spelling in which it could leak."""

from __future__ import annotations

import html
import json
from urllib.parse import quote, quote_plus

#: Characters that each encoding spells differently.
KEY = 'a b/c+d%e"é&<f>'


def forms_of_the_key() -> list[str]:
    """Spell the key in every way, without the help of the provider."""
    percent, plus = quote(KEY, safe=""), quote_plus(KEY)
    lower = "".join(
        f"%{part[:2].lower()}{part[2:]}" if number else part for number, part in enumerate(percent.split("%"))
    )
    in_json = json.dumps(KEY)[1:-1]
    return [
        KEY,
        percent,
        plus,
        lower,
        quote(KEY),
        quote(percent, safe=""),
        html.escape(KEY),
        html.escape(KEY, quote=False),
        in_json,
        in_json.replace("/", "\\/"),
        json.dumps(KEY, ensure_ascii=False)[1:-1],
        KEY.encode().decode("latin-1"),
        repr(KEY)[1:-1],
        repr(KEY.encode())[2:-1],
    ]


def find_key(text: str) -> list[str]:
    """Return the spellings of the key that a text has."""
    return [form for form in forms_of_the_key() if form in text]
