from __future__ import annotations

import time

import pytest

from airflow_provider_cytechbot.api.messages import (
    MAX_MESSAGE,
    MAX_REASON,
    describe_page,
    header,
    message_of,
    one_line,
    outline,
    quote,
)

LONG = 5 * 10**6


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"message": " x "}, "x"),
        ({"error": "x"}, "x"),
        ({"message": "", "error": "x"}, "x"),
        ({"message": {"error": {"message": "(#1) x"}}}, "(#1) x"),
        ({"message": ["a", {"b": None}]}, '["a", {"b": null}]'),
        ({"message": 0}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_a_message_is_text(answer, message):
    assert message_of(answer) == message


@pytest.mark.parametrize(
    "message",
    ["x" * LONG, ["x"] * LONG, [["x"]] * (LONG // 5), {"a": "x" * LONG}],
    ids=lambda each: type(each),
)
def test_the_beginning_of_a_long_message_is_enough(message):
    started = time.process_time()
    assert len(message_of({"message": message})) <= MAX_MESSAGE
    assert time.process_time() - started < 0.5


def test_a_message_is_quoted():
    assert (quote("x"), quote("")) == ('"x"', "(no message)")


def test_a_text_becomes_one_short_line():
    assert one_line(" a\n\tb\x1b c ", str) == "a b\ufffd c"
    line = one_line("x" * LONG, str)
    assert (len(line), line[-1]) == (MAX_REASON + 1, "…")


def test_a_text_is_masked_before_it_is_cut():
    text = "x" * (MAX_REASON - 3) + "secret"
    assert "sec" not in one_line(text, lambda each: each.replace("secret", "***"))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("<title>Log in</title>", 'a web page titled "Log in"'),
        ("<html><TITLE lang='en'>\n Log in </Title>", 'a web page titled "Log in"'),
        ("İ<title>é</title>", 'a web page titled "é"'),
        ("<title></title>", "a web page titled (no message)"),
        ("<title>never closed", "text/x"),
        ("<title", "text/x"),
        ("</title>", "text/x"),
        ("x" * 9000 + "<title>x</title>", "text/x"),
        ("", "text/x"),
    ],
)
def test_a_page_is_described_by_its_title_or_type(body, what):
    assert describe_page({"Content-Type": "text/x"}, body) == what


def test_a_body_without_a_type_is_something_else():
    assert describe_page({}, "x") == "something else"


@pytest.mark.parametrize("body", ["<title>", "<title", "<", "</title", "é<title>"])
def test_a_long_page_is_described_fast(body):
    started = time.process_time()
    describe_page({}, body * (LONG // len(body)))
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"b": 1, "a": 2}, "an object with a, b"),
        ({}, "an object"),
        ([1], "a list"),
        (None, "null"),
        ({"x" * LONG: 1}, f"an object with {'x' * MAX_REASON}"),
    ],
    ids=["members", "empty", "list", "null", "long name"],
)
def test_an_outline_has_no_content(value, found):
    assert outline(value) == found


def test_an_outline_names_few_members():
    assert outline({str(number): 1 for number in range(100_000)}).count(",") == 9


def test_headers_are_found_in_any_case():
    assert header({"RETRY-After": "1"}, "retry-after") == "1"
    assert header({}, "retry-after") == ""
