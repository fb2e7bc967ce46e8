"""Text of strangers in a form that is safe to show: one line, visible characters, a bounded length."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from unicodedata import bidirectional, category, combining

#: The longest text that a report shows.
MAX_CHARACTERS = 160
#: The most characters that are read of a text, because characters that are not shown count as well.
_READ = 2_000
_CACHED = 200
#: More combining marks on one letter would cover the lines above and below.
_MAX_MARKS = 4
#: Letters and marks that are invisible though their category is not: Unicode's Default_Ignorable_Code_Point.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0d\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
_NO_CHARACTER = re.compile("[\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_ZERO_WIDTH_NON_JOINER, _ZERO_WIDTH_JOINER = "\u200c", "\u200d"
_BRAILLE_BLANK = "\u2800"
#: Below it, letters have no marks and text has one direction.
_FIRST_MARK = "\u0300"


class ShownText(NamedTuple):
    """
    A text as a report shows it.

    :param text: The visible characters, with single spaces; empty if no character is visible.
    :param left_out: The number of characters that were cut off.
    :param digest: The digest of a text that was cut, because two of them may begin alike.
    """

    text: str
    left_out: int = 0
    digest: bytes = b""


def shown_text(text: str) -> ShownText:
    """
    Return a text without control characters, direction marks and characters that are not visible.

    :param text: Any text, such as an answer.
    """
    return _cached(text) if len(text) <= _CACHED else _shown(text)


def _shown(text: str) -> ShownText:
    visible = _one_line(text[:_READ])
    end = _end(visible)
    left_out = len(visible) - end + max(len(text) - _READ, 0)
    if not left_out:
        return ShownText(visible)
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return ShownText(visible[:end].rstrip(), left_out, digest)


_cached = lru_cache(maxsize=4096)(_shown)


def _one_line(text: str) -> str:
    if text and not (text.isprintable() and max(text) < _FIRST_MARK):
        text = _visible(_NO_CHARACTER.sub("\ufffd", _INVISIBLE.sub("", text)))
    return " ".join(text.split())


def _visible(text: str) -> str:
    kept: list[str] = []
    joiner, marks = "", 0
    for character in text:
        kind = category(character)
        if kind == "Cf" or (kind == "Cc" and not character.isspace()):
            if character in (_ZERO_WIDTH_JOINER, _ZERO_WIDTH_NON_JOINER) and kept and _joins(kept[-1]):
                joiner = character
            continue
        marks = marks + 1 if kind[0] == "M" else 0
        if marks > _MAX_MARKS or (marks and (not kept or kept[-1].isspace())):
            continue
        if joiner and kind[0] in "LS":
            kept.append(joiner)
        joiner = ""
        kept.append(" " if kind[0] == "Z" or character == _BRAILLE_BLANK else character)
    return "".join(kept)


def _joins(character: str) -> bool:
    """Return whether a joiner after a character changes how both look: in emoji, Arabic and Indic scripts."""
    is_virama = combining(character) == 9
    return (
        is_virama
        or character == "\ufe0f"
        or category(character)[0] == "S"
        or bidirectional(character) == "AL"
    )


def _end(text: str) -> int:
    """Return where to cut a text: not between a letter and its marks, nor inside an emoji."""
    end = min(MAX_CHARACTERS, len(text))
    while 0 < end < len(text) and end > MAX_CHARACTERS - 16 and _is_inside(text[end - 1], text[end]):
        end -= 1
    return end


def _is_inside(before: str, after: str) -> bool:
    joiners = (_ZERO_WIDTH_JOINER, _ZERO_WIDTH_NON_JOINER)
    return before in joiners or after in joiners or category(after)[0] == "M" or category(after) == "Sk"
