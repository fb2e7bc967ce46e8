"""Errors of Facebook that the API passes on: which of them pass, and which concern the whole page."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Mapping
from enum import IntEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.json_text import loads

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call


class FacebookError(IntEnum):
    """What an error of Facebook means for the caller; where there are several, the highest counts."""

    #: Facebook failed for the moment, perhaps after it had acted.
    TRANSIENT = 1
    #: Too many requests: Facebook did nothing, and refuses every call of the page or app for a while.
    RATE_LIMIT = 2
    #: The page's token has expired or lacks a permission: every call of the page fails until it is renewed.
    PAGE_ACCESS = 3


#: Codes by what they mean, as in Facebook's page on handling errors.
_CODES: tuple[tuple[FacebookError, frozenset[int]], ...] = (
    # 4 app, 17 user, 32 page, 341 and 613 others, 368 blocked for a while, 80000-80014 business use.
    (FacebookError.RATE_LIMIT, frozenset({4, 17, 32, 341, 368, 613, *range(80000, 80015)})),
    # 1 unknown, 2 service, 1200 sending: "try again".
    (FacebookError.TRANSIENT, frozenset({1, 2, 1200})),
    # 3, 5, 10 and 200-299 permissions, 101 application, 102 session, 104 signature, 190 and 2500 token.
    (FacebookError.PAGE_ACCESS, frozenset({3, 5, 10, 101, 102, 104, 190, 2500, *range(200, 300)})),
)
#: Why a token is invalid: app removed, password changed, expired, and so on.
_TOKEN_SUBCODES = frozenset({*range(458, 468), 492})
#: With 10, 200 or 551: one person cannot be reached (blocked, gone, outside the allowed window).
_PERSON_SUBCODES = frozenset({1545041, *range(2018000, 2019000)})
_PERSON = re.compile(
    r"outside (?:of )?(?:the )?allowed window|person (?:is\s?n[o']t|cannot|can't)|no matching user",
    re.IGNORECASE,
)
#: Codes that no server uses for something of its own, so that they count beside a ``status``, too.
_UNMISTAKABLE = frozenset({190, 341, 368, 613, *range(80000, 80015)})
#: Members that only an error of Facebook has.
_MARKS = frozenset({"type", "fbtrace_id", "is_transient", "error_subcode", "error_code", "error_data"})

#: Names of members without underscores and in lower case: each library spells them in its own way.
_CODE_NAMES = ("code", "errorcode")
_SUBCODE_NAMES = ("errorsubcode", "subcode")
_TRANSIENT_NAME = "istransient"
_TRUE = frozenset({"true", "1", "yes"})

_CODE_IN_TEXT = re.compile(
    r"\(\s*#\s*(\d{1,6})\s*\)"
    # Also in XML, and as PHP serialises it: code";i:613
    r"|(?<!http.)(?<!status.)(?<!response.)\b(?:error_)?code[\"'\]]*\s*(?:=>|[:=>]|;i:|;s:\d{1,2}:)"
    r"\s*[\"']?(\d{1,6})\b",
    re.IGNORECASE,
)
#: The HTTP status that a server got for its own request, as HTTP clients word it.
_STATUS_IN_TEXT = re.compile(
    r"\b(?:status(?: ?code)?|http(?:[ _]?(?:status|code|error))*|http/\d(?:\.\d)?)\W{1,3}(429|50[0234])\b",
    re.IGNORECASE,
)
#: Other ways to write a code. A server can number its own errors so: only unmistakable codes count.
_LOOSE_CODE_IN_TEXT = re.compile(
    r"\A\W*(\d{3,6})\W"
    r"|\b(?:error|exception)(?:[\s_]?(?:code|number|no\.?))?[\s:=]*[(\[#]*(\d{3,6})\b"
    r"|(?<![\w&])#(\d{3,6})\b",
    re.IGNORECASE,
)
_TRANSIENT_IN_TEXT = re.compile(r"\bis_?transient[\"'\]]*\s*(?:=>|[:=])\s*[\"']?(?:true|1)\b", re.IGNORECASE)
#: The same in words, for servers that pass on the message alone.
_WORDS: tuple[tuple[FacebookError, re.Pattern[str]], ...] = (
    (
        FacebookError.PAGE_ACCESS,
        re.compile(
            r"validating access token|invalid oauth"
            r"|access[ _]token\b.{0,40}"
            r"\b(?:expired|invalid\w*|decrypted|revoked|required|missing|must be|malformed)"
            r"|(?:expired|invalid|malformed|missing|revoked) (?:\w{1,10} )?access[ _]token"
            r"|api access (?:is |has been )?(?:deactivated|blocked|disabled|revoked)"
            r"|session has (?:expired|been invalidated)|not authori[sz]ed application"
            r"|(?:called with|requires?|must (?:use|be)|provide)\b.{0,20}\bpage access token"
            r"|application does not have (?:the )?(?:permission|capability)"
            r"|requires?\b.{0,30}\b(?:pages_\w+|manage_pages)\b",
            re.IGNORECASE,
        ),
    ),
    (
        FacebookError.RATE_LIMIT,
        re.compile(
            r"(?:exceeded|reached|hit)\b.{0,40}\brate.?limit|rate.?limit\w*.{0,40}\b(?:exceeded|reached|hit)"
            r"|request limit reached|too many (?:calls|requests)|temporarily blocked",
            re.IGNORECASE,
        ),
    ),
    (
        FacebookError.TRANSIENT,
        re.compile(
            r"an (?:unknown|unexpected) error (?:has )?occurred|reduce the amount of data", re.IGNORECASE
        ),
    ),
)
#: How much of an answer is searched: Facebook's own errors are far smaller.
_MAX_VALUES = 200
_MAX_TEXT = 16 * 1024
#: Shorter values of fields are not left out of texts.
_MIN_VALUE = 4
#: How long a code can be.
_MAX_NUMBER = 12


def find_facebook_error(answer: dict[str, Any], fields: Mapping[str, str]) -> FacebookError | None:
    """
    Return what the error of Facebook in a refusal means; ``None`` where there is none, or an ordinary one.

    :param answer: The whole answer. The error may be an object or a list in it, or JSON inside a text.
    :param fields: The fields of the call. Their values, such as a label's name, are ignored in texts.
    """
    beginning = _Beginning(fields).copy(answer)
    found = (_judge(value, is_answer=value is beginning) for value in _values(beginning))
    return max((each for each in found if each is not None), default=None)


def without_values(text: str, fields: Mapping[str, str]) -> str:
    """
    Return a text without the values of a call's fields: a label may be named "(#190)".

    :param text: A text of the server.
    :param fields: The fields of the call. Numbers and very short values are left in the text.
    """
    for value in fields.values():
        if len(value) >= _MIN_VALUE and not value.isdigit():
            text = text.replace(value, " ")
    return text


class _Beginning:
    """
    Copies the beginning of an answer, so that a long one takes no time.

    :param fields: The fields of the call, which are left out of texts.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self._values = _MAX_VALUES
        self._characters = _MAX_TEXT

    def copy(self, value: Any) -> Any:
        """
        Return the beginning of a value; ``None`` beyond the limit.

        :param value: A JSON value.
        """
        self._values -= 1
        if self._values < 0:
            return None
        if isinstance(value, dict):
            return {name: self.copy(each) for name, each in islice(value.items(), self._values)}
        if isinstance(value, list):
            return [self.copy(each) for each in value[: self._values]]
        if isinstance(value, str):
            text = value[: self._characters]
            self._characters -= len(text)
            return without_values(html.unescape(text), self._fields)
        return value


def can_be_facebooks(call: Call[Any]) -> bool:
    """
    Return whether a number that looks like one of Facebook's is taken for it, where a mistake matters.

    Gateways and further APIs number their errors, too: 4 is an exceeded deadline to gRPC, after which a
    create can have happened. Facebook takes part only in the creates that concern a page.

    :param call: The call that was answered.
    """
    return call.is_repeatable or "page_id" in call.fields


def is_limit_in_words(text: str) -> bool:
    """
    Return whether a text states in words that there were too many requests.

    :param text: A text of the server.
    """
    return any(meaning is FacebookError.RATE_LIMIT and words.search(text) for meaning, words in _WORDS)


def is_facebook_error(answer: dict[str, Any]) -> bool:
    """
    Return whether an answer without a ``status`` is an error of Facebook, passed on as it is.

    :param answer: The answer.
    """
    error = answer.get("error")
    return "status" not in answer and isinstance(error, dict) and bool({"message", "code"} & error.keys())


def _judge(value: dict[str, Any] | str, *, is_answer: bool) -> FacebookError | None:
    if isinstance(value, str):
        return _judge_text(value)
    members = {name.replace("_", "").lower(): member for name, member in value.items()}
    code, subcode = _number(members, _CODE_NAMES), _number(members, _SUBCODE_NAMES)
    status = None
    if "body" in members:  # one answer of a batch: its code is an HTTP status
        status, code = _judge_status(code), None
    elif is_answer and code not in _UNMISTAKABLE and not _MARKS & value.keys():
        code = None
    is_transient = str(members.get(_TRANSIENT_NAME)).strip().lower() in _TRUE
    texts = [_without_json(text) for text in value.values() if isinstance(text, str)]
    meaning = _judge_code(code, is_transient=is_transient)
    if subcode in _PERSON_SUBCODES or any(map(_PERSON.search, texts)):
        return None if meaning is FacebookError.PAGE_ACCESS else meaning
    if subcode in _TOKEN_SUBCODES and code in (None, 102, 190):
        return FacebookError.PAGE_ACCESS
    in_texts = (_judge_text(text) for text in texts)
    return meaning or max((each for each in in_texts if each is not None), default=status)


def _judge_code(code: int | None, *, is_transient: bool = False) -> FacebookError | None:
    meaning = next((meaning for meaning, codes in _CODES if code in codes), None)
    if is_transient and meaning is not FacebookError.RATE_LIMIT:
        return FacebookError.TRANSIENT
    return meaning


def _judge_status(status: int | None) -> FacebookError | None:
    """Return what an HTTP status of Facebook's means, where its own error is not known."""
    if status == 429:
        return FacebookError.RATE_LIMIT
    return FacebookError.TRANSIENT if status and 500 <= status < 600 else None


def _judge_text(text: str) -> FacebookError | None:
    is_transient = bool(_TRANSIENT_IN_TEXT.search(text))
    match = _CODE_IN_TEXT.search(text)
    meaning = _judge_code(int(match[1] or match[2]) if match else None, is_transient=is_transient)
    if _PERSON.search(text):
        return None if meaning is FacebookError.PAGE_ACCESS else meaning
    if meaning is None and (match := _LOOSE_CODE_IN_TEXT.search(text)):
        code = int(match[match.lastindex or 1])
        meaning = _judge_code(code) if code in _UNMISTAKABLE else None
    meaning = meaning or next((meaning for meaning, words in _WORDS if words.search(text)), None)
    if meaning is None and (match := _STATUS_IN_TEXT.search(text)):
        meaning = _judge_status(int(match[1]))
    return meaning


def _number(members: dict[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        text = str(members.get(name)).strip().strip("(#)")
        try:
            number = float(text) if len(text) <= _MAX_NUMBER else math.nan
        except ValueError:
            continue
        if number.is_integer():
            return int(number)
    return None


def _values(answer: dict[str, Any]) -> Iterator[dict[str, Any] | str]:
    """Yield the objects of an answer and the texts in its lists, those of JSON inside a text included."""
    left: list[Any] = [answer]
    for _ in range(_MAX_VALUES):
        if not left:
            return
        value = left.pop(0)
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            yield value
            members = value.values()
            left += [each for each in members if isinstance(each, dict | list)]
            left += [_json_inside(each) for each in members if isinstance(each, str)]
        elif isinstance(value, str):
            yield _without_json(value)
            left.append(_json_inside(value))


def _json_start(text: str) -> int:
    return min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=len(text))


def _without_json(text: str) -> str:
    return text if _json_inside(text) is None else text[: _json_start(text)]


def _json_inside(text: str) -> dict[str, Any] | list[Any] | None:
    """Return the JSON object or list in a text, also where its quotation marks are escaped once more."""
    inner = text[_json_start(text) : max(text.rfind("}"), text.rfind("]")) + 1]
    for candidate in (inner, inner.replace('\\"', '"')):
        try:
            value = loads(candidate)
        except (ValueError, RecursionError):
            continue
        is_number = isinstance(value, list) and all(
            isinstance(each, str) and each.isdigit() for each in value
        )
        if isinstance(value, dict | list) and not is_number:  # "[613] Calls to ..." is text
            return value
    return None
