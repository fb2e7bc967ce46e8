"""The records of the sandbox: their fields with default values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Record = dict[str, str]

ZERO_DATE = "0000-00-00"
ZERO_TIME = "0000-00-00 00:00:00"

# The order of the keys is the order in which the API writes them.
PACKAGE_FIELDS = {
    "id": "",
    "package_name": "",
    "module_ids": "",
    "price": "0",
    "validity": "0",
    "deleted": "0",
    "visible": "1",
    "highlight": "0",
}
USER_FIELDS = {
    "id": "",
    "name": "",
    "email": "",
    "mobile": "",
    "address": "",
    "user_type": "Member",
    "status": "1",
    "add_date": ZERO_TIME,
    "last_login_at": ZERO_TIME,
    "expired_date": ZERO_TIME,
    "package_id": "",
    "last_login_ip": "",
}
PAGE_FIELDS = {"page_id": "", "page_name": ""}
LABEL_FIELDS = {"label_id": "", "label_name": "", "page_id": ""}
SUBSCRIBER_FIELDS = {
    "subscriber_id": "",
    "labels": "",
    "first_name": "",
    "last_name": "",
    "full_name": "",
    "gender": "",
    "locale": "",
    "timezone": "",
    "page_name": "",
    "page_id": "",
    "unavailable": "0",
    "last_error_message": "",
    "refferer_source": "",
    "subscribed_at": ZERO_TIME,
    "email": "",
    "phone_number": "",
    "birthdate": ZERO_DATE,
    "last_subscriber_interaction_time": ZERO_TIME,
}
CONTACT_GROUP_FIELDS = {"id": "", "user_id": "1", "type": "", "created_at": ZERO_TIME, "deleted": "0"}
CONTACT_FIELDS = {
    "id": "",
    "user_id": "1",
    "contact_type_id": "",
    "first_name": "",
    "last_name": "",
    "phone_number": "",
    "email": "",
    "notes": "",
    "unsubscribed": "0",
    "deleted": "0",
}


@dataclass
class Campaign:
    """A flow campaign: its questions by id, its answers by subscriber and question; an answer may be null."""

    id: str
    flow_name: str
    questions: dict[str, str] = field(default_factory=dict)
    answers: dict[str, dict[str, str | None]] = field(default_factory=dict)

    def answers_of(self, subscriber_id: str) -> Mapping[str, str | None] | None:
        """Return a subscriber's answers by question id, None where there are none."""
        return self.answers.get(subscriber_id)


def listed(names: Iterable[str], *, limit: int = 20) -> str:
    """Return the names that an error lists, and how many more there are."""
    names = list(names)
    more = [f"and {len(names) - limit:,} more"] if len(names) > limit else []
    return ", ".join(names[:limit] + more) or "none"
