"""What a refusal of the API means: a wrong key, an unknown id, a failure that passes, or a bad field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAuthError,
    CyTechBotError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotResponseError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.api.facebook_errors import (
    FacebookError,
    can_be_facebooks,
    find_facebook_error,
    is_limit_in_words,
    without_values,
)
from airflow_provider_cytechbot.api.messages import message_of, quote

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.endpoints import Endpoint

_BAD_KEY = re.compile(
    r"member validity expired"
    r"|\bapi[ _-]?key\b.{0,40}\b(?:invalid|required|missing|expired|wrong|unknown|incorrect|disabled|revoked"
    r"|not (?:found|valid|exist))"
    r"|\b(?:invalid|wrong|unknown|missing|expired|incorrect) api[ _-]?key\b",
    re.IGNORECASE,
)
#: The database refuses the connection, before the application does anything.
_NOT_STARTED = re.compile(r"too many (?:\w{1,20} )?connections|max_user_connections", re.IGNORECASE)
#: The server's own words for a failure that passes.
_TEMPORARY = re.compile(
    r"(?:database|server|service|system|table)\b.{0,30}\b(?:busy|locked|overloaded|unavailable|gone away)"
    r"|deadlock|lock wait timeout|lost connection"
    r"|temporar(?:y|ily)\b.{0,30}\b(?:unavailable|failure|error|problem|disabled|down)"
    r"|\b(?:try|retry)\b.{0,30}\b(?:later|in a (?:moment|minute|while|few))|under maintenance"
    # PHP's words for a server that it calls itself, such as Facebook's, and does not reach.
    r"|\b(?:timed out|could ?n[o']t resolve host|could not resolve host|connection refused|connection reset"
    r"|failed to connect|empty reply from server|(?:ssl|tls) connect(?:ion)? error)\b",
    re.IGNORECASE,
)

#: Words of an application, its framework or its database that ended in the middle of their work.
_FAILED_MIDWAY = re.compile(
    r"maximum execution time|allowed memory size|out of memory|went wrong|\bsqlstate\b|stack trace"
    r"|\binternal (?:server )?error|\b(?:database|query|sql|syntax) error|\btime ?out\b"
    r"|\b(?:unexpected|unknown|unhandled|uncaught|fatal) (?:\w{1,20} )?(?:error|exception)"
    r"|\berrors? (?:(?:has|have|was|were) )?(?:occurr?ed|encountered)",
    re.IGNORECASE,
)

#: The longest value of a field in an error, in characters.
MAX_VALUE = 60

#: What messages call a thing other than by the name of its field.
_OTHER_NAMES = {
    "contact type": "contact group|group|contact",
    "flow campaign": "user input flow|flow|campaign",
}
_WITH_ID = r"(?: (?:with|by|for|having)(?: (?:the|this|that|given|an?))*(?: (?:ids?|e ?mail(?: address)?))?)?"
_ARTICLES = r"(?:(?:the|this|that|an?|any|given|requested|specified|provided|selected|sorry) )*"
_IS_NOT_THERE = (
    r"(?:(?:does|do|did) ?(?:not|n ?t) exists?|no longer exists?|is not exists?|is unknown"
    r"|(?:(?:was|is|were|are|has|have|could|can) ?)?(?:not|n ?t|t)(?: been| be)? found)"
)
_PREFIX_OF_FACEBOOK = re.compile(r"\A\s*\(#\d{1,6}\)")
_NUMBER = re.compile(r"(?<!\w)\d+(?!\w)")
_PUNCTUATION = re.compile(r"[\s\"'\u2019`()\[\]{}:;.,!#<>=-]+")


def refusal(
    call: Call[Any], answer: dict[str, Any], *, is_resend: bool, retry_after: float | None
) -> CyTechBotError:
    """
    Return the error that an answer with the status ``error`` means.

    :param call: The call that was refused.
    :param answer: The answer.
    :param is_resend: Whether the same call was sent before and its answer lost.
    :param retry_after: The wait that the answer's headers name, in seconds.
    """
    message = message_of(answer)
    reason = f"the API refused: {quote(message)}."
    if _BAD_KEY.search(message):
        needs = " This endpoint needs an admin's key." if call.endpoint.admin else ""
        return CyTechBotAuthError(
            reason, f"Check the API key in the connection and the member's validity.{needs}"
        )
    if temporary := temporary_failure(call, answer, retry_after=retry_after):
        return temporary
    if names_unknown_id(message, call.endpoint, call.fields):
        return CyTechBotNotFoundError(reason, _lookup_hint(call))
    if not call.is_repeatable and _FAILED_MIDWAY.search(without_values(message, call.fields)):
        reason = f"the server failed, perhaps after it had done it: {quote(message)}."
        return CyTechBotResponseError(reason, is_transient=False)
    if is_resend:
        # Some installations refuse an e-mail address that the contact itself got from the lost attempt.
        hint = "An earlier attempt, whose answer was lost, may have done it: look before you call again."
        return CyTechBotRequestError(reason, hint)
    ids = ", ".join(_lookups(call))
    return CyTechBotRequestError(reason, f"Check the fields of the call{f' ({ids})' if ids else ''}.")


def temporary_failure(
    call: Call[Any], answer: dict[str, Any], *, retry_after: float | None
) -> CyTechBotError | None:
    """
    Return the error of a refusal that is not about this call alone; ``None`` for any other.

    :param call: The call that was refused.
    :param answer: The answer.
    :param retry_after: The wait that the answer's headers name, in seconds.
    """
    message = message_of(answer)
    reason = f"the API refused: {quote(message)}."
    facebook = find_facebook_error(answer, call.fields)
    if facebook is FacebookError.PAGE_ACCESS:
        return CyTechBotAuthError(
            f"Facebook refused the page's connection: {quote(message)}.",
            "The page's access token has expired or lacks a permission: reconnect the page in the CyTechBot "
            "dashboard.",
        )
    if facebook is FacebookError.RATE_LIMIT:
        return CyTechBotTransportError(
            reason,
            "Facebook limits the rate of requests: try again later, with fewer requests per second.",
            was_rejected=can_be_facebooks(call) or is_limit_in_words(message),
            is_rate_limit=True,
            retry_after=retry_after,
        )
    text = without_values(message, call.fields)
    is_not_started = bool(_NOT_STARTED.search(text))
    if facebook is FacebookError.TRANSIENT or is_not_started or _TEMPORARY.search(text):
        source = "Facebook" if facebook else "the server"
        return CyTechBotTransportError(
            reason,
            f"This is a temporary failure of {source}: try again later.",
            was_rejected=is_not_started and not facebook,
            retry_after=retry_after,
        )
    return None


def _lookup_hint(call: Call[Any]) -> str:
    """Return a hint with the ids that were looked up: the server's text can name another one."""
    texts = _lookups(call)
    if len(texts) < 2:
        return f"Nothing was found for {''.join(texts)}: check it."
    return f"Nothing was found for {', '.join(texts[:-1])} or {texts[-1]}: check them."


def _lookups(call: Call[Any]) -> list[str]:
    return [f"{name} {_shorten(text)!r}" for name, text in call.lookup_fields.items()]


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def names_unknown_id(message: str, endpoint: Endpoint[Any], fields: Mapping[str, str]) -> bool:
    """
    Return whether a message states that an id of the call does not exist, and nothing else.

    "Table 'contacts' does not exist" and "Page not found" are other failures than an unknown contact.

    :param message: The server's message.
    :param endpoint: What was called. Its ids have the names of what they identify: ``contact_id``.
    :param fields: The fields of the call. Their values can stand in the message.
    """
    ids = tuple(each.name for each in endpoint.fields if each.is_id)
    text = _PREFIX_OF_FACEBOOK.sub("", message)
    for name in (*ids, "email"):
        if value := fields.get(name):
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", " ", text, flags=re.IGNORECASE)
    text = _PUNCTUATION.sub(" ", _NUMBER.sub(" ", text)).strip().lower()
    return bool(ids) and len(text) <= _MAX_SENTENCE and bool(_unknown_id(ids).fullmatch(text))


#: A longer sentence has a further reason.
_MAX_SENTENCE = 120


@lru_cache(maxsize=64)
def _unknown_id(ids: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of sentences about an unknown id, without punctuation and the id itself."""
    names = [name.rpartition("_")[0].replace("_", " ") for name in ids]
    names += [_OTHER_NAMES[name] for name in names if name in _OTHER_NAMES]
    thing = rf"(?:{'|'.join(names).replace(' ', '[ _]?')})s?(?:[ _]ids?)?"
    return re.compile(
        rf"{_ARTICLES}{thing}{_WITH_ID} {_IS_NOT_THERE}{_WITH_ID}"
        rf"|(?:there (?:is|was|are) )?no (?:(?:such|matching|existing) {thing}"
        rf"|(?:(?:such|matching|existing) )?{thing}(?: (?:was|were|is))? (?:found|exists?)){_WITH_ID}"
        rf"|unknown {thing}"
    )
