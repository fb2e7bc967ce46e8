"""The 20 endpoints of the CyTechBot API, each declared once as data. Everything else is derived from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, Literal, TypeVar

from airflow_provider_cytechbot.api import decoders, records
from airflow_provider_cytechbot.api.decoders import record
from airflow_provider_cytechbot.api.fields import (
    Field,
    day,
    email,
    id_list,
    identifier,
    lines,
    number,
    password,
    phone_number,
    text,
)

T = TypeVar("T")


class Repeat(Enum):
    """The effect of a second, identical call."""

    SAFE = "the same again"
    #: The second answer is that the object does not exist: the wanted state, if the first answer was lost.
    GONE_IS_DONE = "the same again, but refused"
    UNSAFE = "something is made twice, or refused because it exists"


@dataclass(frozen=True)
class Answer(Generic[T]):
    """
    The content of an answer to a call that succeeded.

    :param read: The decoder.
    :param member: The member of the JSON object that has the content; ``None`` where the JSON is the content,
        without a ``status``.
    :param none_found: The message of a refusal that stands for an empty list.
    :param matches: Members of the record that must equal a field of the request, wherever both are there.
    """

    read: decoders.Decoder[T]
    member: str | None = None
    none_found: str | None = None
    matches: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint(Generic[T]):
    """
    One endpoint.

    :param verb: ``GET`` carries its fields in the query string, ``POST`` in the form body.
    :param path: Below the base URL; ``{name}`` stands for a field that travels in the path.
    :param answer: The content of a success; ``None`` for a write that makes nothing new.
    :param fields: The fields, without the API key.
    :param repeat: The effect of a second, identical call.
    :param one_of: Fields of which exactly one is needed.
    :param any_of: Fields of which at least one is needed.
    :param admin: Whether the key must be an admin's.
    :param drops_falsy: Whether the server ignores an empty text or ``0``, so that no field can be set to it.
    :param slow: Whether the first byte can take minutes, and costs the server as much each time.
    :param how_to_check: For a create: a way to find out whether a lost one happened.
    :param log_text: For a write: the text of its log line, with fields of the call in braces.
    """

    verb: Literal["GET", "POST"]
    path: str
    answer: Answer[T] | None
    fields: tuple[Field, ...] = ()
    repeat: Repeat = Repeat.SAFE
    one_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    admin: bool = False
    drops_falsy: bool = False
    slow: bool = False
    how_to_check: str = ""
    log_text: str = ""

    @property
    def name(self) -> str:
        """The vendor's name: the first part of the path."""
        return self.path.split("/")[0]


GET_USER = Endpoint(
    "GET",
    "get_user_info/",
    Answer(record(records.User), "user_info", matches={"id": "user_id", "email": "email"}),
    fields=(number("user_id", required=False), email("email", required=False)),
    one_of=("user_id", "email"),
    admin=True,
)
CREATE_USER = Endpoint(
    "POST",
    "create_system_user",
    Answer(decoders.read_new_id, "id"),
    log_text="Created user {email!r}",
    fields=(
        text("name"),
        email("email"),
        password("password"),
        number("package_id"),
        day("expired_date"),
        phone_number("mobile", required=False),
        lines("address", required=False),
    ),
    repeat=Repeat.UNSAFE,
    admin=True,
    how_to_check="Look for the user by e-mail address: get_user(email=...) finds it if it was made.",
)
UPDATE_USER: Endpoint[records.WriteOutcome] = Endpoint(
    "POST",
    "update_user/{user_id}",
    None,
    log_text="Updated user {user_id}",
    fields=(
        number("user_id"),
        text("name", required=False),
        phone_number("mobile", required=False),
        lines("address", required=False),
        number("package_id", required=False),
        day("expired_date", required=False),
        text("status", required=False),
    ),
    any_of=("name", "mobile", "address", "package_id", "expired_date", "status"),
    admin=True,
    drops_falsy=True,
)
GET_PACKAGES = Endpoint(
    "GET", "get_all_packages/", Answer(decoders.records(records.Package), "packages"), admin=True
)

GET_SUBSCRIBER = Endpoint(
    "GET",
    "subscriber_information/",
    Answer(record(records.Subscriber), "subscriber_info", matches={"subscriber_id": "subscriber_id"}),
    fields=(identifier("subscriber_id"),),
)

GET_LABELS = Endpoint(
    "GET",
    "get_all_labels/",
    Answer(decoders.records(records.Label), "label_info", none_found="No Matching Label Found"),
    fields=(identifier("page_id"),),
)
CREATE_LABEL = Endpoint(
    "POST",
    "create_label",
    Answer(decoders.read_new_id, "label_id"),
    log_text="Created label {label_name!r} of page {page_id}",
    fields=(text("label_name"), identifier("page_id")),
    repeat=Repeat.UNSAFE,
    how_to_check="Look for the label by name: get_labels(page_id) lists it if it was made.",
)
ASSIGN_LABELS: Endpoint[records.WriteOutcome] = Endpoint(
    "POST",
    "assign_label",
    None,
    log_text="Assigned labels {label_ids} of page {page_id} to subscriber {subscriber_id}",
    fields=(identifier("page_id"), identifier("subscriber_id"), id_list("label_ids")),
)

GET_CONTACT_GROUP = Endpoint(
    "GET",
    "get_contact_group/",
    Answer(record(records.ContactGroup), matches={"id": "contact_type_id"}),
    fields=(number("contact_type_id"),),
)
CREATE_CONTACT_GROUP = Endpoint(
    "POST",
    "create_contact_group",
    Answer(decoders.read_new_id, "contact_type_id"),
    log_text="Created contact group {name!r}",
    fields=(text("name"),),
    repeat=Repeat.UNSAFE,
    how_to_check="The API cannot list contact groups: look for the name in the CyTechBot dashboard.",
)
UPDATE_CONTACT_GROUP: Endpoint[records.WriteOutcome] = Endpoint(
    "POST",
    "update_contact_group/{contact_type_id}",
    None,
    log_text="Updated contact group {contact_type_id}",
    fields=(number("contact_type_id"), text("name")),
    drops_falsy=True,
)
DELETE_CONTACT_GROUP: Endpoint[records.WriteOutcome] = Endpoint(
    "POST",
    "delete_contact_group",
    None,
    log_text="Deleted contact group {contact_type_id}",
    fields=(number("contact_type_id"),),
    repeat=Repeat.GONE_IS_DONE,
)

GET_CONTACT = Endpoint(
    "GET",
    "get_contact/",
    Answer(record(records.Contact), matches={"id": "contact_id"}),
    fields=(number("contact_id"),),
)
CREATE_CONTACT = Endpoint(
    "POST",
    "create_contact",
    Answer(decoders.read_new_id, "new_contact_id"),
    log_text="Created contact in contact group {contact_type_id}",
    fields=(
        number("contact_type_id"),
        email("email", required=False),
        phone_number("phone_number", required=False),
        text("first_name", required=False),
        text("last_name", required=False),
    ),
    repeat=Repeat.UNSAFE,
    any_of=("email", "phone_number"),
    how_to_check="The API cannot search contacts: look in its contact group in the CyTechBot dashboard.",
)
UPDATE_CONTACT: Endpoint[records.WriteOutcome] = Endpoint(
    "POST",
    "update_contact/{contact_id}",
    None,
    log_text="Updated contact {contact_id}",
    fields=(
        number("contact_id"),
        email("email", required=False),
        phone_number("phone_number", required=False),
        text("first_name", required=False),
        text("last_name", required=False),
    ),
    any_of=("email", "phone_number", "first_name", "last_name"),
    drops_falsy=True,
)
DELETE_CONTACT: Endpoint[records.WriteOutcome] = Endpoint(
    "POST",
    "delete_contact",
    None,
    log_text="Deleted contact {contact_id}",
    fields=(number("contact_id"),),
    repeat=Repeat.GONE_IS_DONE,
)

_CAMPAIGN = {"id": "flow_campaign_id"}

GET_FLOW_CAMPAIGNS = Endpoint("GET", "get_flow_campaigns/", Answer(decoders.records(records.FlowCampaign)))
GET_FLOW_CAMPAIGN = Endpoint(
    "GET",
    "get_flow_campaign_info/",
    Answer(decoders.read_questions, matches=_CAMPAIGN),
    fields=(number("flow_campaign_id"),),
)
GET_SUBSCRIBER_FLOW_ANSWERS = Endpoint(
    "GET",
    "get_single_subscriber_flow_info/",
    Answer(decoders.read_subscriber_flow_answers, matches=_CAMPAIGN),
    fields=(number("flow_campaign_id"), identifier("subscriber_id")),
)
GET_FLOW_ANSWERS = Endpoint(
    "GET",
    "get_all_subscriber_flow_info/",
    Answer(decoders.read_flow_answers, matches=_CAMPAIGN),
    fields=(number("flow_campaign_id"),),
    slow=True,
)

#: All of them, in the order of the vendor's page.
ENDPOINTS: tuple[Endpoint[Any], ...] = (
    GET_USER,
    CREATE_USER,
    UPDATE_USER,
    GET_PACKAGES,
    GET_SUBSCRIBER,
    GET_LABELS,
    CREATE_LABEL,
    ASSIGN_LABELS,
    GET_CONTACT_GROUP,
    CREATE_CONTACT_GROUP,
    UPDATE_CONTACT_GROUP,
    DELETE_CONTACT_GROUP,
    GET_CONTACT,
    CREATE_CONTACT,
    UPDATE_CONTACT,
    DELETE_CONTACT,
    GET_FLOW_CAMPAIGNS,
    GET_FLOW_CAMPAIGN,
    GET_SUBSCRIBER_FLOW_ANSWERS,
    GET_FLOW_ANSWERS,
)
