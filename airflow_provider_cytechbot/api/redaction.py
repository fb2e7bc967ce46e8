"""Masking secrets in text in all encodings, and addresses. No other module has a list of encodings."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from urllib.parse import quote, quote_plus

from airflow_provider_cytechbot.api.decoded_text import FOLDED, DecodedText, decoded_levels, fold, raw_bytes

MASK = "***"
#: A shorter secret would mask ordinary letters; Airflow's own masker draws the same kind of line.
MIN_SECRET_LENGTH = 4
#: Characters of base64 beside a secret that can hold some of its bits.
_BASE64_EDGE = 3

_EQUALS = r"(?:=|%(?:25)*3D|\\+u003d|\\+x3d|&(?:amp;)*(?:#0*61|#x0*3d|equals);?|[\"']\s?:\s?[\"'])"
_KEY_IN_QUERY = re.compile(rf"(api_key{_EQUALS})[^&\s\"'<>)]+", re.IGNORECASE)
_EMAIL = re.compile(r"[^\s\"'<>(){}\[\],;:=]+@[^\s\"'<>(){}\[\],;:=]+")
#: Only with a plus: without one, an id looks the same.
_PHONE = re.compile(r"\+\d[\d\s()./-]{4,}\d")
_HEX_ESCAPED = re.compile("[<>&'\"]")

#: Stretches of text that can be base64, on several lines, too, or bytes in hex.
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{8,}(?:[ \t]*(?:\r?\n|\\r|\\n)+[ \t]*[A-Za-z0-9+/_-]{4,})*")
_HEX_BYTE = re.compile(r"(?:0x|\\x?0{0,4})?([0-9A-Fa-f]{2})")
_HEX_RUN = re.compile(rf"{_HEX_BYTE.pattern}(?:[\s:,;.-]{{0,2}}{_HEX_BYTE.pattern}){{5,}}")
_DECIMAL_RUN = re.compile(r"\d{1,3}(?:[\s,;]{1,2}\d{1,3}){5,}")
_BASE32_RUN = re.compile(
    r"(?:[A-Z2-7]{13,}|[a-z2-7]{13,})"
    r"(?:[ \t]*[\r\n]+[ \t]*(?:[A-Z2-7]{4,}|[a-z2-7]{4,}|[A-Za-z2-7]{1,7}(?==)))*=*"
)
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/]|\\[rn]")
#: How often base64 or hex is decoded that is encoded in another one.
_MAX_DEPTH = 2


def forms(secret: str) -> tuple[str, ...]:
    """
    Return the usual forms of a secret in a URL, a form body, JSON, HTML, hex and base64, longest first.

    For maskers that look for fixed texts, such as Airflow's; a :class:`Redactor` finds any mixture of them.

    :param secret: The secret as the user gave it.
    """
    found = _text_forms(secret)
    content = secret.encode("utf-8", "surrogatepass")
    if len(content) >= 2 * MIN_SECRET_LENGTH:
        found |= {content.hex(), content.hex().upper(), *_base64_forms(content)}
    return tuple(sorted(found, key=len, reverse=True))


def _text_forms(secret: str) -> set[str]:
    percent, plus = quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")
    as_json = json.dumps(secret)[1:-1]
    found = {
        secret,
        percent,
        plus,
        quote(secret, errors="replace"),  # clients differ in whether they leave a slash alone
        percent.replace("%", "%25"),
        html.escape(secret),
        as_json,
        as_json.replace("/", "\\/"),
        # Go, Gson and PHP's JSON_HEX_* write these characters of ASCII as escapes.
        _HEX_ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", as_json.replace('\\"', '"')),
    }
    # Percent-encoding may be spelt in either case: %2f is %2F.
    return found | {re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in found}


def _base64_forms(content: bytes) -> set[str]:
    """Return the part of the base64 text that does not depend on what stands before and after the bytes."""
    found = set()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + content).decode()
        inner = text[(0, 2, 3)[before] : (before + len(content)) * 8 // 6]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found


class _Secret:
    """The forms in which one secret is searched for."""

    def __init__(self, text: str) -> None:
        self.forms = tuple(_text_forms(text))
        raw = raw_bytes(text)
        spellings = {raw}
        if not text.isascii():
            # Servers also write one byte for each letter of Latin-1, and a pair of escapes for an emoji.
            spellings.add(text.encode("latin-1", "replace").decode("latin-1"))
            pairs = text.encode("utf-16-be", "surrogatepass")
            units = (int.from_bytes(pairs[at : at + 2]) for at in range(0, len(pairs), 2))
            spellings.add("".join(raw_bytes(chr(unit)) for unit in units))
        decoded = {level.text for spelling in spellings for level in decoded_levels(DecodedText(spelling))}
        self.needles = {
            folded.lower() for each in decoded | spellings if len(folded := fold(each)) >= MIN_SECRET_LENGTH
        }
        content = text.encode("utf-8", "surrogatepass")
        is_long = len(content) >= MIN_SECRET_LENGTH
        self.hex = content.hex() if is_long else ""
        self.base64 = {fold(each) for each in _base64_forms(content)} if is_long else set()
        self.tail = len(raw) - len(raw.rstrip(FOLDED))
        self.head = len(raw) - len(raw.lstrip(FOLDED))


class Redactor:
    """
    Masks a set of secrets, and any ``api_key=`` in a query string, in text.

    The text is decoded step by step (percent-encoding, entities, escapes), white space and line breaks are
    left out, and each step is searched for the secrets, their hex and their base64. What is found is masked
    in the text as it was. The time is proportional to the length of the text.

    :param secrets: The secrets as the user gave them; very short ones are left alone.
    :param of_any_length: Secrets that are masked however short they are.
    """

    def __init__(self, secrets: Iterable[str], of_any_length: Iterable[str] = ()) -> None:
        found = {secret.strip() for secret in secrets if len(secret.strip()) >= MIN_SECRET_LENGTH}
        found |= {secret.strip() for secret in of_any_length if secret.strip()}
        self._texts = sorted(found, key=len, reverse=True)

    @cached_property
    def _secrets(self) -> list[_Secret]:
        return [_Secret(text) for text in self._texts]

    @property
    def overlap(self) -> int:
        """The number of characters after a cut that are needed to recognise a secret across the cut."""
        return 1024 + 24 * max(map(len, self._texts), default=0)

    def __call__(self, text: str, limit: int | None = None) -> str:
        """
        Return the text with each secret replaced by ``***``.

        :param text: Anything that may be shown to a person or written to a log.
        :param limit: Return the masked form of this many characters only. A secret across the cut is masked.
        """
        if limit is not None:
            text = text[: limit + self.overlap]
        end = len(text) if limit is None else min(limit, len(text))
        pieces, at = [], 0
        for start, stop in _joined(self._spans(text)):
            if start >= end:
                break
            pieces += [text[at:start], MASK]
            at = stop
        pieces.append(text[at:end])
        return redact_query("".join(pieces))

    def _spans(self, text: str, depth: int = 0) -> Iterator[tuple[int, int]]:
        """Yield where secrets stand in the text."""
        if self._texts and depth < _MAX_DEPTH:
            yield from self._spans_in_bytes(text, depth + 1)
        for secret in self._secrets:
            for form in secret.forms:
                yield from _find(text, form)
        for level in decoded_levels(DecodedText(raw_bytes(text))) if self._secrets else ():
            folded = fold(level.text)
            lower = folded.lower()
            for secret in self._secrets:
                found = [needle for needle in secret.needles if needle in lower]
                in_base64 = [needle for needle in secret.base64 if needle in folded]
                is_hex = bool(secret.hex) and secret.hex in lower
                if found or in_base64 or is_hex:
                    traced = level.traced(text)
                    for needle in found:
                        yield from traced.spans(needle, secret.head, secret.tail, 0, ignore_case=True)
                    for needle in in_base64:
                        yield from traced.spans(needle, secret.head, secret.tail, _BASE64_EDGE)
                    if is_hex:
                        yield from traced.spans(secret.hex, 0, 0, 0, ignore_case=True)

    def _spans_in_bytes(self, text: str, depth: int) -> Iterator[tuple[int, int]]:
        """Yield the stretches whose bytes have a secret in any form, such as UTF-16 or percent-encoding."""
        for runs, decode in _RUNS:
            for run in runs.finditer(text):
                folded = fold(run[0])
                if any(needle in folded for secret in self._secrets for needle in secret.base64):
                    continue  # found as it is, without what stands beside it
                if any(any(self._spans(content, depth)) for content in decode(run[0])):
                    yield run.span()


def redact_query(text: str) -> str:
    """
    Return the text with the value of every ``api_key=`` in it masked, whatever the key is.

    :param text: A URL or a log line that may hold one.
    """
    return _KEY_IN_QUERY.sub(rf"\1{MASK}", text)


def _from_base64(text: str) -> Iterator[str]:
    """Yield the bytes of base64, each as one character, for each place where it can begin."""
    digits = _NO_BASE64.sub("", text.replace("-", "+").replace("_", "/"))
    for begin in range(4):
        whole = digits[begin:]
        if len(whole) % 4 == 1:
            whole = whole[:-1]
        yield _text_of(base64.b64decode(whole + "=" * (-len(whole) % 4)))


def _from_base32(text: str) -> Iterator[str]:
    digits = "".join(text.split()).rstrip("=")
    while len(digits) % 8 in (1, 3, 6):  # the length of no base32
        digits = digits[:-1]
    yield _text_of(base64.b32decode(digits + "=" * (-len(digits) % 8), casefold=True))


def _from_hex(text: str) -> Iterator[str]:
    yield _text_of(bytes.fromhex("".join(_HEX_BYTE.findall(text))))


def _from_decimals(text: str) -> Iterator[str]:
    yield _text_of(bytes(min(int(number), 255) for number in re.findall(r"\d+", text)))


_RUNS = (
    (_BASE64_RUN, _from_base64),
    (_BASE32_RUN, _from_base32),
    (_HEX_RUN, _from_hex),
    (_DECIMAL_RUN, _from_decimals),
)


def _text_of(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def mask_addresses(text: str) -> str:
    """
    Return text with ``***`` in place of e-mail addresses and international phone numbers.

    :param text: Text that a server wrote.
    """
    return _PHONE.sub(MASK, _EMAIL.sub(MASK, text))


def _find(text: str, form: str) -> Iterator[tuple[int, int]]:
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + len(form))


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans in order, those that overlap as one."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined
