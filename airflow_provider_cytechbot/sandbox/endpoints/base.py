"""What the endpoints share: request, reply, refusal, and how an endpoint is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.sandbox.php_json import encode
from airflow_provider_cytechbot.sandbox.quirks import Quirk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_provider_cytechbot.sandbox.large_campaign import LargeCampaign
    from airflow_provider_cytechbot.sandbox.records import Record
    from airflow_provider_cytechbot.sandbox.state import State

ADMIN_USER_ID = "1"
MEMBER_USER_ID = "2"


@dataclass(frozen=True)
class Request:
    """One request to the API: the data, its fields, the id in its path, and the user of its key."""

    state: State
    quirks: frozenset[Quirk]
    fields: Mapping[str, str]
    path_id: str
    user_id: str

    def field(self, name: str) -> str:
        """Return a field's text, empty where it was not sent; PHP takes `"0"` for empty."""
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
    """The API's answer: JSON, or the pieces of the generated campaign; and whether a write took effect."""

    payload: Any = None
    took_effect: bool = False
    large_campaign: LargeCampaign | None = None
    question_id_field: str = "question_id"

    @property
    def outcome(self) -> str:
        """The `status` of the answer; the bare answers carry none and are successes."""
        return str(self.payload.get("status", "success")) if isinstance(self.payload, dict) else "success"

    def body(self) -> tuple[Iterable[bytes], int]:
        """Return the answer's text in pieces, and its length."""
        if self.large_campaign is None:
            text = encode(self.payload)
            return [text], len(text)
        field = self.question_id_field
        return self.large_campaign.chunks(field), self.large_campaign.length(field)


class RefusedError(Exception):
    """The API's refusal, with status `error` or `info`; `reply` is the answer."""

    def __init__(self, message: Any, status: str = "error", *, took_effect: bool = False) -> None:
        super().__init__(message)
        self.reply = Reply({"status": status, "message": message}, took_effect)


@dataclass(frozen=True)
class Endpoint:
    """How an endpoint is reached: a write is a POST with a form; an admin endpoint needs an admin's key."""

    answer: Callable[[Request], Reply]
    write: bool = False
    admin: bool = False
    path_id: bool = False
    labelled_html: bool = False


def success(*, took_effect: bool = False, **fields: Any) -> Reply:
    """Return an answer with status `success` and these fields."""
    return Reply({"status": "success", **fields}, took_effect)


def facebook_error(request: Request, message: str, *, took_effect: bool = False) -> RefusedError:
    """Return the refusal of a write that Facebook refused: as text, or as Facebook's object."""
    if Quirk.FACEBOOK_ERROR_OBJECTS in request.quirks:
        error = {"message": message, "type": "OAuthException", "code": 100, "fbtrace_id": "A1b2C3d4E5f/6789"}
        return RefusedError(error, took_effect=took_effect)
    return RefusedError(message, took_effect=took_effect)


def change(record: Record, updates: Mapping[str, str]) -> bool:
    """Update a record, and return whether that changed anything."""
    changed = any(record[name] != value for name, value in updates.items())
    record.update(updates)
    return changed
