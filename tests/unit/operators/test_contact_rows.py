from __future__ import annotations

from datetime import date
from uuid import UUID

import pytest

from airflow_provider_cytechbot.bulk.resource import InvalidRowError
from airflow_provider_cytechbot.operators.contact_rows import LONGEST_KEY, ContactRow, read_key, read_row

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("ann@example.com", "ann@example.com"),
        ("C-17", "C-17"),
        ("0017", "0017"),
        ("12e4", "12e4"),
        ("1234e567", "1234e567"),
        ("1.2", "1.2"),
        ("鍵", "鍵"),
        (17, "17"),
        (0, "0"),
        (12345678901234567890, "12345678901234567890"),
        (UUID("12345678-1234-5678-1234-567812345678"), "12345678-1234-5678-1234-567812345678"),
        (date(2026, 1, 2), "2026-01-02"),
        ("k" * LONGEST_KEY, "k" * LONGEST_KEY),
    ],
)
def test_keys(value, key):
    assert read_key("id", value) == key


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty or missing"),
        ("", "empty or missing"),
        ("nan", "empty or missing"),
        ("None", "empty or missing"),
        ("<NA>", "empty or missing"),
        ("a\nb", "invisible character"),
        ("17\u200b", "invisible character"),
        (NAN, "empty or missing"),
        (17.0, "not float"),
        (1.5, "not float"),
        (True, "not bool"),
        (b"17", "not bytes"),
        (["17"], "not list"),
        ({"id": "17"}, "not dict"),
        ("17.0", "rounded"),
        ("17.", "rounded"),
        ("2.49945467349022E+16", "rounded"),
        ("2,49945467349022e16", "rounded"),
        ("3E+10", "rounded"),
        ("k" * (LONGEST_KEY + 1), "longer than 200"),
        ("\ud800", "surrogate"),
    ],
)
def test_values_that_are_no_key(value, reason):
    with pytest.raises(InvalidRowError, match=reason) as raised:
        read_key("id", value)
    if isinstance(value, str) and value:
        assert value not in raised.value.reason


@pytest.mark.parametrize("empty", ["", None, NAN, "0"])
def test_empty_cells_are_empty_fields(empty):
    row = read_row({"email": empty, "phone_number": "+49 1", "first_name": empty, "contact_id": None})
    assert row == ContactRow(("", "+49 1", "", None), "")


def test_columns_that_are_missing_are_no_empty_fields():
    row = read_row({"email": "ann@example.com"})
    assert row.texts == ("ann@example.com", None, None, None)
    assert row.filled == "email"
    assert row.has_address


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"phone_number": 4915112345678}, "'phone_number' must be text, not int"),
        ({"phone_number": "4.915112345678E+12"}, "'phone_number' looks like a number"),
        ({"phone_number": "4915112345678.0"}, "'phone_number' looks like a number"),
        ({"email": 5}, "'email' must be text"),
        ({"first_name": 5.5}, "'first_name' must be text"),
        ({"last_name": ["x"]}, "'last_name' must be text"),
        ({"last_name": "\udfff"}, "surrogate"),
        ({"contact_id": "7.0"}, "'contact_id'"),
        ({"contact_id": 7.0}, "'contact_id'"),
        ({"contact_id": "x"}, "'contact_id'"),
        ({"contact_id": "0"}, "'contact_id'"),
    ],
)
def test_fields_that_cannot_be_sent(values, reason):
    with pytest.raises(InvalidRowError, match=reason):
        read_row(values)


@pytest.mark.parametrize("contact_id", ["17", 17])
def test_the_id_of_a_contact_to_adopt(contact_id):
    assert read_row({"contact_id": contact_id}).contact_id == "17"


@pytest.mark.parametrize(
    "row",
    [
        ContactRow(("a@x.de", None, "", 'O\'Neil "ü" \n')),
        ContactRow((None, None, None, None), "7", is_forgotten=True),
    ],
)
def test_a_row_is_read_as_it_was_stored(row):
    assert ContactRow.decode(row.encode()) == row
