"""Users and packages, which only an admin's key may read and write."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from airflow_provider_cytechbot.sandbox.endpoints.base import (
    Endpoint,
    RefusedError,
    Reply,
    Request,
    change,
    success,
)
from airflow_provider_cytechbot.sandbox.quirks import Quirk
from airflow_provider_cytechbot.sandbox.records import USER_FIELDS, ZERO_TIME

_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


def _get_user_info(request: Request) -> Reply:
    user_id, email = request.field("user_id"), request.field("email")
    if Quirk.EMAIL_DECODED_TWICE in request.quirks:
        email = unquote_plus(email)
    if not user_id and not email:
        raise RefusedError("Provide either user ID or Email to filter")
    for user in request.state.users.values():
        if user_id in ("", user["id"]) and email.lower() in ("", user["email"].lower()):
            return success(user_info=user)
    raise RefusedError("No Matching User Found")


def _create_system_user(request: Request) -> Reply:
    state = request.state
    given = {
        name: request.field(name) for name in ("name", "email", "password", "package_id", "expired_date")
    }
    if not all(given.values()):
        raise RefusedError("All mandatory field is not provided")
    if given["package_id"] not in state.packages:
        raise RefusedError("Package ID not found")
    if any(user["email"].lower() == given["email"].lower() for user in state.users.values()):
        raise RefusedError("Email already exists")
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
    return success(id=int(user_id), took_effect=True)


def _update_user(request: Request) -> Reply:
    if not request.path_id:
        raise RefusedError("Provide User ID with End Point URL")
    user = request.state.users.get(request.path_id)
    if user is None:
        raise RefusedError(f"User not found with the ID: {request.path_id}")
    updates = request.updates("name", "mobile", "address", "status", "package_id", "expired_date")
    if not updates:
        raise RefusedError("You need to provide at least one more parameter with the api_key")
    if "expired_date" in updates:
        updates["expired_date"] = _as_time(updates["expired_date"])
    return success(took_effect=change(user, updates))


def _get_all_packages(request: Request) -> Reply:
    return success(packages=list(request.state.packages.values()))


def _as_time(date: str) -> str:
    # MySQL keeps what it cannot read as its zero date.
    day = date[:10]
    return f"{day} 00:00:00" if _DATE.fullmatch(day) else ZERO_TIME


ENDPOINTS = {
    "get_user_info": Endpoint(_get_user_info, admin=True, labelled_html=True),
    "create_system_user": Endpoint(_create_system_user, write=True, admin=True, labelled_html=True),
    "update_user": Endpoint(_update_user, write=True, admin=True, path_id=True, labelled_html=True),
    "get_all_packages": Endpoint(_get_all_packages, admin=True, labelled_html=True),
}
