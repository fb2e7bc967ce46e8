"""Deciphering an answer: ``(status, headers, body)`` into a record, or one error of the tree."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

from airflow_provider_cytechbot.api.endpoints import Repeat
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAuthError,
    CyTechBotError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotResponseError,
    CyTechBotTransportError,
    CyTechBotUnansweredError,
)
from airflow_provider_cytechbot.api.facebook_errors import (
    FacebookError,
    find_facebook_error,
    is_facebook_error,
)
from airflow_provider_cytechbot.api.json_text import decode, find_root, json_type, loads
from airflow_provider_cytechbot.api.matching import check_match
from airflow_provider_cytechbot.api.records import ReadContext, WriteOutcome, wrong_shape

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call

T = TypeVar("T")
Redact: TypeAlias = Callable[[str], str]

#: How long an error's account of the answer may be, the server's own words in it included.
MAX_REASON = 400
#: The longest value of a field in an error, in characters.
MAX_VALUE = 60

_BAD_KEY = re.compile(r"api key is required|api key invalid|member validity expired", re.IGNORECASE)
_NOT_FOUND = re.compile(r"does not exist|not found|no matching", re.IGNORECASE)
#: The server's own words for a failure that passes.
_TEMPORARY = re.compile(
    r"(?:database|server|service|system|table)\b.{0,30}\b(?:busy|locked|overloaded|unavailable|gone away)"
    r"|deadlock|lock wait timeout|lost connection|too many connections|max_user_connections"
    r"|temporar(?:y|ily)\b.{0,30}\b(?:unavailable|failure|error|problem|disabled|down)"
    r"|(?:try|retry) (?:again )?(?:later|in a (?:moment|minute|while|few))|under maintenance",
    re.IGNORECASE,
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: How far into a page its title is looked for.
_TITLE_WITHIN = 8192
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def decipher(
    call: Call[T],
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    api_key: str = "",
    zone: tzinfo = UTC,
    is_resend: bool = False,
) -> T:
    """
    Return the record that an answer carries.

    :param call: The call that was answered.
    :param status: The HTTP status.
    :param headers: The HTTP headers.
    :param body: The body, decompressed.
    :param api_key: The key that was sent, to be masked wherever the server repeats it.
    :param zone: The zone of the server's naive times.
    :param after_lost_answer: Whether the same call was sent before and its answer lost.
    :raises CyTechBotError: Always the one that fits; no other exception leaves this function.
    """

    def redact(text: str) -> str:
        return call.redactor(api_key)(text)

    failure: CyTechBotError
    try:
        result = _decipher(call, status, headers, body, zone, is_resend, redact)
    except RecursionError:
        failure = wrong_shape("it is nested too deeply")
    except CyTechBotError as error:
        failure = error
    else:
        if isinstance(result, WriteOutcome) and result.message:
            return cast("T", result._replace(message=_fit_for_people(result.message, redact)))
        return result
    failure.reason = _fit_for_people(failure.reason, redact)
    failure.hint = redact(failure.hint)
    failure.__cause__ = failure.__context__ = None  # they can hold pieces of the answer
    raise failure


def is_success(status: int) -> bool:
    """
    Return whether an HTTP status leaves it to the body what became of a call.

    :param status: The status.
    """
    return 200 <= status < 300


def _decipher(
    call: Call[T],
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    zone: tzinfo,
    is_resend: bool,
    redact: Redact,
) -> T:
    if not is_success(status):
        raise _not_the_api(status, headers, body, redact)
    value = _json(headers, body)
    verdict = value.get("status") if isinstance(value, dict) else None
    if verdict == "error" or (isinstance(value, dict) and is_facebook_error(value)):
        return _judge_refusal(call, value, is_resend)
    answer = call.endpoint.answer
    if answer is None:
        return cast("T", _read_write(value, verdict))
    if verdict == "info":
        raise CyTechBotRequestError(f"the API gave no result, but said: {_quote(_message(value))}.")
    if answer.member is not None:
        if verdict != "success" or answer.member not in value:
            raise wrong_shape(f"neither success with {answer.member!r} nor an error ({_outline(value)})")
        value = value[answer.member]
    result = answer.read(value, ReadContext(zone, call.fields))
    if isinstance(result, Mapping):
        check_match(result, call.fields, answer.matches)
    return result


def _read_write(value: Any, verdict: Any) -> WriteOutcome:
    if verdict not in ("success", "info"):
        raise wrong_shape(f"neither success nor an error ({_outline(value)})")
    message = _message(value)
    return WriteOutcome(changed=verdict == "success", message=message or None)


def _judge_refusal(call: Call[T], value: dict[str, Any], is_resend: bool) -> T:
    """Return what a refusal means where it is an answer after all; raise what it is otherwise."""
    endpoint, message = call.endpoint, _message(value)
    answer = endpoint.answer
    if answer and answer.none_found and answer.none_found.casefold() == " ".join(message.split()).casefold():
        return answer.read([], ReadContext(UTC, call.fields))
    reason = f"the API refused: {_quote(message)}."
    if _BAD_KEY.search(message):
        needs = " This endpoint needs an admin's key." if endpoint.admin else ""
        raise CyTechBotAuthError(
            reason, f"Check the API key in the connection and the member's validity.{needs}"
        )
    _raise_if_temporary(find_facebook_error(value), message, reason)
    if _NOT_FOUND.search(message):
        if endpoint.repeat is Repeat.GONE_IS_DONE and is_resend:
            return cast("T", WriteOutcome(changed=True, message=message))
        raise CyTechBotNotFoundError(reason, _lookup_hint(call))
    if is_resend:
        # Some installations refuse an e-mail address that the contact itself got from the lost attempt.
        hint = "An earlier attempt, whose answer was lost, may have done it: look before you call again."
        raise CyTechBotRequestError(reason, hint)
    raise CyTechBotRequestError(reason, "Check the fields of the call.")


def _lookup_hint(call: Call[Any]) -> str:
    """Return a hint with the ids that were looked up: the server's text can name another one."""
    texts = [f"{name} {_shorten(text)!r}" for name, text in call.lookup_fields.items()]
    if len(texts) < 2:
        return f"Nothing was found for {''.join(texts)}: check it."
    return f"Nothing was found for {', '.join(texts[:-1])} or {texts[-1]}: check them."


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def _raise_if_temporary(facebook: FacebookError | None, message: str, reason: str) -> None:
    """Raise unless a refusal is about this call alone."""
    if facebook is FacebookError.PAGE_ACCESS:
        raise CyTechBotAuthError(
            f"Facebook refused the page's connection: {_quote(message)}.",
            "The page's access token has expired or lacks a permission: reconnect the page in the CyTechBot "
            "dashboard.",
        )
    if facebook is FacebookError.RATE_LIMIT:
        raise CyTechBotTransportError(
            reason,
            "Facebook limits the rate of requests: try again later, with fewer requests per second.",
            was_rejected=True,
            is_rate_limit=True,
        )
    if facebook is FacebookError.TRANSIENT:
        raise CyTechBotTransportError(reason, "This is a temporary failure of Facebook: try again later.")
    if _TEMPORARY.search(message):
        raise CyTechBotTransportError(reason, "This is a temporary failure of the server: try again later.")


def _json(headers: Mapping[str, str], body: bytes) -> Any:
    text = decode(body)
    if not text.strip():
        raise CyTechBotTransportError(
            "the answer is empty.", "The server may have crashed: see its error log."
        )
    try:
        return loads(text)
    except ValueError:
        pass
    if find_root(text) is not None:
        raise CyTechBotTransportError(
            f"the answer was cut off or damaged, or something follows its JSON, within {len(body)} bytes."
        )
    raise CyTechBotResponseError(
        f"the answer is not JSON but {_describe(headers, text)}.",
        "Check the host in the connection: it should be the API's base URL.",
    )


def _not_the_api(
    status: int, headers: Mapping[str, str], body: bytes, redact: Redact
) -> CyTechBotUnansweredError:
    """Return the error for an HTTP status that the API itself never answers with."""
    came = f"a web server or proxy answered HTTP {status}"
    if 300 <= status < 400:
        return CyTechBotResponseError(
            f"{came}, a redirect{_target(headers, redact)}, which is never followed.",
            "Put the address that answers without one into the connection's host.",
            was_rejected=True,
            is_transient=False,
        )
    if status == 429 or status >= 500 or status == 408:
        retry_after = _retry_after(headers)
        return CyTechBotTransportError(
            f"{came}.",
            "The server is overloaded or in trouble: try again later.",
            was_rejected=status == 429,
            retry_after=retry_after,
            is_rate_limit=status == 429 or (status == 503 and retry_after is not None),
        )
    text = body[: 4 * _TITLE_WITHIN].decode(errors="replace")
    return CyTechBotResponseError(
        f"{came} with {_describe(headers, text)}.",
        "Check the host in the connection, and any proxy in front of the server.",
        was_rejected=True,
        is_transient=False,
    )


def _target(headers: Mapping[str, str], redact: Redact) -> str:
    """Return where a redirect leads, without user and query, which can hold the API key."""
    try:
        target = urlsplit(redact(_header(headers, "location")))  # masked before anything cuts a key in two
    except ValueError:
        return ""
    host = target.netloc.rpartition("@")[2]
    address = f"{target.scheme}://{host}{target.path}" if host else target.path
    return f" to {address}" if address else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a ``Retry-After`` header, which may be a number or a date."""
    value = _header(headers, "retry-after").strip()
    try:
        if value.isascii() and value.isdigit():
            return float(value)
        moment = parsedate_to_datetime(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")


def _message(value: dict[str, Any]) -> str:
    """Return the server's message as text: it can be an object passed on from Facebook."""
    message = value.get("message") or value.get("error")
    while isinstance(message, dict) and (inner := message.get("message") or message.get("error")):
        message = inner
    if not isinstance(message, str):
        message = json.dumps(message) if message else ""
    return message.strip()


def _quote(text: str) -> str:
    return f'"{text}"' if text else "(no message)"


def _fit_for_people(text: str, redact: Redact) -> str:
    """Return text of the server's as one short line. Masked first: half a key is not recognised as one."""
    line = _CONTROL.sub("\ufffd", " ".join(redact(text).split()))
    return line if len(line) <= MAX_REASON else f"{line[:MAX_REASON]}…"


def _describe(headers: Mapping[str, str], text: str) -> str:
    title = _TITLE.search(text, 0, _TITLE_WITHIN)
    if title:
        return f"a web page titled {_quote(title.group(1).strip())}"
    return _header(headers, "content-type") or "something else"


def _outline(value: Any) -> str:
    """Return what a JSON value looks like, without its content."""
    if isinstance(value, dict) and value:
        return f"an object with {', '.join(sorted(value)[:10])}"
    return json_type(value)
