from __future__ import annotations

import io

import pytest

from airflow_provider_cytechbot.formats import lines
from airflow_provider_cytechbot.formats.lines import Lines, UnreadableFileError


def test_lines_keep_their_ends_and_are_counted():
    found = Lines(io.BytesIO(b"\xef\xbb\xbfa\r\n\nb"))
    assert [(found.number, line) for line in found] == [(1, b"a\r\n"), (2, b"\n"), (3, b"b")]


def test_only_the_first_byte_order_mark_is_dropped():
    assert list(Lines(io.BytesIO(b"\xef\xbb\xbf\n\xef\xbb\xbf"))) == [b"\n", b"\xef\xbb\xbf"]


def test_line_of_the_greatest_length_is_read(monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 4)
    assert list(Lines(io.BytesIO(b"abc\nabcd"))) == [b"abc\n", b"abcd"]
    with pytest.raises(UnreadableFileError, match="line 1"):
        list(Lines(io.BytesIO(b"abcd\n")))
