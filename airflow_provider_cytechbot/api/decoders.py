"""Decoders: functions that read the JSON of an answer into a record."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from functools import cache
from typing import Any, TypeAlias, TypeVar, cast, get_args, get_type_hints

from airflow_provider_cytechbot.api.errors import CyTechBotResponseError
from airflow_provider_cytechbot.api.json_text import FloatText, clean, json_type
from airflow_provider_cytechbot.api.records import (
    FlowAnswer,
    FlowAnswers,
    FlowCampaign,
    FlowCampaignQuestions,
    SubscriberFlowAnswers,
)
from airflow_provider_cytechbot.api.times import parse_day, parse_time

RecordT = TypeVar("RecordT")

log = logging.getLogger(__name__)

#: Texts of numbers, not of ids: the digits were rounded, and different ids may have become one.
_ROUNDED_ID = re.compile(r"-\d.*|\+?\d+[.]\d*(?:[eE][+-]?\d+)?|\+?\d+[eE][+]\d+", re.ASCII)

_ANSWER_FIELDS = frozenset({"question_id", "id", "question", "answer"})


@dataclass(frozen=True)
class ReadContext:
    """
    The context in which the JSON of an answer is read.

    :param zone: The zone of the server's naive times.
    :param fields: The fields of the call.
    """

    zone: tzinfo
    fields: Mapping[str, str]


Decoder: TypeAlias = Callable[[Any, ReadContext], RecordT]


def record(shape: type[RecordT]) -> Decoder[RecordT]:
    """
    Return a decoder of one JSON object into a record. PHP can write one row as a list of one row.

    :param shape: A ``TypedDict`` of :mod:`.records`.
    """
    kinds = _kinds_of(shape)

    def read(value: Any, context: ReadContext) -> RecordT:
        item = _object(_only_row(value))
        return cast(
            "RecordT",
            {name: _READ_FIELD[kind](name, item.get(name), context) for name, kind in kinds().items()},
        )

    return read


def records(shape: type[RecordT]) -> Decoder[list[RecordT]]:
    """
    Return a decoder of a JSON list of records; ``null`` is read as an empty list.

    Elements without an id, such as rows that a join of the server left empty, are skipped and logged. PHP
    writes an empty row as ``[]``, and one that was not found as ``false``.

    :param shape: A ``TypedDict`` of :mod:`.records`.
    """
    kinds, read_record = _kinds_of(shape), record(shape)

    def read(value: Any, context: ReadContext) -> list[RecordT]:
        id_name = next(name for name, kind in kinds().items() if kind == "id")
        items = _without_empty(_list(value), lambda item: _has_no_id(item, id_name), "id")
        return [read_record(item, context) for item in items]

    return read


def read_new_id(value: Any, context: ReadContext) -> str:
    """Read the id of a created object: a number for some endpoints, text for others."""
    new_id = _read_id("the new id", value, context)
    if new_id == "0":  # MySQL's last insert id after no insert
        raise wrong_shape("the new id is 0")
    return new_id


def read_questions(value: Any, context: ReadContext) -> FlowCampaignQuestions:
    """Read a flow campaign with its questions, each a text."""
    items = _list(_member(value, "questions"))
    questions = [_read_text("questions", item, context) or "" for item in items]
    return {**_read_campaign(value, context), "questions": questions}


def read_subscriber_flow_answers(value: Any, context: ReadContext) -> SubscriberFlowAnswers:
    """Read the answers of one subscriber; ``data`` is empty where there are none yet."""
    data = read_answers(_member(value, "data"), context)
    return {**_read_requested_campaign(value, context), "data": data}


def read_flow_answers(value: Any, context: ReadContext) -> FlowAnswers:
    """Read all answers of a campaign; ``data`` is an empty *list* in the JSON where nobody answered."""
    data = _member(value, "data") or {}
    if not isinstance(data, dict):
        raise wrong_shape(f"'data' should be an object of subscribers, not {json_type(data)}")
    subscribers = _without_empty(list(data), is_empty_id, "subscriber id")
    for each in subscribers:
        check_subscriber_id(each)
    answers = {clean(each): read_answers(data[each], context) for each in subscribers}
    return {**_read_requested_campaign(value, context), "data": answers}


def read_answers(value: Any, context: ReadContext) -> list[FlowAnswer]:
    """Read a list of answers, whose question ids come as ``question_id`` or as ``id``."""
    rows = [] if value in (False, "") else _list(value)
    items = _without_empty(rows, _is_empty_row, "answer")
    return [_read_answer(item, context) for item in items]


def is_empty_id(value: Any) -> bool:
    """
    Return whether an id of an answer is ``null``, ``false`` or blank. PHP writes ``null`` as a key as "".

    :param value: The JSON value.
    """
    return value is None or value is False or (isinstance(value, str) and not value.strip())


def log_skipped(count: int, member: str) -> None:
    """
    Log that elements of an answer are skipped.

    :param count: The number of elements.
    :param member: What they lack.
    """
    log.warning("Skipped elements of the answer without %s: %d.", member, count)


def wrong_shape(problem: str) -> CyTechBotResponseError:
    """
    Return the error for JSON that is not the endpoint's.

    :param problem: What was found, without any content of the answer.
    """
    return CyTechBotResponseError(
        f"the answer has the wrong shape: {problem}.",
        "If this goes on, the server has another version of the API.",
        is_transient=False,
    )


def not_utf8() -> CyTechBotResponseError:
    """Return the error for an answer whose characters are lost."""
    return CyTechBotResponseError(
        "the answer has text that is not UTF-8.",
        "Let the server send UTF-8, or name ISO-8859-1 or Windows-1252 in its Content-Type.",
        is_transient=False,
    )


def _kinds_of(shape: type) -> Callable[[], dict[str, str]]:
    """Return a function that returns the kind of each field. It is slow, and so not called by DAG files."""

    @cache
    def kinds() -> dict[str, str]:
        hints = get_type_hints(shape, include_extras=True)
        return {name: get_args(hint)[1] for name, hint in hints.items()}

    return kinds


def _list(value: Any) -> list[Any]:
    """Return the elements of a list, which PHP encodes as an object if its keys are not 0, 1, 2, ..."""
    if value is None:
        return []
    if isinstance(value, dict) and all(name.isascii() and name.isdigit() for name in value):
        return list(value.values())
    if not isinstance(value, list):
        raise wrong_shape(f"a list was expected, not {json_type(value)}")
    return value


def _without_empty(items: list[Any], is_empty: Callable[[Any], bool], member: str) -> list[Any]:
    """Return the elements that are not empty, if there are any; an answer of empty ones alone is wrong."""
    kept = [item for item in items if not is_empty(item)]
    if items and not kept:
        raise wrong_shape(f"no element of a list has the {member}")
    if len(kept) < len(items):
        log_skipped(len(items) - len(kept), member)
    return kept


def _has_no_id(item: Any, id_name: str) -> bool:
    return _is_empty_row(item) or (isinstance(item, dict) and is_empty_id(item.get(id_name)))


def _is_empty_row(item: Any) -> bool:
    return item in (None, False, "", [], {})


def _read_answer(value: Any, context: ReadContext) -> FlowAnswer:
    item = _object(value)
    if _ANSWER_FIELDS.isdisjoint(item):  # a file full of nulls would look like an export
        raise wrong_shape("an answer has neither a question id, nor a question, nor an answer")
    question_id = item.get("id") if item.get("question_id") is None else item["question_id"]
    return {
        "question_id": _read_optional_id("question_id", question_id, context),
        "question": _read_text("question", item.get("question"), context),
        "answer": _read_text("answer", item.get("answer"), context),
    }


def _read_requested_campaign(value: Any, context: ReadContext) -> FlowCampaign:
    # The id is null where nobody has answered, though the campaign exists: then the requested id is its id.
    item = _object(value)
    return _read_campaign({**item, "id": item.get("id") or context.fields["flow_campaign_id"]}, context)


def _only_row(value: Any) -> Any:
    """Return the row of a list of one row, which PHP can also write as an object; else the value itself."""
    rows = list(value.values()) if isinstance(value, dict) and list(value) == ["0"] else value
    return rows[0] if isinstance(rows, list) and len(rows) == 1 and isinstance(rows[0], dict) else value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong_shape(f"an object was expected, not {json_type(value)}")
    return value


def _member(value: Any, name: str) -> Any:
    """Return a member that must be there, even if it is empty: another answer is not an empty campaign."""
    item = _object(value)
    if name not in item:
        raise wrong_shape(f"it has no {name!r}")
    return item[name]


def _read_id(name: str, value: Any, context: ReadContext) -> str:
    if not isinstance(value, str) or not value.strip():
        raise wrong_shape(f"{name!r} should be an id, not {json_type(value) if value != '' else 'empty'}")
    if isinstance(value, FloatText) or is_rounded_id(value):
        raise _rounded(name)
    return clean(value.strip())


def is_rounded_id(text: str) -> bool:
    """
    Return whether an id of an answer is the text of a number with a sign, a fraction or an exponent.

    :param text: The id.
    """
    return not text.isdigit() and bool(_ROUNDED_ID.fullmatch(text.strip()))


def check_subscriber_id(subscriber_id: str) -> None:
    """
    Check the id of a subscriber that has answers.

    :param subscriber_id: The id, which the server wrote as the name of a member.
    :raises CyTechBotResponseError: Its digits were rounded.
    """
    if is_rounded_id(subscriber_id):
        raise _rounded("subscriber_id")


def _rounded(name: str) -> CyTechBotResponseError:
    return wrong_shape(f"{name!r} should be an id, not a number with a sign, a fraction or an exponent")


def _read_optional_id(name: str, value: Any, context: ReadContext) -> str | None:
    if isinstance(value, FloatText):
        raise _rounded(name)
    return _read_text(name, value, context)


def _read_text(name: str, value: Any, context: ReadContext) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "1" if value else "0"
    # As a plain str: encoders refuse FloatText.
    return clean(str(value)) if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _read_date_text(name: str, value: Any, context: ReadContext) -> str | None:
    """Return the text of a date or time; ``None`` also for the zero date, which is MySQL's ``NULL``."""
    text = (_read_text(name, value, context) or "").strip()
    return None if text.startswith("0000-00-00") else text or None


def _read_time(name: str, value: Any, context: ReadContext) -> str | None:
    text = _read_date_text(name, value, context)
    if text is None:
        return None
    try:
        return parse_time(text, context.zone)
    except ValueError:
        raise wrong_shape(f"{name!r} should be a time") from None


def _read_day(name: str, value: Any, context: ReadContext) -> str | None:
    text = _read_date_text(name, value, context)
    if text is None:
        return None
    try:
        return parse_day(text)
    except ValueError:
        return text  # a birthdate as a person typed it


_READ_FIELD: Mapping[str, Callable[[str, Any, ReadContext], str | None]] = {
    "id": _read_id,
    "optional id": _read_optional_id,
    "text": _read_text,
    "time": _read_time,
    "day": _read_day,
}
_read_campaign = record(FlowCampaign)
