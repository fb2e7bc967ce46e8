from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.api.fields import (
    encode_date,
    encode_email,
    encode_id_list,
    encode_identifier,
    encode_lines,
    encode_number,
    encode_password,
    encode_phone_number,
    encode_text,
    field_error,
    read_count,
    read_switch,
)

TEXTS = [encode_text, encode_lines, encode_password, encode_email, encode_phone_number]
IDS = [encode_id_list, encode_identifier, encode_number]
ENCODERS = [encode_date, *IDS, *TEXTS]
EACH_TEXT = pytest.mark.parametrize("encode", TEXTS, ids=lambda each: each.__name__)
EACH_ID = pytest.mark.parametrize("encode", IDS, ids=lambda each: each.__name__)


class WholeNumberOfNumpy(int):
    """An Integral that is written in its own way, as numpy's are: ``np.int64(5)``."""

    def __repr__(self):
        return f"np.int64({int(self)})"

    __str__ = __repr__


class NotATime(datetime):
    """What pandas.NaT is: a datetime without a date."""

    def date(self):
        raise ValueError("NaTType does not support date")

    def __str__(self):
        return "NaT"


def refusal(encode, value):
    with pytest.raises(CyTechBotFieldError) as caught:
        encode("the_field", value)
    assert str(caught.value).startswith("Field 'the_field' ")
    assert "Nothing was sent." in str(caught.value)
    return str(caught.value)


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_text_is_sent_as_it_is(value):
    assert encode_text("name", value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        " a ",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "caf\u00e9\u00a0bar",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("encode", [encode_text, encode_lines, encode_password])
def test_joiners_of_scripts_and_emoji_are_text(encode, value):
    assert encode("name", value) == value


INVISIBLE = ["\0", "\x07", "\x1b", "\x7f", "\x85", "\u00ad", "\u061c", "\u200b", "\u200e", "\u2028", "\u2029"]
INVISIBLE += [
    "\u202a",
    "\u202e",
    "\u2060",
    "\u2066",
    "\u2069",
    "\ufeff",
    "\ufff9",
    "\U000e0041",
    "\U0001d173",
]


@EACH_TEXT
@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
def test_an_invisible_character_is_refused_in_text(encode, character):
    for value in (f"ab{character}cd", f"ab{character}", f"{character}ab"):
        shown = refusal(encode, value)
        assert "invisible character" in shown
        assert shown.isprintable()


@EACH_ID
@pytest.mark.parametrize(
    "character", [*INVISIBLE, "\n", "\t", "\u200c", "\u200d", "\u2800", "\u3164"], ids=ascii
)
def test_an_invisible_character_is_refused_in_ids(encode, character):
    for value in (f"12{character}34", f"12{character}", f"{character}12"):
        if encode is encode_id_list and value.strip() != value:
            continue
        assert refusal(encode, value).isprintable()


@pytest.mark.parametrize("encode", [encode_email, encode_phone_number])
@pytest.mark.parametrize("character", ["\u200c", "\u200d", "\u034f", "\u2800", "\u3164", "\ufe0f"], ids=ascii)
def test_joiners_and_fillers_are_refused_in_addresses(encode, character):
    assert f"U+{ord(character):04X}" in refusal(encode, f"a{character}b")


@pytest.mark.parametrize("value", ["1 Main St\nTown", "1 Main St\r\nTown\t5"])
def test_only_an_address_has_several_lines(value):
    assert encode_lines("address", value) == value
    assert "U+000" in refusal(encode_text, value)


def test_a_password_is_in_no_error():
    shown = refusal(encode_password, "correct\u202ehorse")
    assert "correct" not in shown
    assert "202E" not in shown


ROUNDED = ["2.49945E+16", "2.49945e+16", "2,49945E+16", "2.5E16", "25e15", "-1e5", "123.0", "123.", "+123.00"]


@EACH_ID
@pytest.mark.parametrize("value", ROUNDED)
def test_a_rounded_id_is_refused(encode, value):
    if "," not in value or encode is not encode_id_list:
        assert "has rounded" in refusal(encode, value)


@pytest.mark.parametrize("value", [*ROUNDED, "4,91512E+12", "4915112345678,0", " 4.9e+12 "])
def test_a_rounded_phone_number_is_refused(value):
    assert "has rounded" in refusal(encode_phone_number, value)


CELLS = [
    "'123",
    '="123"',
    "=123",
    '"123"',
    "\u2019123",
    "#N/A",
    "#REF!",
    "#VALUE!",
    "24,994,546",
    "24'994'546",
]


@pytest.mark.parametrize("value", CELLS)
def test_what_a_spreadsheet_shows_is_no_id_and_no_phone_number(value):
    for encode in (encode_identifier, encode_number, encode_phone_number):
        refusal(encode, value)
    assert "as a spreadsheet shows it" in refusal(encode_phone_number, value)


@pytest.mark.parametrize("value", ["\uff11\uff12", "\u0663\u0664", "1\u06634", "+\uff14\uff19 30"])
def test_digits_of_another_script_are_refused(value):
    for encode in (encode_identifier, encode_number, encode_phone_number):
        refusal(encode, value)


def test_dots_group_a_phone_number_and_no_id():
    assert encode_phone_number("phone_number", "24.994.546") == "24.994.546"
    assert "as a spreadsheet shows it" in refusal(encode_identifier, "24.994.546")


@pytest.mark.parametrize("value", ["psid:123", "U4af4980629", "12e", "a.b.c", "_1_2", "1-2"])
def test_text_of_other_channels_stays_an_id(value):
    assert encode_identifier("subscriber_id", value) == value


@pytest.mark.parametrize("value", ["+49 151 1234", "030.1234567", "01.23.45.67", "(555) 010-1234", "", "5e"])
def test_a_phone_number_is_sent_as_it_is_written(value):
    assert encode_phone_number("phone_number", value) == value


MISSING = ["nan", "NaN", "NaT", "<NA>", "None", "null", "NULL", "inf", "-inf", "undefined"]


@pytest.mark.parametrize("encode", [*IDS, encode_email, encode_phone_number], ids=lambda each: each.__name__)
@pytest.mark.parametrize("value", MISSING)
def test_the_text_of_a_missing_value_is_refused(encode, value):
    assert "must be a" in refusal(encode, value)


class Missing:
    """A marker of a missing value, as pandas.NA is."""

    def __str__(self):
        return "<NA>"


@pytest.mark.parametrize("encode", [*IDS, *TEXTS], ids=lambda each: each.__name__)
@pytest.mark.parametrize(
    "value",
    [
        2.5e16,
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("1.5"),
        NotATime(2026, 1, 1),
        Missing(),
        True,
        None,
    ],
    ids=lambda each: type(each).__name__,
)
def test_no_float_or_missing_value_is_an_id_or_text(encode, value):
    assert type(value).__name__ in refusal(encode, value)


@pytest.mark.parametrize(
    ("value", "count"), [(1, 1), ("5", 5), (" 5 ", 5), (WholeNumberOfNumpy(7), 7), ("007", 7)]
)
def test_count(value, count):
    assert read_count("rows", value) == count


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        "0",
        "",
        "x",
        "1.0",
        "1e3",
        "\u0663",
        "\u00b2",
        1.0,
        float("nan"),
        True,
        None,
        [],
        10**5000,
        "9" * 5000,
    ],
    ids=lambda each: str(type(each)),
)
def test_values_that_are_not_a_count_are_refused(value):
    shown = refusal(lambda name, each: read_count(name, each), value)
    assert "must be a whole number of 1 or more" in shown
    assert " id" not in shown
    assert len(shown) < 150


def test_a_count_has_limits():
    assert read_count("rows", 0, at_least=0) == 0
    assert read_count("rows", 9, at_most=9) == 9
    assert "from 1 to 9, not 10" in refusal(lambda name, value: read_count(name, value, at_most=9), 10)


@pytest.mark.parametrize(("value", "switch"), [(True, True), ("False", False), (" true ", True)])
def test_switch(value, switch):
    assert read_switch("overwrite", value) is switch


@pytest.mark.parametrize("value", [4915112345678, 0, 1.5, WholeNumberOfNumpy(7)], ids=repr)
def test_a_number_that_a_template_made_of_text_is_refused_with_a_hint_how_to_keep_the_text(value):
    assert "{{ ... | tojson }}" in refusal(encode_text, value)


@pytest.mark.parametrize(
    "value", [1.5, True, None, b"x", ["x"], {"x": 1}, object()], ids=lambda x: type(x).__name__
)
def test_text_is_nothing_else(value):
    assert f"must be text, not {type(value).__name__}" in refusal(encode_text, value)


def test_half_an_emoji_is_refused():
    assert "surrogate" in refusal(encode_text, "secret \ud83d")


def test_a_refused_text_is_nowhere_in_the_error():
    with pytest.raises(CyTechBotFieldError) as caught:
        encode_text("password", "correct horse\ud83d")
    assert "correct" not in repr(caught.value) + repr(caught.value.__context__) + repr(caught.value.__cause__)


@pytest.mark.parametrize("encode", [encode_identifier, encode_number, encode_id_list])
@pytest.mark.parametrize("value", [10**5000, -(10**5000)], ids=["huge", "huge below zero"])
def test_numbers_that_python_would_not_write_are_refused(encode, value):
    assert "is larger than any" in refusal(encode, value)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("2499454673490220", "2499454673490220"),
        (24994546734902201, "24994546734902201"),
        ("-100123", "-100123"),
        ("user@web_1-2:x/é", "user@web_1-2:x/é"),
        ("007", "007"),
    ],
)
def test_identifier_accepts_digits_and_text_of_other_channels(value, sent):
    assert encode_identifier("subscriber_id", value) == sent


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "must be an id, not ''"),
        ("0", "must be an id, not '0'"),
        (0, "must be an id, not '0'"),
        (" 12", "one id without spaces and commas"),
        ("12\n", "the invisible character U+000A"),
        ("1 2", "one id without spaces and commas"),
        ("1\u00a02", "one id without spaces and commas"),
        ("1,2", "one id without spaces and commas"),
        ("1\x002", "the invisible character U+0000"),
        (2499454673490220.0, "must be an id, not float"),
        (True, "must be an id, not bool"),
        (None, "must be an id, not NoneType"),
        (["1"], "must be an id, not list"),
    ],
)
def test_identifier_refuses(value, problem):
    assert problem in refusal(encode_identifier, value)


def test_a_float_as_id_is_explained():
    assert "a float rounds the digits" in refusal(encode_identifier, 1.0)


@pytest.mark.parametrize(("value", "sent"), [("12", "12"), (12, "12"), ("0012", "0012")])
def test_number_accepts_digits(value, sent):
    assert encode_number("user_id", value) == sent


@pytest.mark.parametrize("value", ["x", "-1", -1, "٣", "²", "0", "00", "../2", "1/2", "%31"])
def test_number_refuses(value):
    assert "must be" in refusal(encode_number, value)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (["1", 2, "3"], "1,2,3"),
        ("1,2", "1,2"),
        (" 1 , 2 ", "1,2"),
        (5, "5"),
        (("1",), "1"),
        (iter(["2", "1"]), "2,1"),
        (["2", "1", 2, "2"], "2,1"),
    ],
    ids=["list", "commas", "spaces", "number", "tuple", "iterator", "twice"],
)
def test_id_list(value, sent):
    assert encode_id_list("label_ids", value) == sent


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "is empty"),
        ("", "not ''"),
        ("1,,2", "not ''"),
        (["1,2"], "without spaces and commas"),
        ([1.0], "not float"),
        ([None], "not NoneType"),
        ([["1"]], "not list"),
        ({"1": "x"}, "must be a list of ids, not dict"),
        (b"1", "must be a list of ids, not bytes"),
        (bytearray(b"1"), "must be a list of ids, not bytearray"),
        (1.0, "must be a list of ids, not float"),
        (True, "must be a list of ids, not bool"),
    ],
)
def test_id_list_refuses(value, problem):
    assert problem in refusal(encode_id_list, value)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("2026-02-28", "2026-02-28"),
        ("0999-01-01", "0999-01-01"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 23, 59, tzinfo=UTC), "2026-01-02"),
        (datetime(2026, 1, 2, 23, 59, tzinfo=timezone(timedelta(hours=-11))), "2026-01-02"),
        (pendulum.datetime(2026, 1, 2), "2026-01-02"),
        (pendulum.date(2026, 1, 2), "2026-01-02"),
    ],
    ids=repr,
)
def test_date(value, sent):
    assert encode_date("expired_date", value) == sent


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2026-02-30",
        "0000-00-00",
        "20260228",
        "2026-W01-1",
        "28.02.2026",
        "2026-02-28 00:00:00",
        "2026-02-28\n",
        "٢٠٢٦-٠٢-٢٨",
        NotATime(2026, 1, 1),
        20260228,
        None,
        True,
    ],
)
def test_date_refuses(value):
    assert "must be a date" in refusal(encode_date, value)


def test_a_long_wrong_value_is_not_shown_whole():
    assert "x" * 41 not in refusal(encode_date, "x" * 1000)
    assert " " + "x" * 41 not in refusal(encode_identifier, "x y" * 1000)


def test_advice_follows_the_refusal():
    error = field_error("page_id", "is wrong", "Right it.")
    assert str(error) == "Field 'page_id' is wrong. Nothing was sent. Right it."


_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.dates()
    | st.datetimes(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children) | st.tuples(children),
    max_leaves=5,
)


@pytest.mark.parametrize("encode", ENCODERS, ids=lambda each: each.__name__)
@given(value=_ANYTHING)
def test_anything_is_sent_as_text_or_refused(encode, value):
    try:
        sent = encode("name", value)
    except CyTechBotFieldError as error:
        reason = str(error)
    else:
        reason = sent
    assert reason.encode().decode() == reason
