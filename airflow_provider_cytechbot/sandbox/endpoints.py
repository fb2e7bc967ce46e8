"""
The twenty endpoints: what each answers, by the vendor's page and, where that is silent, the platform family.

Independent of the provider's own description of the API: a test of one against the other proves something.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from airflow_provider_cytechbot.sandbox.data import (
    CONTACT_FIELDS,
    CONTACT_GROUP_FIELDS,
    USER_FIELDS,
    ZERO_TIME,
    Campaign,
    State,
)
from airflow_provider_cytechbot.sandbox.large_campaign import LargeCampaign
from airflow_provider_cytechbot.sandbox.php_json import encode
from airflow_provider_cytechbot.sandbox.quirks import Quirk

ADMIN_USER_ID = "1"
MEMBER_USER_ID = "2"

_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


@dataclass(frozen=True)
class Request:
    """One request to the API: the state it meets, its fields, the id in its path, whose key it carried."""

    state: State
    quirks: frozenset[Quirk]
    fields: Mapping[str, str]
    path_id: str
    user_id: str

    def field(self, name: str) -> str:
        """Return a field's text, empty for one that was not sent; `"0"` is as good as empty to PHP."""
        value = self.fields.get(name, "")
        return "" if value == "0" else value

    def updates(self, *names: str) -> dict[str, str]:
        """Return the fields of an update that count as sent."""
        dropped = ("", "0") if Quirk.FALSY_FIELDS_DROPPED in self.quirks else ()
        return {
            name: self.fields[name]
            for name in names
            if name in self.fields and self.fields[name] not in dropped
        }


@dataclass(frozen=True)
class Reply:
    """What the API answers: JSON, or the generated campaign's pieces; and whether something was written."""

    payload: Any = None
    took_effect: bool = False
    large_campaign: LargeCampaign | None = None
    question_id_field: str = "question_id"

    @property
    def outcome(self) -> str:
        """The `status` of the answer; the bare answers carry none and are successes."""
        return str(self.payload.get("status", "success")) if isinstance(self.payload, dict) else "success"

    def body(self) -> tuple[Iterable[bytes], int]:
        """Return the answer's text in pieces, and how long it is in all."""
        if self.large_campaign is None:
            text = encode(self.payload)
            return [text], len(text)
        field = self.question_id_field
        return self.large_campaign.chunks(field), self.large_campaign.length(field)


class _Refused(Exception):  # noqa: N818 - an answer, not an error of the sandbox
    """The API says no, with status `error` or `info`."""

    def __init__(self, message: Any, status: str = "error", *, took_effect: bool = False) -> None:
        super().__init__(message)
        self.reply = Reply({"status": status, "message": message}, took_effect)


def _success(*, took_effect: bool = False, **carried: Any) -> Reply:
    return Reply({"status": "success", **carried}, took_effect)


def _facebook_error(request: Request, message: str, *, took_effect: bool = False) -> _Refused:
    if Quirk.FACEBOOK_ERROR_OBJECTS in request.quirks:
        error = {"message": message, "type": "OAuthException", "code": 100, "fbtrace_id": "A1b2C3d4E5f/6789"}
        return _Refused(error, took_effect=took_effect)
    return _Refused(message, took_effect=took_effect)


# Users and packages: an admin's key only.


def _get_user_info(request: Request) -> Reply:
    user_id, email = request.field("user_id"), request.field("email")
    if Quirk.EMAIL_DECODED_TWICE in request.quirks:
        email = unquote_plus(email)
    if not user_id and not email:
        raise _Refused("Provide either user ID or Email to filter")
    for user in request.state.users.values():
        if user_id in ("", user["id"]) and email.lower() in ("", user["email"].lower()):
            return _success(user_info=user)
    raise _Refused("No Matching User Found")


def _create_system_user(request: Request) -> Reply:
    state = request.state
    given = {
        name: request.field(name) for name in ("name", "email", "password", "package_id", "expired_date")
    }
    if not all(given.values()):
        raise _Refused("All mandatory field is not provided")
    if given["package_id"] not in state.packages:
        raise _Refused("Package ID not found")
    if any(user["email"].lower() == given["email"].lower() for user in state.users.values()):
        raise _Refused("Email already exists")
    user_id = state.next_id("user")
    state.users[user_id] = {
        **USER_FIELDS,
        "id": user_id,
        "name": given["name"],
        "email": given["email"],
        "mobile": request.field("mobile"),
        "address": request.field("address"),
        "add_date": state.now(),
        "expired_date": _as_time(given["expired_date"]),
        "package_id": given["package_id"],
    }
    return _success(id=int(user_id), took_effect=True)


def _update_user(request: Request) -> Reply:
    if not request.path_id:
        raise _Refused("Provide User ID with End Point URL")
    user = request.state.users.get(request.path_id)
    if user is None:
        raise _Refused(f"User not found with the ID: {request.path_id}")
    updates = request.updates("name", "mobile", "address", "status", "package_id", "expired_date")
    if not updates:
        raise _Refused("You need to provide at least one more parameter with the api_key")
    if "expired_date" in updates:
        updates["expired_date"] = _as_time(updates["expired_date"])
    return _success(took_effect=_change(user, updates))


def _get_all_packages(request: Request) -> Reply:
    return _success(packages=list(request.state.packages.values()))


# Subscribers and labels.


def _subscriber_information(request: Request) -> Reply:
    subscriber_id = request.field("subscriber_id")
    if not subscriber_id:
        raise _Refused("Provide subscriber_id field")
    subscriber = request.state.subscriber(subscriber_id)
    if subscriber is None:
        raise _Refused(" No Matching Subscriber Found")  # the blank in front is the page's
    return _success(subscriber_info=subscriber)


def _get_all_labels(request: Request) -> Reply:
    page_id = request.field("page_id")
    if not page_id:
        raise _Refused("Provide page_id field")
    labels = [
        {"label_id": label["label_id"], "label_name": label["label_name"]}
        for label in request.state.labels.values()
        if label["page_id"] == page_id and page_id in request.state.enabled_pages
    ]
    if not labels:
        raise _Refused("No Matching Label Found")
    return _success(label_info=labels)


def _create_label(request: Request) -> Reply:
    state, page_id, label_name = request.state, request.field("page_id"), request.field("label_name")
    if not page_id:
        raise _Refused("Provide page_id field")
    if not label_name:
        raise _Refused("Provide label_name field")
    if page_id not in state.enabled_pages:
        raise _Refused("No Enabled Bot Found")
    if any(
        (label["page_id"], label["label_name"]) == (page_id, label_name) for label in state.labels.values()
    ):
        raise _facebook_error(request, "(#100) Label name already exists.")
    label_id = state.next_id("label")
    state.labels[label_id] = {"label_id": label_id, "label_name": label_name, "page_id": page_id}
    return _success(label_id=label_id, took_effect=True)


def _assign_label(request: Request) -> Reply:
    state, page_id, subscriber_id = request.state, request.field("page_id"), request.field("subscriber_id")
    if page_id not in state.enabled_pages:
        raise _Refused("No Enabled Bot Found")
    wanted = [label_id.strip() for label_id in request.field("label_ids").split(",")]
    known = [label_id for label_id in wanted if state.labels.get(label_id, {}).get("page_id") == page_id]
    if not known:
        raise _Refused("No Label Found")
    subscriber = state.subscriber(subscriber_id)
    if subscriber is None or subscriber["page_id"] != page_id:
        raise _facebook_error(request, "(#100) The user ID is not valid.")
    took_effect = False
    for label_id in wanted:
        if label_id in known:
            took_effect |= state.assign_label(subscriber_id, label_id)
        elif Quirk.UNKNOWN_LABELS_IGNORED not in request.quirks:
            # One label after the other: those before the unknown one are assigned and stay so.
            raise _facebook_error(request, "(#100) Invalid parameter", took_effect=took_effect)
    return Reply({"success": True, "status": "success"}, took_effect)


# Contact groups and contacts.


def _get_contact_group(request: Request) -> Reply:
    contact_type_id = request.field("contact_type_id").strip()
    if not contact_type_id:
        raise _Refused("The contact type ID is required")
    group = request.state.contact_groups.get(contact_type_id)
    if group is None:
        raise _Refused("The contact type ID does not exist")
    return Reply(group)


def _create_contact_group(request: Request) -> Reply:
    state, name = request.state, request.field("name")
    if not name:
        raise _Refused("The contact type name is required")
    contact_type_id = state.next_id("contact_group")
    state.contact_groups[contact_type_id] = {
        **CONTACT_GROUP_FIELDS,
        "id": contact_type_id,
        "user_id": request.user_id,
        "type": name,
        "created_at": state.now(),
    }
    return _success(contact_type_id=int(contact_type_id), took_effect=True)


def _update_contact_group(request: Request) -> Reply:
    if not request.path_id:
        raise _Refused("Invalid contact type ID provided")
    name = request.field("name")
    if not name:
        raise _Refused("The contact type name is required")
    group = request.state.contact_groups.get(request.path_id)
    if group is None:
        raise _Refused("The contact type ID does not exist")
    took_effect = _change(group, {"type": name})
    if not took_effect and Quirk.INFO_WHEN_UNCHANGED in request.quirks:
        raise _Refused("Make sure, you changed the contact group name", "info")
    return _success(took_effect=took_effect)


def _delete_contact_group(request: Request) -> Reply:
    contact_type_id = request.field("contact_type_id").strip()
    if not contact_type_id:
        raise _Refused("The contact_type_id field is required")
    if request.state.contact_groups.pop(contact_type_id, None) is None:
        if Quirk.INFO_WHEN_NOTHING_DELETED in request.quirks:
            raise _Refused("Unable to delete the contact group", "info")
        raise _Refused("The contact type ID does not exist")
    return _success(message=f"The contact type ID ({contact_type_id}) has been deleted", took_effect=True)


def _get_contact(request: Request) -> Reply:
    contact_id = request.field("contact_id").strip()
    if not contact_id:
        raise _Refused("The contact_id field is required")
    contact = request.state.contacts.get(contact_id)
    if contact is None:
        raise _Refused("The contact ID does not exist")
    return Reply(contact)


def _create_contact(request: Request) -> Reply:
    state = request.state
    given = {
        name: request.field(name).strip()
        for name in ("contact_type_id", "first_name", "last_name", "phone_number", "email")
    }
    if not given["contact_type_id"]:
        raise _Refused("The contact_type_id is required")
    if given["contact_type_id"] not in state.contact_groups:
        raise _Refused("The contact ID does not exist")  # the page's words for an unknown group
    if not given["email"] and not given["phone_number"]:
        raise _Refused("The email or phone_number is required")
    _refuse_taken(request, given, empty_counts=Quirk.EMPTY_EMAIL_TAKEN in request.quirks)
    contact_id = state.next_id("contact")
    state.contacts[contact_id] = {**CONTACT_FIELDS, **given, "id": contact_id, "user_id": request.user_id}
    return _success(new_contact_id=int(contact_id), took_effect=True)


def _update_contact(request: Request) -> Reply:
    state = request.state
    if not request.path_id:
        raise _Refused("The contact ID is required")
    contact = state.contacts.get(request.path_id)
    if contact is None:
        raise _Refused("The contact ID does not exist")
    given = request.updates("first_name", "last_name", "email", "phone_number")
    updates = {name: value.strip() for name, value in given.items()}
    if not any(updates.values()):
        raise _Refused(
            "You should at least provide value for first name or last name or email or phone number"
        )
    own = None if Quirk.OWN_EMAIL_TAKEN in request.quirks else contact["id"]
    _refuse_taken(request, updates, except_contact=own)
    took_effect = _change(contact, updates)
    if not took_effect and Quirk.INFO_WHEN_UNCHANGED in request.quirks:
        raise _Refused("Make sure you changed to update the contact", "info")
    return _success(took_effect=took_effect)


def _delete_contact(request: Request) -> Reply:
    contact_id = request.field("contact_id").strip()
    if not contact_id:
        raise _Refused("The contact_id field is required")
    if request.state.contacts.pop(contact_id, None) is None:
        if Quirk.INFO_WHEN_NOTHING_DELETED in request.quirks:
            raise _Refused("Unable to delete the contact", "info")
        raise _Refused("The contact ID does not exist")
    return _success(message=f"The contact ID ({contact_id}) has been deleted", took_effect=True)


# Flow campaigns and their answers.


def _get_flow_campaigns(request: Request) -> Reply:
    return Reply([{"id": c.id, "flow_name": c.flow_name} for c in request.state.campaigns.values()])


def _get_flow_campaign_info(request: Request) -> Reply:
    campaign = _campaign(request)
    return Reply(
        {"id": campaign.id, "flow_name": campaign.flow_name, "questions": list(campaign.questions.values())}
    )


def _get_single_subscriber_flow_info(request: Request) -> Reply:
    subscriber_id = request.field("subscriber_id").strip()
    if not subscriber_id:
        raise _Refused("The subscriber_id field is required")
    campaign = _campaign(request)
    answers = campaign.answers_of(subscriber_id)
    if not answers:
        return _no_answers(request, campaign)
    data = _answers(campaign.questions, answers, "question_id")
    return Reply({"id": campaign.id, "flow_name": campaign.flow_name, "data": data})


def _get_all_subscriber_flow_info(request: Request) -> Reply:
    campaign = _campaign(request)
    question_id_field = "id" if Quirk.ID_FOR_QUESTION_ID in request.quirks else "question_id"
    if isinstance(campaign, LargeCampaign):
        return Reply(large_campaign=campaign, question_id_field=question_id_field)
    data = {
        subscriber_id: _answers(campaign.questions, answers, question_id_field)
        for subscriber_id, answers in campaign.answers.items()
        if answers
    }
    if not data:
        return _no_answers(request, campaign)
    return Reply({"id": campaign.id, "flow_name": campaign.flow_name, "data": data})


def _campaign(request: Request) -> Campaign | LargeCampaign:
    flow_campaign_id = request.field("flow_campaign_id").strip()
    if not flow_campaign_id:
        raise _Refused("The flow_campaign_id field is required")
    campaign = request.state.campaigns.get(flow_campaign_id)
    if campaign is None:
        raise _Refused("The flow campaign ID does not exist")
    return campaign


def _no_answers(request: Request, campaign: Campaign | LargeCampaign) -> Reply:
    # An empty PHP array is a JSON list, whatever it would have held.
    if Quirk.NULL_CAMPAIGN_WITHOUT_ANSWERS in request.quirks:
        return Reply({"id": None, "flow_name": None, "data": []})
    return Reply({"id": campaign.id, "flow_name": campaign.flow_name, "data": []})


def _answers(
    questions: Mapping[str, str], answers: Mapping[str, str], question_id_field: str
) -> list[dict[str, str]]:
    return [
        {question_id_field: question_id, "question": questions[question_id], "answer": answers[question_id]}
        for question_id in questions
        if question_id in answers
    ]


def _as_time(date: str) -> str:
    # MySQL keeps what it cannot read as its zero date.
    day = date[:10]
    return f"{day} 00:00:00" if _DATE.fullmatch(day) else ZERO_TIME


def _change(record: dict[str, str], updates: Mapping[str, str]) -> bool:
    changed = any(record[name] != value for name, value in updates.items())
    record.update(updates)
    return changed


def _refuse_taken(
    request: Request,
    given: Mapping[str, str],
    *,
    empty_counts: bool = False,
    except_contact: str | None = None,
) -> None:
    for name, words in (("email", "email address"), ("phone_number", "phone_number")):
        value = given.get(name, "")
        if not value and not empty_counts:
            continue
        for contact in request.state.contacts.values():
            if contact["id"] != except_contact and contact[name].lower() == value.lower():
                raise _Refused(f"Please try with different {words}")


@dataclass(frozen=True)
class Endpoint:
    """How an endpoint is reached: a write is a POST with a form; an admin endpoint wants an admin's key."""

    answer: Callable[[Request], Reply]
    write: bool = False
    admin: bool = False
    path_id: bool = False
    labelled_html: bool = False


ENDPOINTS: dict[str, Endpoint] = {
    "get_user_info": Endpoint(_get_user_info, admin=True, labelled_html=True),
    "create_system_user": Endpoint(_create_system_user, write=True, admin=True, labelled_html=True),
    "update_user": Endpoint(_update_user, write=True, admin=True, path_id=True, labelled_html=True),
    "get_all_packages": Endpoint(_get_all_packages, admin=True, labelled_html=True),
    "subscriber_information": Endpoint(_subscriber_information, labelled_html=True),
    "get_all_labels": Endpoint(_get_all_labels, labelled_html=True),
    "create_label": Endpoint(_create_label, write=True, labelled_html=True),
    "assign_label": Endpoint(_assign_label, write=True, labelled_html=True),
    "get_contact_group": Endpoint(_get_contact_group),
    "create_contact_group": Endpoint(_create_contact_group, write=True),
    "update_contact_group": Endpoint(_update_contact_group, write=True, path_id=True),
    "delete_contact_group": Endpoint(_delete_contact_group, write=True),
    "get_contact": Endpoint(_get_contact),
    "create_contact": Endpoint(_create_contact, write=True),
    "update_contact": Endpoint(_update_contact, write=True, path_id=True),
    "delete_contact": Endpoint(_delete_contact, write=True),
    "get_flow_campaigns": Endpoint(_get_flow_campaigns),
    "get_flow_campaign_info": Endpoint(_get_flow_campaign_info),
    "get_single_subscriber_flow_info": Endpoint(_get_single_subscriber_flow_info),
    "get_all_subscriber_flow_info": Endpoint(_get_all_subscriber_flow_info),
}


def answer(
    endpoint: Endpoint,
    *,
    state: State,
    quirks: frozenset[Quirk],
    fields: Mapping[str, str],
    path_id: str,
    user_ids_by_key: Mapping[str, str],
) -> Reply:
    """
    Answer one request as the API would.

    :param endpoint: the endpoint asked
    :param state: what the API knows; changed by a write
    :param quirks: the behaviours beside the vendor's page
    :param fields: the fields from where this endpoint reads them, API key included
    :param path_id: the id that ends the path, empty where there is none
    :param user_ids_by_key: whose keys are valid
    """
    api_key = fields.get("api_key", "")
    if not api_key:
        return Reply({"status": "error", "message": "API Key is required"})
    user_id = user_ids_by_key.get(api_key)
    if user_id is None or (endpoint.admin and user_id != ADMIN_USER_ID):
        return Reply({"status": "error", "message": "Either API Key Invalid or Member Validity Expired"})
    try:
        return endpoint.answer(Request(state, quirks, fields, path_id, user_id))
    except _Refused as refusal:
        return refusal.reply
