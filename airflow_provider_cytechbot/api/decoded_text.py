"""Decodes text step by step, and maps each decoded character to its position in the original."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

#: How many steps of decoding are tried. Each removes one layer of encoding, the later ones any number.
MAX_LEVELS = 6
#: The first steps remove a single layer, so that each layer in between is searched, too.
_EXACT_LEVELS = 3
#: Ignored when texts are compared: a plus may be a space, a backslash an escape.
FOLDED = "+\\"

# Text is bytes here, each as one Latin-1 character, because percent-encoding encodes bytes.
_INVISIBLE = (
    r"[\x00-\x20\x7f]"
    r"|\xc2[\x80-\xa0\xad]|\xd8\x9c|\xe1\x9a\x80|\xe1\xa0\x8e|\xe2\x80[\x80-\x8f\xa8-\xaf]"
    r"|\xe2\x81[\x9f-\xaf]|\xe3\x80\x80|\xef\xbb\xbf|\xef\xb8[\x80-\x8f]|\xcd\x8f"
    r"|</?(?:wbr|br|b|i|u|em|strong|span|code|tt)\x20?/?>"
)
_FOLD = re.compile(rf"{_INVISIBLE}|[+\\]")
_ENCODED = (
    r"%{percents}(?:u(?P<percent_u>[0-9a-fA-F]{{4}})|(?P<percent>[0-9a-fA-F]{{2}}))"
    r"|&{amps}(?:#[xX]0*(?P<hex>[0-9a-fA-F]{{1,6}})|#0*(?P<decimal>[0-9]{{1,7}})"
    r"|(?P<name>[a-zA-Z][a-zA-Z0-9]{{1,31}}))(?P<semicolon>;?)"
    r"|\\+(?:u+(?P<u>[0-9a-fA-F]{{4}})|u\{{0*(?P<u_braces>[0-9a-fA-F]{{1,6}})\}}|U(?P<long_u>[0-9a-fA-F]{{8}})"
    r"|x(?P<x>[0-9a-fA-F]{{2}})|(?P<octal>[0-3][0-7]{{2}})|(?P<control>[nrtbfv])|(?P<backslash>))"
)
#: The same with white space and line breaks, which can stand inside an escape, too.
_STEP, _LAST_STEP = (
    re.compile(f"(?P<invisible>{_INVISIBLE})|" + _ENCODED.format(percents=percents, amps=amps))
    for percents, amps in (("", ""), ("(?:25)*", "(?:amp;)*"))
)
_INVISIBLE_PATTERN = re.compile(_INVISIBLE)
#: What else can be added to a text: quoted-printable, marks at the beginnings of lines, tags, colours. A
#: secret can have it, too, so that the text is searched with and without it.
_ADDED = re.compile(
    r"=(?:[ \t]*\r?\n|(?P<quoted>[0-9A-Fa-f]{2}))"
    r"|[\r\n][ \t]*(?:[>*#|]{1,9}|//)[ \t]?|</?[a-zA-Z][^<>]{0,100}>|<!--[^<>]{0,100}-->"
    r"|\x1b\[[0-9;]{0,20}[A-Za-z]"
)
_CAN_BE_ENCODED = re.compile(r"[%&\\]")


@lru_cache(maxsize=1)
def _names() -> tuple[dict[str, str], dict[str, str]]:
    """Return the characters of HTML entities by name: with a semicolon, and without one."""
    from html.entities import html5

    with_semicolon = {name[:-1]: value for name, value in html5.items() if name.endswith(";")}
    without = {name: value for name, value in with_semicolon.items() if value.isascii()}
    return with_semicolon, without | {name: value for name, value in html5.items() if name[-1] != ";"}


def raw_bytes(text: str) -> str:
    """
    Return the bytes of a text, each as one character.

    :param text: Any text, halves of surrogate pairs included.
    """
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("latin-1")


def fold(text: str) -> str:
    """
    Return a text without white space, line breaks and escapes, which proxies and pages can add.

    :param text: Text as from :func:`raw_bytes`.
    """
    return _FOLD.sub("", text)


@dataclass(frozen=True)
class DecodedText:
    """
    A text after some steps of decoding.

    :param text: The text, as from :func:`raw_bytes`.
    :param steps: The steps that led to it.
    """

    text: str
    steps: tuple[_Step, ...] = ()

    def traced(self, original: str) -> TracedText:
        """
        Return the text with the original position of each character.

        :param original: The text that the steps began with, before :func:`raw_bytes`.
        """
        starts, stops = array("q"), array("q")
        for at, character in enumerate(original):
            width = 1 if character < "\x80" else len(raw_bytes(character))
            starts.extend([at] * width)
            stops.extend([at + 1] * width)
        traced = TracedText(raw_bytes(original), starts, stops)
        for step in self.steps:
            traced = traced.after(step)
        return traced


@dataclass(frozen=True)
class _Step:
    """One step of decoding: each match of the pattern is replaced by its decoded characters."""

    pattern: re.Pattern[str]
    replace: Callable[[re.Match[str]], tuple[str, int]]

    def __call__(self, text: str) -> str:
        pieces, at = [], 0
        for match in self.pattern.finditer(text):
            if match.start() < at:
                continue
            value, stop = self.replace(match)
            pieces += [text[at : match.start()], value]
            at = stop
        pieces.append(text[at:])
        return "".join(pieces)


class TracedText:
    """
    A decoded text, with the original position of each character.

    :param text: The text.
    :param starts: For each character, the start of its encoded form in the original.
    :param stops: For each character, the end of its encoded form in the original.
    """

    def __init__(self, text: str, starts: array[int], stops: array[int]) -> None:
        self.text, self._starts, self._stops = text, starts, stops

    def after(self, step: _Step) -> TracedText:
        """
        Return the text after one more step.

        :param step: The step.
        """
        pieces, at = [], 0
        starts, stops = array("q"), array("q")
        for match in step.pattern.finditer(self.text):
            if match.start() < at:
                continue
            value, stop = step.replace(match)
            pieces += [self.text[at : match.start()], value]
            starts += self._starts[at : match.start()]
            stops += self._stops[at : match.start()]
            starts.extend([self._starts[match.start()]] * len(value))
            stops.extend([self._stops[stop - 1]] * len(value))
            at = stop
        pieces.append(self.text[at:])
        return TracedText("".join(pieces), starts + self._starts[at:], stops + self._stops[at:])

    def spans(
        self, needle: str, head: int, tail: int, edge: int, *, ignore_case: bool = False
    ) -> Iterator[tuple[int, int]]:
        """
        Yield the positions of a folded secret in the original text.

        :param needle: The secret as from :func:`fold`.
        :param head: The number of ignored characters that the secret begins with.
        :param tail: The number of ignored characters that the secret ends with.
        :param edge: The number of letters and digits on each side that are part of the match, too.
        :param ignore_case: Whether to ignore case.
        """
        kept = [at for begin, end in _kept_spans(self.text) for at in range(begin, end)]
        folded = fold(self.text)
        haystack = folded.lower() if ignore_case else folded
        at = haystack.find(needle)
        while at >= 0:
            first, last = kept[at], kept[at + len(needle) - 1]
            first, last = self._extended(first, last, head, tail)
            first = max(first - _count_base64(reversed(self.text[max(0, first - edge) : first])), 0)
            last += _count_base64(self.text[last + 1 : last + 1 + edge])
            yield self._starts[first], self._stops[last]
            at = haystack.find(needle, at + len(needle))

    def _extended(self, first: int, last: int, head: int, tail: int) -> tuple[int, int]:
        """Extend a span by the escape before it, and by the ignored characters at the secret's own ends."""
        while first > 0 and (self.text[first - 1] == "\\" or (head > 0 and self.text[first - 1] == "+")):
            first, head = first - 1, head - 1
        while tail > 0 and last + 1 < len(self.text) and self.text[last + 1] in FOLDED:
            last, tail = last + 1, tail - 1
        return first, last


def decoded_levels(start: DecodedText) -> Iterator[DecodedText]:
    """
    Yield a text, and its result after each step of decoding, until nothing changes.

    :param start: The text.
    """
    yield from _levels_from(start)
    if _ADDED.search(start.text):
        yield from _levels_from(DecodedText(_ADDED_STEP(start.text), (_ADDED_STEP,)))


def _levels_from(start: DecodedText) -> Iterator[DecodedText]:
    yield start
    if not _CAN_BE_ENCODED.search(start.text):
        return
    for decode in (_decode_shortest, _decode_longest):
        level = start
        for number in range(MAX_LEVELS):
            step = _Step(_STEP if number < _EXACT_LEVELS else _LAST_STEP, decode)
            level = DecodedText(_FOLD_STEP(level.text), (*level.steps, _FOLD_STEP))
            decoded = step(level.text)
            if decoded == level.text:
                break
            level = DecodedText(decoded, (*level.steps, step))
            yield level


def _kept_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of a text that remain when it is folded."""
    at = 0
    for match in _FOLD.finditer(text):
        yield at, match.start()
        at = match.end()
    yield at, len(text)


def _count_base64(characters: object) -> int:
    """Return the number of leading characters that can be base64."""
    count = 0
    for character in characters:  # type: ignore[attr-defined]
        if not (character.isascii() and (character.isalnum() or character in "+/-_=")):
            break
        count += 1
    return count


def _drop(match: re.Match[str]) -> tuple[str, int]:
    return "", match.end()


def _unquote(match: re.Match[str]) -> tuple[str, int]:
    return chr(int(match["quoted"], 16)) if match["quoted"] else "", match.end()


_FOLD_STEP = _Step(_INVISIBLE_PATTERN, _drop)
_ADDED_STEP = _Step(_ADDED, _unquote)


def _decode_shortest(match: re.Match[str]) -> tuple[str, int]:
    """Decode an entity without a semicolon as an ASCII character, because a key consists of those."""
    if not match["semicolon"]:
        if digits := match["hex"]:
            return _character(int(digits[:2], 16)), match.start("hex") + min(2, len(digits))
        if digits := match["decimal"]:
            width = 3 if digits[0] == "1" else 2
            return _character(int(digits[:width])), match.start("decimal") + min(width, len(digits))
    return _decode_longest(match)


def _decode_longest(match: re.Match[str]) -> tuple[str, int]:
    """Decode as browsers do."""
    kind, digits = match.lastgroup, ""
    if match["semicolon"] is not None:
        kind = next(each for each in ("hex", "decimal", "name") if match[each])
    if kind == "invisible":
        return "", match.end()
    digits = match[kind or "backslash"]
    if kind == "name":
        return _named(match)
    if kind == "control":
        return "", match.end()
    if kind == "backslash":
        return "\\", match.end()
    value = int(digits, 10 if kind == "decimal" else 8 if kind == "octal" else 16)
    if kind in ("percent", "x", "octal"):
        return chr(value & 0xFF), match.end()
    return _character(value), match.end()


def _named(match: re.Match[str]) -> tuple[str, int]:
    name, (with_semicolon, without) = match["name"], _names()
    if match["semicolon"] and name in with_semicolon:
        return raw_bytes(with_semicolon[name]), match.end()
    for length in range(len(name), 1, -1):
        if name[:length] in without:
            return raw_bytes(without[name[:length]]), match.start("name") + length
    return match[0], match.end()


def _character(code: int) -> str:
    return raw_bytes(chr(code)) if code <= 0x10FFFF else ""
