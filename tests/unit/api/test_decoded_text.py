from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.decoded_text import DecodedText, decoded_levels, fold, raw_bytes


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("a%26b", "a&b"),
        ("a%2526b", "a&b"),
        ("a%u0026b", "a&b"),
        ("a\\u0026b", "a&b"),
        ("a\\\\u0026b", "a&b"),
        ("a\\x26b", "a&b"),
        ("a\\046b", "a&b"),
        ("a&amp;b", "a&b"),
        ("a&amp;amp;b", "a&b"),
        ("a&#38;b", "a&b"),
        ("a&#x26;b", "a&b"),
        ("a&sol;b", "a/b"),
        ("a&lt&#47b", "a</b"),
        ("a%C3%A9b", raw_bytes("aéb")),
        ("a\\u00e9b", raw_bytes("aéb")),
    ],
)
def test_each_encoding_is_decoded(text, decoded):
    assert decoded in {fold(level.text) for level in decoded_levels(DecodedText(raw_bytes(text)))}


@given(st.text())
def test_each_level_leads_back_into_the_original(text):
    for level in decoded_levels(DecodedText(raw_bytes(text))):
        assert level.traced(text).text == level.text


def test_white_space_and_breaks_are_folded():
    assert fold(raw_bytes("a b\r\n c<br />d\u200be\u00a0f+g\\h")) == "abcdefgh"
