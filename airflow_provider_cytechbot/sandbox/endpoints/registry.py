"""
All endpoints by name, and the answer to a request.

They are written from the vendor's page and independent of the provider's own declarations, so that a test of
one against the other proves something.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.sandbox.endpoints import contacts, flows, subscribers, users
from airflow_provider_cytechbot.sandbox.endpoints.base import (
    ADMIN_USER_ID,
    Endpoint,
    RefusedError,
    Reply,
    Request,
)
from airflow_provider_cytechbot.sandbox.php_json import lists_as_objects
from airflow_provider_cytechbot.sandbox.quirks import Quirk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_cytechbot.sandbox.state import State

ENDPOINTS: dict[str, Endpoint] = {
    **users.ENDPOINTS,
    **subscribers.ENDPOINTS,
    **contacts.ENDPOINTS,
    **flows.ENDPOINTS,
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

    :param endpoint: the endpoint of the request
    :param state: the data, which a write changes
    :param quirks: the behaviours beside the vendor's page
    :param fields: the fields from where this endpoint reads them, API key included
    :param path_id: the id that ends the path, empty where there is none
    :param user_ids_by_key: the users of the valid keys
    """
    api_key = fields.get("api_key", "")
    if not api_key:
        return Reply({"status": "error", "message": "API Key is required"})
    user_id = user_ids_by_key.get(api_key)
    if user_id is None or (endpoint.admin and user_id != ADMIN_USER_ID):
        return Reply({"status": "error", "message": "Either API Key Invalid or Member Validity Expired"})
    try:
        reply = endpoint.answer(Request(state, quirks, fields, path_id, user_id))
    except RefusedError as refusal:
        reply = refusal.reply
    if Quirk.LISTS_AS_OBJECTS in quirks:
        reply = replace(reply, payload=lists_as_objects(reply.payload))
    return reply
