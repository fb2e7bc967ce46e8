from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.formats.csv_records import CsvEncoder

from ..rows import COLUMNS, NAMES, ODD_ANSWERS, row, rows_of, table


def test_header_and_records():
    assert CsvEncoder(COLUMNS).header() == (
        b"flow_campaign_id,flow_name,subscriber_id,question_id,question,answer,extracted_at\r\n"
    )
    assert CsvEncoder(COLUMNS).encode(table([row(), row(answer=None, flow_name=None)])) == (
        b"1,Product feedback,24994546734902201,45,Why?,Because,2026-11-22T15:14:40+00:00\r\n"
        b"1,,24994546734902201,45,Why?,,2026-11-22T15:14:40+00:00\r\n"
    )


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ("a,b", b'"a,b"'),
        ('a "b" c', b'"a ""b"" c"'),
        ("a\nb", b'"a\nb"'),
        ("a\r\nb", b'"a\r\nb"'),
        ("a\rb", b'"a\rb"'),
        ("👍", "👍".encode()),
        ("=1+1", b"=1+1"),
        ("", b""),
        (" a ", b" a "),
    ],
)
def test_fields_are_quoted_as_rfc_4180_says(answer, field):
    assert CsvEncoder(COLUMNS).encode(table([row(answer=answer)])).split(b",Why?,")[1] == (
        field + b",2026-11-22T15:14:40+00:00\r\n"
    )


@given(st.lists(st.text() | st.none()))
def test_any_text_comes_back(answers):
    rows = rows_of([*answers, *ODD_ANSWERS])
    text = (CsvEncoder(COLUMNS).header() + CsvEncoder(COLUMNS).encode(table(rows))).decode()
    expected = [each | {"answer": each["answer"] or ""} for each in rows]
    assert list(csv.DictReader(io.StringIO(text, newline=""), strict=True)) == expected


@given(st.lists(st.text(), min_size=1))
def test_fields_and_records_are_those_of_a_reader_that_goes_by_rfc_4180_alone(answers):
    rows = rows_of(answers)
    records = read_rfc_4180((CsvEncoder(COLUMNS).header() + CsvEncoder(COLUMNS).encode(table(rows))).decode())
    assert records == [NAMES, *[list(each.values()) for each in rows]]


def read_rfc_4180(text):
    """Read a file by the grammar of RFC 4180, in which a lone CR, LF or quote is no TEXTDATA."""
    records, record, at = [], [], 0
    while at < len(text):
        if text[at] == '"':
            field, at = "", at + 1
            while True:
                end = text.index('"', at)
                field, at = field + text[at:end], end + 1
                if text[at : at + 1] != '"':
                    break
                field, at = field + '"', at + 1
        else:
            end = min(found for found in (text.find(",", at), text.find("\r\n", at)) if found >= 0)
            field, at = text[at:end], end
            assert not set(field) & set('\r\n"')
        record.append(field)
        if text[at] == ",":
            at += 1
        else:
            assert text[at : at + 2] == "\r\n"
            at += 2
            records.append(record)
            record = []
    assert not record
    return records


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ("=1+1", b"'=1+1"),
        ("+1", b"'+1"),
        ("-", b"'-"),
        ("@home", b"'@home"),
        ("\tx", b"'\tx"),
        ("\n=1", b'"\'\n=1"'),
        ("\0", b"'\0"),
        ("\uff1d1", "'\uff1d1".encode()),
        ('=HYPERLINK("x","y")', b'"\'=HYPERLINK(""x"",""y"")"'),
        ("a=1", b"a=1"),
        ("", b""),
    ],
)
def test_formulas_are_escaped_where_that_is_asked_for(answer, field):
    encoder = CsvEncoder(COLUMNS, escape_formulas=True)
    assert encoder.encode(table([row(answer=answer)])).split(b",Why?,")[1] == (
        field + b",2026-11-22T15:14:40+00:00\r\n"
    )


def test_byte_order_mark_stands_before_the_header():
    header = CsvEncoder(COLUMNS).header()
    assert CsvEncoder(COLUMNS, byte_order_mark=True).header() == b"\xef\xbb\xbf" + header
