"""Subscribers and the labels of their pages."""

from __future__ import annotations

from airflow_provider_cytechbot.sandbox.endpoints.base import (
    Endpoint,
    RefusedError,
    Reply,
    Request,
    facebook_error,
    success,
)
from airflow_provider_cytechbot.sandbox.quirks import Quirk


def _subscriber_information(request: Request) -> Reply:
    subscriber_id = request.field("subscriber_id")
    if not subscriber_id:
        raise RefusedError("Provide subscriber_id field")
    subscriber = request.state.subscriber(subscriber_id)
    if subscriber is None:
        raise RefusedError(" No Matching Subscriber Found")  # the blank in front is the page's
    return success(subscriber_info=subscriber)


def _get_all_labels(request: Request) -> Reply:
    page_id = request.field("page_id")
    if not page_id:
        raise RefusedError("Provide page_id field")
    labels = [
        {"label_id": label["label_id"], "label_name": label["label_name"]}
        for label in request.state.labels.values()
        if label["page_id"] == page_id and page_id in request.state.enabled_pages
    ]
    if not labels:
        raise RefusedError("No Matching Label Found")
    return success(label_info=labels)


def _create_label(request: Request) -> Reply:
    state, page_id, label_name = request.state, request.field("page_id"), request.field("label_name")
    if not page_id:
        raise RefusedError("Provide page_id field")
    if not label_name:
        raise RefusedError("Provide label_name field")
    if page_id not in state.enabled_pages:
        raise RefusedError("No Enabled Bot Found")
    if any(
        (label["page_id"], label["label_name"]) == (page_id, label_name) for label in state.labels.values()
    ):
        raise facebook_error(request, "(#100) Label name already exists.")
    label_id = state.next_id("label")
    state.labels[label_id] = {"label_id": label_id, "label_name": label_name, "page_id": page_id}
    return success(label_id=label_id, took_effect=True)


def _assign_label(request: Request) -> Reply:
    state, page_id, subscriber_id = request.state, request.field("page_id"), request.field("subscriber_id")
    if page_id not in state.enabled_pages:
        raise RefusedError("No Enabled Bot Found")
    wanted = [label_id.strip() for label_id in request.field("label_ids").split(",")]
    known = [label_id for label_id in wanted if state.labels.get(label_id, {}).get("page_id") == page_id]
    if not known:
        raise RefusedError("No Label Found")
    subscriber = state.subscriber(subscriber_id)
    if subscriber is None or subscriber["page_id"] != page_id:
        raise facebook_error(request, "(#100) The user ID is not valid.")
    took_effect = False
    for label_id in wanted:
        if label_id in known:
            took_effect |= state.assign_label(subscriber_id, label_id)
        elif Quirk.UNKNOWN_LABELS_IGNORED not in request.quirks:
            # One label after the other: those before the unknown one are assigned and stay so.
            raise facebook_error(request, "(#100) Invalid parameter", took_effect=took_effect)
    return Reply({"success": True, "status": "success"}, took_effect)


ENDPOINTS = {
    "subscriber_information": Endpoint(_subscriber_information, labelled_html=True),
    "get_all_labels": Endpoint(_get_all_labels, labelled_html=True),
    "create_label": Endpoint(_create_label, write=True, labelled_html=True),
    "assign_label": Endpoint(_assign_label, write=True, labelled_html=True),
}
