"""Whether an answer is about the record that was requested."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.errors import CyTechBotResponseError

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call


def check_match(record: Mapping[str, object], fields: Mapping[str, str], matches: Mapping[str, str]) -> None:
    """
    Refuse a record that names another id than the request. One that names none is accepted.

    :param record: The record.
    :param fields: The fields of the request.
    :param matches: Members of the record, with the field of the request that each must equal.
    :raises CyTechBotResponseError: The answer belongs to another request.
    """
    for member, field in matches.items():
        answered, requested = record.get(member), fields.get(field)
        if requested is not None and isinstance(answered, str) and not is_same(answered, requested):
            raise mismatch(member, field)


def check_echo(answer: Mapping[str, object], call: Call[Any]) -> None:
    """
    Refuse an answer that repeats an id or e-mail address of the request under its name, with another value.

    :param answer: A JSON object of the answer.
    :param call: The call.
    :raises CyTechBotResponseError: The answer belongs to another request.
    """
    names = {
        each.name: each.name for each in call.endpoint.fields if each.is_single_id or each.name == "email"
    }
    check_match(answer, call.fields, names)


def is_same(answered: str, requested: str) -> bool:
    """
    Return whether an id or address in an answer can be the requested one, as the server compares them.

    :param answered: The answer's; empty where it names none.
    :param requested: The request's.
    """
    return not answered.strip() or _comparable(answered) == _comparable(requested)


def mismatch(member: str, field: str) -> CyTechBotResponseError:
    """
    Return the error for an answer to another request.

    :param member: The member of the answer.
    :param field: The field of the request.
    """
    return CyTechBotResponseError(
        f"the answer belongs to another request: its {member!r} is not the requested {field!r}.",
        "If this goes on, a cache or proxy in front of the server mixes up answers.",
    )


def _comparable(text: str) -> str:
    """Return a text without what MySQL ignores in comparisons: case, accents, spaces at the ends."""
    text = text.strip()
    if not text.isascii():
        text = "".join(filter(_is_base, unicodedata.normalize("NFKD", text)))
    text = text.casefold()
    return text.lstrip("0") if text.isascii() and text.isdigit() else text


def _is_base(character: str) -> bool:
    return not unicodedata.combining(character)
