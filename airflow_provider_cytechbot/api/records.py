"""The records that answers carry.

A record has the fields of the vendor's page and no others, because what a server adds can be private. Ids
are text, times ISO 8601 with the server's offset, zero dates ``None``. Each field is annotated with its kind,
from which ``decoders`` derives how it is read.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias, TypedDict

Id: TypeAlias = Annotated[str, "id"]
OptionalId: TypeAlias = Annotated[str | None, "optional id"]
Text: TypeAlias = Annotated[str | None, "text"]
Time: TypeAlias = Annotated[str | None, "time"]
Day: TypeAlias = Annotated[str | None, "day"]


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
    """A package that a member pays for: modules, a price, a validity in days."""

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
    """The answers of one subscriber."""

    data: list[FlowAnswer]


class FlowAnswers(FlowCampaign):
    """The answers of all subscribers of a campaign, by subscriber id."""

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
    The outcome of a write that makes nothing new.

    :param changed: ``False`` where there was nothing to change (the server's status ``info``).
    :param message: The server's message, if any.
    """

    changed: bool
    message: str | None
