from __future__ import annotations

import io

import pytest

from airflow_provider_cytechbot.formats import lines
from airflow_provider_cytechbot.formats.json_lines_reading import read_json_lines
from airflow_provider_cytechbot.formats.lines import UnreadableFileError


def read(content):
    return list(read_json_lines(io.BytesIO(content)))


def test_types_are_kept_and_whole_numbers_are_exact():
    content = b'{"a":24994546734902201,"b":"1","c":[1,null,true]}\r\n\n{"a":123456789012345678901234567890}'
    assert read(b"\xef\xbb\xbf" + content) == [
        {"a": 24994546734902201, "b": "1", "c": [1, None, True]},
        {"a": 123456789012345678901234567890},
    ]


@pytest.mark.parametrize("number", ["2.49945e16", "24994546734902201.0", "1E5"])
def test_numbers_with_a_fraction_or_an_exponent_are_floats(number):
    assert isinstance(read(b'{"a":%s}' % number.encode())[0]["a"], float)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a":', "not valid JSON"),
        (b"{'a':1}", "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b'{"a":' + b"[" * 100_000, "not valid JSON"),
        (b"[1]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"[", "not a JSON object"),
        (b'{"a":"\xff"}', "UTF-8"),
        ('{"a":1}'.encode("utf-16"), ""),
    ],
)
def test_errors_name_the_line(line, problem):
    with pytest.raises(UnreadableFileError) as caught:
        read(b"{}\n" + line + b"\n")
    assert problem in caught.value.problem
    assert caught.value.problem.endswith("line 2")


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    with pytest.raises(UnreadableFileError, match="more than 100 bytes, line 2"):
        read(b"{}\n" + b" " * 200)
