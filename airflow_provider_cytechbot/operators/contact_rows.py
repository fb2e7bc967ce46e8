"""What a row of a contact sync holds: its key, its fields and the id of a contact to adopt, each checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple
from uuid import UUID

import msgspec

from airflow_provider_cytechbot.api.endpoints import CREATE_CONTACT
from airflow_provider_cytechbot.api.fields import encode_number, encode_text, is_missing
from airflow_provider_cytechbot.bulk.resource import InvalidRowError
from airflow_provider_cytechbot.operators.contact_state import ADDRESSES, FIELDS
from airflow_provider_cytechbot.operators.row_values import checked, filled

CONTACT_ID = "contact_id"
LONGEST_KEY = 200
_ENCODE = {field.name: field.encode for field in CREATE_CONTACT.fields}
_NAMES = frozenset(FIELDS) - {*ADDRESSES}
#: What spreadsheets and data frames make of a long number. Plain `12e4` can be an id of hex digits.
_ROUNDED = re.compile(r"[+-]?\d+[.,]\d*[eE][+-]?\d+|[+-]?\d+[eE][+]\d+|[+-]?\d+\.0*", re.ASCII)
_encode = msgspec.json.Encoder(order="deterministic").encode
decode_json = msgspec.json.Decoder().decode


def encode_json(value: object) -> str:
    """
    Return a value as one line of JSON, the same for equal values.

    :param value: The value.
    """
    return _encode(value).decode()


class ContactRow(NamedTuple):
    """
    A row.

    :param texts: The text of each field, in the order of ``FIELDS``: empty for an empty cell, ``None`` if the
        row has no such column.
    :param contact_id: The id of the contact to adopt; empty for none.
    :param is_forgotten: Whether a create of this row whose result is not known is dropped.
    """

    texts: tuple[str | None, ...]
    contact_id: str = ""
    is_forgotten: bool = False

    @property
    def addresses(self) -> tuple[str | None, ...]:
        """The e-mail address and the phone number."""
        return self.texts[: len(ADDRESSES)]

    @property
    def has_address(self) -> bool:
        """Whether a contact can be made of the row."""
        return bool(self.texts[0] or self.texts[1])

    @property
    def filled(self) -> str:
        """The names of the fields that are not empty, separated by commas."""
        return ",".join([field for field, text in zip(FIELDS, self.texts, strict=True) if text])

    def encode(self) -> str:
        """Return the row as the engine stores it: a line of JSON."""
        return encode_json((*self.texts, self.contact_id, self.is_forgotten))

    @classmethod
    def decode(cls, payload: str) -> ContactRow:
        """
        Read a row that the engine has stored.

        :param payload: The stored text.
        """
        email, phone_number, first_name, last_name, contact_id, is_forgotten = decode_json(payload)
        return cls((email, phone_number, first_name, last_name), contact_id, is_forgotten)


def read_row(values: Mapping[str, object]) -> ContactRow:
    """
    Check the fields of a row.

    :param values: The row's values by field; a field without a column is absent.
    :raises InvalidRowError: A field cannot be sent.
    """
    texts = tuple([_read_text(field, values[field]) if field in values else None for field in FIELDS])
    return ContactRow(texts, _read_contact_id(values.get(CONTACT_ID)))


def read_key(field: str, value: object) -> str:
    """
    Check the key of a row: text, a whole number, a UUID or a date.

    :param field: The key's column.
    :param value: Its value.
    :raises InvalidRowError: It is empty, or no longer what it was.
    """
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= LONGEST_KEY:
        return value  # as the checks below would, which take longer
    if type(value) is not str and isinstance(value, int | UUID | date) and not isinstance(value, bool):
        value = str(value)
    if filled(value) is None or (isinstance(value, str) and is_missing(value)):
        raise InvalidRowError(f"The key {field!r} is empty or missing.")
    key = checked(encode_text, field, value)
    if len(key) > LONGEST_KEY:
        raise InvalidRowError(f"The key {field!r} is longer than {LONGEST_KEY} characters.")
    if _ROUNDED.fullmatch(key):
        raise InvalidRowError(
            f"The key {field!r} looks like a number that a spreadsheet or a float has rounded."
        )
    return key


def _read_text(field: str, value: object) -> str:
    """Return a field's text. The server takes ``0`` as empty."""
    if type(value) is str:
        if not value or value == "0":
            return ""
        # Most texts pass this, which is faster than the field's check.
        if (
            value.isascii()
            and value.isprintable()
            and (
                field in _NAMES
                or (value.removeprefix("+").isdigit() if field == "phone_number" else "@" in value)
            )
        ):
            return value
    elif filled(value) is None:
        return ""
    return checked(_ENCODE[field], field, value)


def _read_contact_id(value: object) -> str:
    return "" if filled(value) is None else checked(encode_number, CONTACT_ID, value)
