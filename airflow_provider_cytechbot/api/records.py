"""The records that answers carry, as the rest of the provider and its users see them.

A record holds the fields that the vendor's page names and no others (what a server adds may be private).
Ids are text, times ISO 8601 with the server's offset, zero dates ``None``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeAlias, TypedDict, TypeVar, cast, get_args, get_type_hints

from airflow_provider_cytechbot.api.errors import CyTechBotResponseError
from airflow_provider_cytechbot.api.json_text import FloatText, clean, json_type

Id: TypeAlias = Annotated[str, "id"]
OptionalId: TypeAlias = Annotated[str | None, "optional id"]
Text: TypeAlias = Annotated[str | None, "text"]
Time: TypeAlias = Annotated[str | None, "time"]
Day: TypeAlias = Annotated[str | None, "day"]

RecordT = TypeVar("RecordT")


class User(TypedDict):
    """A user of the platform: a member or an admin."""

    id: Id
    name: Text
    email: Text
    mobile: Text
    address: Text
    user_type: Text
    status: Text
    add_date: Time
    last_login_at: Time
    expired_date: Time
    package_id: OptionalId
    last_login_ip: Text


class Package(TypedDict):
    """What a member pays for: modules, a price, a validity in days."""

    id: Id
    package_name: Text
    module_ids: Text
    price: Text
    validity: Text
    deleted: Text
    visible: Text
    highlight: Text


class Subscriber(TypedDict):
    """A person who talks to a page's bot."""

    subscriber_id: Id
    labels: Text
    first_name: Text
    last_name: Text
    full_name: Text
    gender: Text
    locale: Text
    timezone: Text
    page_name: Text
    page_id: OptionalId
    unavailable: Text
    last_error_message: Text
    refferer_source: Text  # the vendor's spelling
    subscribed_at: Time
    email: Text
    phone_number: Text
    birthdate: Day
    last_subscriber_interaction_time: Time


class Label(TypedDict):
    """A label of a page, which subscribers are tagged with."""

    label_id: Id
    label_name: Text


class ContactGroup(TypedDict):
    """A group of contacts. Names are not unique."""

    id: Id
    user_id: OptionalId
    type: Text
    created_at: Time
    deleted: Text


class Contact(TypedDict):
    """A contact: an e-mail address or a phone number, in a contact group."""

    id: Id
    user_id: OptionalId
    contact_type_id: OptionalId
    first_name: Text
    last_name: Text
    phone_number: Text
    email: Text
    notes: Text
    unsubscribed: Text
    deleted: Text


class FlowCampaign(TypedDict):
    """A questionnaire that a bot walks its subscribers through."""

    id: Id
    flow_name: Text


class FlowCampaignQuestions(FlowCampaign):
    """A flow campaign with the text of its questions, in their order."""

    questions: list[str]


class FlowAnswer(TypedDict):
    """One subscriber's answer to one question."""

    question_id: OptionalId
    question: Text
    answer: Text


class SubscriberFlowAnswers(FlowCampaign):
    """What one subscriber answered."""

    data: list[FlowAnswer]


class FlowAnswers(FlowCampaign):
    """What each subscriber of a campaign answered, by subscriber id."""

    data: dict[str, list[FlowAnswer]]


class FlowAnswerRow(TypedDict):
    """One answer in the long layout: a row of an export."""

    flow_campaign_id: str
    flow_name: str | None
    subscriber_id: str
    question_id: str | None
    question: str | None
    answer: str | None
    extracted_at: str


class WriteOutcome(NamedTuple):
    """
    What a write that makes nothing new was answered with.

    :param changed: ``False`` where the server says that there was nothing to change (its status ``info``).
    :param message: The server's words, where it had any.
    """

    changed: bool
    message: str | None


@dataclass(frozen=True)
class ReadContext:
    """
    What one needs to know beside the JSON to read a record.

    :param zone: The zone of the server's naive times.
    :param fields: The fields that the call was made with.
    """

    zone: tzinfo
    fields: Mapping[str, str]


Decoder: TypeAlias = Callable[[Any, ReadContext], RecordT]


def record(shape: type[RecordT]) -> Decoder[RecordT]:
    """
    Return a reader of one JSON object into the given ``TypedDict``.

    :param shape: A ``TypedDict`` whose fields are annotated with the kinds above.
    """

    @cache
    def kinds() -> dict[str, str]:
        # It takes a while: with the first record, and not when a DAG file is read.
        hints = get_type_hints(shape, include_extras=True)
        return {name: get_args(hint)[1] for name, hint in hints.items()}

    def read(value: Any, reading: ReadContext) -> RecordT:
        item = _object(value)
        return cast(
            "RecordT",
            {name: _READ_FIELD[kind](name, item.get(name), reading) for name, kind in kinds().items()},
        )

    return read


def list_of(read_item: Decoder[RecordT]) -> Decoder[list[RecordT]]:
    """
    Return a reader of a JSON list; ``null`` is read as an empty one.

    :param read_item: The reader of one element.
    """

    def read(value: Any, reading: ReadContext) -> list[RecordT]:
        if value is None:
            return []
        if value and isinstance(value, dict) and list(value) == [str(at) for at in range(len(value))]:
            value = list(value.values())  # PHP encodes a list with gaps in its past as an object
        if not isinstance(value, list):
            raise wrong_shape(f"a list was expected, not {json_type(value)}")
        return [read_item(item, reading) for item in value]

    return read


def read_new_id(value: Any, reading: ReadContext) -> str:
    """Read the id of what a create made: a number for some endpoints, text for others."""
    new_id = _read_id("the new id", value, reading)
    if new_id == "0":  # what the database gives for the id of a row that it did not insert
        raise wrong_shape("the new id is 0")
    return new_id


def read_questions(value: Any, reading: ReadContext) -> FlowCampaignQuestions:
    """Read a flow campaign with its questions, each a text."""
    questions = list_of(_read_question)(_member(value, "questions"), reading)
    return {**_read_campaign(value, reading), "questions": questions}


def read_subscriber_flow_answers(value: Any, reading: ReadContext) -> SubscriberFlowAnswers:
    """Read one subscriber's answers; ``data`` is empty where there are none yet."""
    data = read_answers(_member(value, "data") or [], reading)
    return {**_read_campaign_asked_for(value, reading), "data": data}


def read_flow_answers(value: Any, reading: ReadContext) -> FlowAnswers:
    """Read all answers of a campaign; ``data`` is an empty *list* on the wire where nobody answered."""
    data = _member(value, "data") or {}
    if not isinstance(data, dict):
        raise wrong_shape(f"'data' should be an object of subscribers, not {json_type(data)}")
    answers = {clean(subscriber_id): read_answers(items, reading) for subscriber_id, items in data.items()}
    return {**_read_campaign_asked_for(value, reading), "data": answers}


def wrong_shape(problem: str) -> CyTechBotResponseError:
    """
    Return the error for JSON that is not what the endpoint answers with.

    :param problem: What was found, without any of the answer's content.
    """
    return CyTechBotResponseError(
        f"the answer has the wrong shape: {problem}.",
        "If this goes on, the server has another version of the API.",
        is_transient=False,
    )


def _read_answer(value: Any, reading: ReadContext) -> FlowAnswer:
    item = _object(value)
    question_id = item.get("id") if item.get("question_id") is None else item["question_id"]
    return {
        "question_id": _read_optional_id("question_id", question_id, reading),
        "question": _read_text("question", item.get("question"), reading),
        "answer": _read_text("answer", item.get("answer"), reading),
    }


#: Reads a list of answers, whose question ids come as ``question_id`` or as ``id``.
read_answers = list_of(_read_answer)


def _read_question(value: Any, reading: ReadContext) -> str:
    return _read_text("questions", value, reading) or ""


def _read_campaign_asked_for(value: Any, reading: ReadContext) -> FlowCampaign:
    # The id is null where nobody has answered, though the campaign exists: it is the one that was asked for.
    item = _object(value)
    return _read_campaign({**item, "id": item.get("id") or reading.fields["flow_campaign_id"]}, reading)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong_shape(f"an object was expected, not {json_type(value)}")
    return value


def _member(value: Any, name: str) -> Any:
    """Return what must be there, even if it is empty: something else's answer is not an empty campaign."""
    item = _object(value)
    if name not in item:
        raise wrong_shape(f"it has no {name!r}")
    return item[name]


def _read_id(name: str, value: Any, reading: ReadContext) -> str:
    if not isinstance(value, str) or not value.strip():
        raise wrong_shape(f"{name!r} should be an id, not {json_type(value) if value != '' else 'empty'}")
    if isinstance(value, FloatText) or value.lstrip().startswith("-"):
        raise _rounded(name)
    return clean(value.strip())


def _rounded(name: str) -> CyTechBotResponseError:
    return wrong_shape(f"{name!r} should be an id, not a number with a sign, a fraction or an exponent")


def _read_optional_id(name: str, value: Any, reading: ReadContext) -> str | None:
    if isinstance(value, FloatText):
        raise _rounded(name)
    return _read_text(name, value, reading)


def _read_text(name: str, value: Any, reading: ReadContext) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "1" if value else "0"
    # As plain text: encoders refuse what a fraction is read as.
    return clean(str(value)) if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _read_date_text(name: str, value: Any, reading: ReadContext) -> str | None:
    """Return the text of a date or time; ``None`` also for the zero date, which MySQL has for none."""
    text = (_read_text(name, value, reading) or "").strip()
    return None if text.startswith("0000-00-00") else text or None


def _read_time(name: str, value: Any, reading: ReadContext) -> str | None:
    text = _read_date_text(name, value, reading)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=reading.zone)).isoformat()
    except (ValueError, OverflowError):
        raise wrong_shape(f"{name!r} should be a time") from None


def _read_day(name: str, value: Any, reading: ReadContext) -> str | None:
    text = _read_date_text(name, value, reading)
    if text is None:
        return None
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        return text  # people's own birthdates: better odd than lost


_READ_FIELD: Mapping[str, Callable[[str, Any, ReadContext], str | None]] = {
    "id": _read_id,
    "optional id": _read_optional_id,
    "text": _read_text,
    "time": _read_time,
    "day": _read_day,
}
_read_campaign = record(FlowCampaign)
