"""Contact groups and their contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_cytechbot.sandbox.endpoints.base import (
    Endpoint,
    RefusedError,
    Reply,
    Request,
    change,
    success,
)
from airflow_provider_cytechbot.sandbox.quirks import Quirk
from airflow_provider_cytechbot.sandbox.records import CONTACT_FIELDS, CONTACT_GROUP_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping


def _get_contact_group(request: Request) -> Reply:
    contact_type_id = request.field("contact_type_id").strip()
    if not contact_type_id:
        raise RefusedError("The contact type ID is required")
    group = request.state.contact_groups.get(contact_type_id)
    if group is None:
        raise RefusedError("The contact type ID does not exist")
    return Reply(group)


def _create_contact_group(request: Request) -> Reply:
    state, name = request.state, request.field("name")
    if not name:
        raise RefusedError("The contact type name is required")
    contact_type_id = state.next_id("contact_group")
    state.contact_groups[contact_type_id] = {
        **CONTACT_GROUP_FIELDS,
        "id": contact_type_id,
        "user_id": request.user_id,
        "type": name,
        "created_at": state.now(),
    }
    return success(contact_type_id=int(contact_type_id), took_effect=True)


def _update_contact_group(request: Request) -> Reply:
    if not request.path_id:
        raise RefusedError("Invalid contact type ID provided")
    name = request.field("name")
    if not name:
        raise RefusedError("The contact type name is required")
    group = request.state.contact_groups.get(request.path_id)
    if group is None:
        raise RefusedError("The contact type ID does not exist")
    took_effect = change(group, {"type": name})
    if not took_effect and Quirk.INFO_WHEN_UNCHANGED in request.quirks:
        raise RefusedError("Make sure, you changed the contact group name", "info")
    return success(took_effect=took_effect)


def _delete_contact_group(request: Request) -> Reply:
    contact_type_id = request.field("contact_type_id").strip()
    if not contact_type_id:
        raise RefusedError("The contact_type_id field is required")
    if request.state.contact_groups.pop(contact_type_id, None) is None:
        if Quirk.INFO_WHEN_NOTHING_DELETED in request.quirks:
            raise RefusedError("Unable to delete the contact group", "info")
        raise RefusedError("The contact type ID does not exist")
    return success(message=f"The contact type ID ({contact_type_id}) has been deleted", took_effect=True)


def _get_contact(request: Request) -> Reply:
    contact_id = request.field("contact_id").strip()
    if not contact_id:
        raise RefusedError("The contact_id field is required")
    contact = request.state.contacts.get(contact_id)
    if contact is None:
        raise RefusedError("The contact ID does not exist")
    return Reply(contact)


def _create_contact(request: Request) -> Reply:
    state = request.state
    given = {
        name: request.field(name).strip()
        for name in ("contact_type_id", "first_name", "last_name", "phone_number", "email")
    }
    if not given["contact_type_id"]:
        raise RefusedError("The contact_type_id is required")
    if given["contact_type_id"] not in state.contact_groups:
        raise RefusedError("The contact ID does not exist")  # the page's words for an unknown group
    if not given["email"] and not given["phone_number"]:
        raise RefusedError("The email or phone_number is required")
    _refuse_taken(request, given, empty_counts=Quirk.EMPTY_EMAIL_TAKEN in request.quirks)
    contact_id = state.next_id("contact")
    state.contacts[contact_id] = {**CONTACT_FIELDS, **given, "id": contact_id, "user_id": request.user_id}
    return success(new_contact_id=int(contact_id), took_effect=True)


def _update_contact(request: Request) -> Reply:
    state = request.state
    if not request.path_id:
        raise RefusedError("The contact ID is required")
    contact = state.contacts.get(request.path_id)
    if contact is None:
        raise RefusedError("The contact ID does not exist")
    given = request.updates("first_name", "last_name", "email", "phone_number")
    updates = {name: value.strip() for name, value in given.items()}
    if not any(updates.values()):
        raise RefusedError(
            "You should at least provide value for first name or last name or email or phone number"
        )
    own = None if Quirk.OWN_EMAIL_TAKEN in request.quirks else contact["id"]
    _refuse_taken(request, updates, except_contact=own)
    took_effect = change(contact, updates)
    if not took_effect and Quirk.INFO_WHEN_UNCHANGED in request.quirks:
        raise RefusedError("Make sure you changed to update the contact", "info")
    return success(took_effect=took_effect)


def _delete_contact(request: Request) -> Reply:
    contact_id = request.field("contact_id").strip()
    if not contact_id:
        raise RefusedError("The contact_id field is required")
    if request.state.contacts.pop(contact_id, None) is None:
        if Quirk.INFO_WHEN_NOTHING_DELETED in request.quirks:
            raise RefusedError("Unable to delete the contact", "info")
        raise RefusedError("The contact ID does not exist")
    return success(message=f"The contact ID ({contact_id}) has been deleted", took_effect=True)


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
                raise RefusedError(f"Please try with different {words}")


ENDPOINTS = {
    "get_contact_group": Endpoint(_get_contact_group),
    "create_contact_group": Endpoint(_create_contact_group, write=True),
    "update_contact_group": Endpoint(_update_contact_group, write=True, path_id=True),
    "delete_contact_group": Endpoint(_delete_contact_group, write=True),
    "get_contact": Endpoint(_get_contact),
    "create_contact": Endpoint(_create_contact, write=True),
    "update_contact": Endpoint(_update_contact, write=True, path_id=True),
    "delete_contact": Endpoint(_delete_contact, write=True),
}
