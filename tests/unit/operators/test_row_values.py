from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from airflow_provider_cytechbot.api.fields import (
    encode_date,
    encode_identifier,
    encode_number,
    encode_phone_number,
    encode_text,
)
from airflow_provider_cytechbot.bulk.resource import InvalidRowError
from airflow_provider_cytechbot.operators.row_values import checked, filled

ROUNDED = ["2.49945E+16", "2,49945E+16", "1e5", "24994546734902201.0", "7.", 7.0, Decimal("7.5")]


@pytest.mark.parametrize("value", ROUNDED)
@pytest.mark.parametrize("check", [encode_identifier, encode_number, encode_phone_number])
def test_a_rounded_number_is_invalid_and_not_shown(check, value):
    with pytest.raises(InvalidRowError) as raised:
        checked(check, "field", value)
    assert raised.value.reason.startswith(("Field 'field' must be ", "Field 'field' looks like a number"))
    assert str(value) not in raised.value.reason


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (encode_number, "ann@example.com"),
        (encode_number, "o'neil@example.com"),
        (encode_identifier, "o'neil and ann@example.com"),
        (encode_identifier, "o\"neil, not 'ann@example.com"),
        (encode_date, "ann@example.com"),
        (encode_date, "o'neil"),
        (encode_text, b"ann@example.com"),
        (encode_text, {"ann@example.com": 1}),
    ],
)
def test_a_reason_holds_no_value(check, value):
    with pytest.raises(InvalidRowError) as raised:
        checked(check, "field", value)
    assert "neil" not in raised.value.reason
    assert "ann" not in raised.value.reason
    assert raised.value.reason.startswith("Field 'field' must be ")
    assert raised.value.reason.endswith(".")


@pytest.mark.parametrize("value", [None, "", [], float("nan")])
def test_an_empty_cell_counts_as_missing(value):
    assert filled(value) is None


class NoTime(datetime):
    """As pandas' NaT: a datetime that equals nothing."""

    def __ne__(self, other):
        return True


def test_an_empty_time_of_pandas_counts_as_missing():
    assert filled(NoTime(2027, 3, 1)) is None


@pytest.mark.parametrize("value", ["x", 0, ["x"], 0.5, date(2027, 3, 1), False])
def test_a_filled_cell_is_its_value(value):
    assert filled(value) is value
