from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_cytechbot.formats.json_lines import JsonLinesEncoder
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
    lines = JsonLinesEncoder(COLUMNS).encode(table(rows)).split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == rows


def test_integers_are_numbers():
    encoder = JsonLinesEncoder([Column("row", "", "integer")])
    assert encoder.encode(Table(2, {"row": [1, None]})) == b'{"row":1}\n{"row":null}\n'
