from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.reports.answer_text import MAX_CHARACTERS, ShownText, shown_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("City bike", "City bike"),
        ("  Delivery was late.\r\n\tThe bike is great! ", "Delivery was late. The bike is great!"),
        ("nul\x00byte\x07\x1b[31m\x7f\x9b", "nulbyte[31m"),
        ("a\x85b\u2028c\u2029d\u00a0e\u3000f", "a b c d e f"),
        ("\u202eevil\u202c \u2066txt\u2069\u200e\u200f\u061c", "evil txt"),
        ("zero\u200bwidth\u2060\ufeff\u00ad", "zerowidth"),
        ("\u115f\u1160\u3164\uffa0\u034f\u17b4\u2800\U000e0041", ""),
        ("", ""),
        ("half \ud83d of a pair, \ufffe", "half \ufffd of a pair, \ufffd"),
        ("Z" + "\u0301" * 500 + "algo", "Z" + "\u0301" * 4 + "algo"),
        ("\u0301\u0301 no letter for a mark", "no letter for a mark"),
    ],
)
def test_shows_visible_characters_on_one_line(text, shown):
    assert shown_text(text) == ShownText(shown)


@pytest.mark.parametrize(
    "text",
    [
        "Cycling 🚴🏽\u200d♂️",
        "👩\u200d👩\u200d👧 🏳️\u200d🌈 👍🏿 1️⃣",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "क्\u200dष",
        "Gdańsk, São Paulo, Tiếng Việt",
        "自転車",
        "مرحبا بالعالم",
        "<b>not markup</b> & 'quotes' \"too\"",
    ],
)
def test_leaves_writing_and_emoji_as_they_are(text):
    assert shown_text(text) == ShownText(text)


@pytest.mark.parametrize("joiner", ["\u200c", "\u200d"])
@pytest.mark.parametrize("around", [("a", "b"), ("", "b"), ("👍", ""), ("👍", " "), ("1", "2")])
def test_a_joiner_that_joins_nothing_is_left_out(joiner, around):
    assert shown_text(joiner.join(around)) == shown_text("".join(around))


class TestLongTexts:
    @pytest.mark.parametrize("length", [MAX_CHARACTERS + 1, 1_000, 1_999, 2_000, 2_001, 1_000_000])
    def test_are_cut_with_the_number_of_characters_left_out(self, length):
        shown = shown_text("A" * length)
        assert shown.text == "A" * MAX_CHARACTERS
        assert shown.left_out == length - MAX_CHARACTERS

    def test_that_just_fit_are_whole(self):
        assert shown_text("A" * MAX_CHARACTERS) == ShownText("A" * MAX_CHARACTERS)

    def test_that_begin_alike_are_different_texts(self):
        assert shown_text("A" * 5_000 + "B") != shown_text("A" * 5_000 + "C")
        assert shown_text("A" * 5_000 + "B") == shown_text("A" * 5_000 + "B")

    @pytest.mark.parametrize("cluster", ["e\u0301\u0302", "👩\u200d👩\u200d👧", "👍🏿", "क्\u200dष"])
    @pytest.mark.parametrize("before", range(8))
    def test_are_not_cut_inside_a_character_with_marks(self, cluster, before):
        text = "A" * (MAX_CHARACTERS - before) + cluster + "B" * 50
        shown = shown_text(text).text
        assert shown.rstrip("B").endswith((cluster, "A"))


@given(st.text(st.characters(codec=None), max_size=400))
def test_no_text_shows_what_is_invisible_or_turns_the_line(text):
    shown = shown_text(text)
    kinds = {unicodedata.category(each) for each in shown.text if each not in "\u200c\u200d"}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert len(shown.text) <= MAX_CHARACTERS
    assert " ".join(shown.text.split()) == shown.text
    shown.text.encode()
