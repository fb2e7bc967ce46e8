from __future__ import annotations

import io
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_cytechbot.formats import lines
from airflow_provider_cytechbot.formats.json_lines import JsonLinesEncoder, read_json_lines
from airflow_provider_cytechbot.formats.lines import UnreadableFileError
from airflow_provider_cytechbot.formats.table import Column, Table

from ..rows import COLUMNS, ODD_ANSWERS, row, rows_of, table


def test_one_object_a_line_in_the_order_of_the_columns():
    assert JsonLinesEncoder(COLUMNS).header() == JsonLinesEncoder(COLUMNS).footer() == b""
    assert JsonLinesEncoder(COLUMNS).encode(table([row(), row(answer="ü", flow_name=None)])) == (
        b'{"flow_campaign_id":"1","flow_name":"Product feedback","subscriber_id":"24994546734902201",'
        b'"question_id":"45","question":"Why?","answer":"Because",'
        b'"extracted_at":"2026-11-22T15:14:40+00:00"}\n'
        b'{"flow_campaign_id":"1","flow_name":null,"subscriber_id":"24994546734902201",'
        b'"question_id":"45","question":"Why?","answer":"\xc3\xbc",'
        b'"extracted_at":"2026-11-22T15:14:40+00:00"}\n'
    )


@given(st.text(max_size=5))
@example('Is it "it"?')
@example("back\\slash")
@example("\x01")
def test_any_text_can_be_the_name_of_a_column(name):
    encoded = JsonLinesEncoder([Column(name, "")]).encode(Table(1, {name: ["a"]}))
    assert json.loads(encoded) == {name: "a"}


def test_a_table_without_rows_is_an_empty_file():
    assert JsonLinesEncoder(COLUMNS).encode(table([])) == b""


@given(st.lists(st.text() | st.none()))
def test_any_text_comes_back(answers):
    rows = rows_of([*answers, *ODD_ANSWERS])
    encoded = JsonLinesEncoder(COLUMNS).encode(table(rows)).split(b"\n")
    assert encoded.pop() == b""
    assert [json.loads(line) for line in encoded] == rows


def test_integers_are_numbers():
    encoder = JsonLinesEncoder([Column("row", "", "integer")])
    assert encoder.encode(Table(2, {"row": [1, None]})) == b'{"row":1}\n{"row":null}\n'


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
