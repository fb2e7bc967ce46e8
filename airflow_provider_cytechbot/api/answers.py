"""Reading an answer: ``(status, headers, body)`` becomes a record, or an error of the tree."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from airflow_provider_cytechbot.api import http_status
from airflow_provider_cytechbot.api.decoders import ReadContext, not_utf8, wrong_shape
from airflow_provider_cytechbot.api.endpoints import Answer, Repeat
from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotResponseError,
    CyTechBotTransportError,
    CyTechBotUnansweredError,
)
from airflow_provider_cytechbot.api.facebook_errors import (
    can_be_facebooks,
    find_facebook_error,
    is_facebook_error,
)
from airflow_provider_cytechbot.api.json_text import DECODER, decode, find_root, is_utf8, loads
from airflow_provider_cytechbot.api.matching import check_echo, check_match
from airflow_provider_cytechbot.api.messages import (
    MAX_MASKED,
    MAX_PAGE,
    Redact,
    describe_page,
    header,
    is_failure,
    message_of,
    one_line,
    outline,
    quote,
)
from airflow_provider_cytechbot.api.records import WriteOutcome
from airflow_provider_cytechbot.api.refusals import refusal, temporary_failure

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call

T = TypeVar("T")

#: The members that an error has in any shape, and no record.
_MEMBERS_OF_ERRORS = frozenset(
    {"code", "error", "error_code", "error_subcode", "errors", "is_transient", "message", "success", "type"}
)
_MARKS_OF_FAILURES = frozenset({"code", "error", "error_code", "error_subcode", "is_transient"})
#: How long a ``Retry-After`` header can be.
_MAX_RETRY_AFTER = 64


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
    :param is_resend: Whether the same call was sent before and its answer lost.
    :raises CyTechBotError: Always the subclass that fits; no other exception leaves this function.
    """

    def redact(text: str) -> str:
        return call.redactor(api_key)(text, MAX_MASKED)

    failure: CyTechBotError
    try:
        result = _decipher(call, status, headers, body, zone, is_resend, redact)
        if isinstance(result, str):
            _refuse_secret_id(result, redact)
    except RecursionError:
        failure = wrong_shape("it is nested too deeply")
    except CyTechBotError as error:
        failure = error
    else:
        if isinstance(result, WriteOutcome) and result.message:
            return cast("T", result._replace(message=one_line(result.message, redact)))
        return result
    failure.reason = one_line(failure.reason, redact)
    failure.hint = redact(failure.hint)
    failure.__cause__ = failure.__context__ = None  # they can hold pieces of the answer
    raise failure


def _decipher(
    call: Call[T],
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    zone: tzinfo,
    is_resend: bool,
    redact: Redact,
) -> T:
    if not http_status.is_success(status):
        value = _json_or_none(body)
        raise _passed_on_error(call, value, status, headers) or _not_the_api(
            call, value, status, headers, body, redact
        )
    value = _json(headers, body)
    failure: CyTechBotError
    try:
        result = _read(call, value, headers, zone, is_resend)
    except CyTechBotResponseError as error:
        failure = error
    else:
        # A message may lose characters: to raise for it would hide a refusal, or that a write was done.
        if call.endpoint.verb == "GET" and not is_utf8(body):
            raise not_utf8()
        return result
    # Not the API's words for a refusal, but perhaps those of Facebook.
    raise _passed_on_error(call, value, status, headers) or failure


def _read(call: Call[T], value: Any, headers: Mapping[str, str], zone: tzinfo, is_resend: bool) -> T:
    answer = call.endpoint.answer
    verdict = _verdict(call, value)
    if isinstance(value, dict):
        if answer and verdict in ("error", "info") and _reports_none(answer, value):
            return answer.read([], ReadContext(zone, call.fields))
        if verdict == "error" or (is_facebook_error(value) and can_be_facebooks(call)):
            return _judge_refusal(call, value, is_resend, headers)
        if verdict == "info" and (
            failure := temporary_failure(call, value, retry_after=_retry_after(headers))
        ):
            raise failure
        check_echo(value, call)
    if answer is None:
        return cast("T", _read_write(value, verdict))
    if verdict == "info":
        raise CyTechBotRequestError(f"the API answered without a result: {quote(message_of(value))}.")
    if answer.member is not None:
        if verdict != "success" or answer.member not in value:
            raise wrong_shape(f"neither success with {answer.member!r} nor an error ({outline(value)})")
        value = value[answer.member]
    elif value == {}:
        raise wrong_shape("it is an empty object")
    elif isinstance(value, dict) and any(is_failure(*member) for member in value.items()):
        raise wrong_shape(f"it names both a record and a failure ({outline(value)})")
    result = answer.read(value, ReadContext(zone, call.fields))
    if isinstance(value, dict):
        check_echo(value, call)
    if isinstance(result, Mapping):
        check_match(result, call.fields, answer.matches)
    return result


def _refuse_secret_id(new_id: str, redact: Redact) -> None:
    """Refuse a new id that repeats a secret of the request: ids are logged and stored unmasked."""
    if not new_id.isdigit() and redact(new_id) != new_id:
        raise wrong_shape("its new id has a secret of the request in it")


def _verdict(call: Call[Any], value: Any) -> Any:
    """Return the status of an answer: also an error if a success has the failure of a second API in it."""
    if not isinstance(value, dict):
        return None
    verdict = value.get("status")
    if not isinstance(verdict, str):
        return verdict
    verdict = verdict.strip().lower()
    if verdict == "success" and _has_failure(value):
        if call.endpoint.repeat is Repeat.UNSAFE:
            raise wrong_shape(f"it names both a success and a failure ({outline(value)})")
        return "error"
    return verdict


def _has_failure(value: dict[str, Any]) -> bool:
    if str(value.get("success", True)).strip().lower() in ("false", "0"):
        return True
    inner = [value.get(name) for name in ("error", "errors", "message", "success")]
    inner = [each for item in inner for each in (item if isinstance(item, list) else [item])]
    return any(isinstance(each, dict) and bool(_MARKS_OF_FAILURES & each.keys()) for each in inner)


def _json_or_none(body: bytes) -> Any:
    """Return the JSON of an error page, whatever follows it; ``None`` where there is none."""
    text = decode(body)
    start = find_root(text)
    try:
        return None if start is None else DECODER.raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None


def _passed_on_error(
    call: Call[Any], value: Any, status: int, headers: Mapping[str, str]
) -> CyTechBotError | None:
    """
    Return the error of Facebook in an answer that is neither a success nor a refusal of the API.

    A server can pass it on with Facebook's own HTTP status. A create that may have happened remains one.
    """
    value = {"error": value} if isinstance(value, list) else value
    if not isinstance(value, dict):
        return None
    if not call.is_repeatable:
        is_rejected = http_status.is_success(status) or status in http_status.REJECTED
        if not is_rejected or not can_be_facebooks(call) or _states_effect(call, value):
            return None
    error = {name: each for name, each in value.items() if name in _MEMBERS_OF_ERRORS}
    if not find_facebook_error(error, call.fields):
        return None
    return temporary_failure(call, error, retry_after=_retry_after(headers))


def _states_effect(call: Call[Any], value: Any) -> bool:
    """
    Return whether a body shows that the application ran and may have done what the call is for.

    A status such as 403 or 429 then comes from what checks answers on their way back.
    """
    if not isinstance(value, dict):
        return False
    answer = call.endpoint.answer
    is_success = str(value.get("status")).strip().lower() in ("success", "info") and not _has_failure(value)
    return is_success or bool(answer and answer.member and value.get(answer.member))


def _reports_none(answer: Answer[Any], value: dict[str, Any]) -> bool:
    """Return whether a refusal only means that the list is empty."""
    message = " ".join(message_of(value).split())
    return answer.none_found is not None and answer.none_found.casefold() == message.casefold()


def _read_write(value: Any, verdict: Any) -> WriteOutcome:
    if verdict not in ("success", "info"):
        raise wrong_shape(f"neither success nor an error ({outline(value)})")
    message = message_of(value)
    return WriteOutcome(changed=verdict == "success", message=message or None)


def _judge_refusal(call: Call[T], value: dict[str, Any], is_resend: bool, headers: Mapping[str, str]) -> T:
    """Return the outcome of a delete that an earlier attempt did; raise the error of any other refusal."""
    failure = refusal(call, value, is_resend=is_resend, retry_after=_retry_after(headers))
    is_gone = isinstance(failure, CyTechBotNotFoundError) and call.endpoint.repeat is Repeat.GONE_IS_DONE
    if is_gone and is_resend:
        return cast("T", WriteOutcome(changed=True, message=message_of(value)))
    raise failure


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
        f"the answer is not JSON but {describe_page(headers, text)}.",
        "Check the host in the connection: it should be the API's base URL.",
    )


def _not_the_api(
    call: Call[Any], value: Any, status: int, headers: Mapping[str, str], body: bytes, redact: Redact
) -> CyTechBotUnansweredError:
    """Return the error for an HTTP status that the API itself never answers with."""
    came = f"a web server or proxy answered HTTP {status}"
    was_rejected = status in http_status.REJECTED and not _states_effect(call, value)
    if http_status.is_transient(status):
        retry_after = _retry_after(headers)
        return CyTechBotTransportError(
            f"{came}{', an interim answer without a final one' if status < 200 else ''}.",
            "The server is overloaded or in trouble: try again later.",
            was_rejected=was_rejected,
            retry_after=retry_after,
            is_rate_limit=http_status.is_rate_limit(status, retry_after is not None),
        )
    if 300 <= status < 400:
        failure = CyTechBotResponseError(
            f"{came}, a redirect{_target(headers, redact)}, which is never followed.",
            "Put the address that answers without one into the connection's host.",
            was_rejected=was_rejected,
            is_transient=False,
        )
    else:
        text = body[: 4 * MAX_PAGE].decode(errors="replace")
        failure = CyTechBotResponseError(
            f"{came} with {describe_page(headers, text)}.",
            "Check the host in the connection, and any proxy in front of the server.",
            was_rejected=was_rejected,
            is_transient=False,
        )
    failure.concerns_every_row = True
    return failure


def _target(headers: Mapping[str, str], redact: Redact) -> str:
    """Return where a redirect leads, without user and query, which can hold the API key."""
    try:
        target = urlsplit(redact(header(headers, "location")))  # masked before anything cuts a key in two
    except ValueError:
        return ""
    host = target.netloc.rpartition("@")[2]
    address = f"{target.scheme}://{host}{target.path}" if host else target.path
    return f" to {address}" if address else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a ``Retry-After`` header, which may be a number or a date."""
    value = header(headers, "retry-after").strip()[:_MAX_RETRY_AFTER]
    try:
        if value.isascii() and value.isdigit():
            return float(value)
        moment = parsedate_to_datetime(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
