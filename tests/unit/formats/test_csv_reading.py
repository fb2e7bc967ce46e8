from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.formats import csv_reading, lines
from airflow_provider_cytechbot.formats.csv_reading import read_csv
from airflow_provider_cytechbot.formats.lines import UnreadableFileError


def read(content, **options):
    return list(read_csv(io.BytesIO(content), **options))


@pytest.mark.parametrize(
    "content",
    [
        b"id,name\n1,Ada\n2,\n",
        b"id,name\r\n1,Ada\r\n2,\r\n",
        b"id,name\r1,Ada\r2,\r",
        b"\xef\xbb\xbfid,name\n1,Ada\n2,",
        b'\xef\xbb\xbf"id","name"\n"1","Ada"\n"2",""',
        b"id;name\n1;Ada\n2;\n",
        b"id\tname\n1\tAda\n2\t\n",
        b"id,name\n\n1,Ada\n\n2,\n\n",
        b'id,name\n"=""1""",Ada\n2,\n',
    ],
)
def test_line_ends_marks_quotes_and_delimiters(content):
    assert read(content) == [{"id": "1", "name": "Ada"}, {"id": "2", "name": ""}]


def test_delimiter_that_is_given_is_used():
    assert read(b"a,b|c\n1|2\n", delimiter="|") == [{"a,b": "1", "c": "2"}]


def test_comma_is_the_delimiter_of_a_header_that_has_commas_and_semicolons():
    assert read(b'"why; how?",id\nx,1\n') == [{"why; how?": "x", "id": "1"}]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_in_quoted_names_are_not_delimiters(separator):
    content = separator.join(['"why, how; when\t?"', '"id"']) + f"\nx{separator}1\n"
    assert read(content.encode()) == [{"why, how; when\t?": "x", "id": "1"}]


@given(st.lists(st.lists(st.text(), min_size=3, max_size=3)), st.sampled_from(["\n", "\r\n"]))
def test_any_text_that_python_writes_comes_back(records, end):
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *records])
    expected = [dict(zip("abc", record, strict=True)) for record in records]
    assert read(file.getvalue().encode()) == expected


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"id,name\n1\n", "has 1 fields in line 2, but 2 in its header"),
        (b"id,name\n1,2\n\n1,2,3\n", "has 3 fields in line 4"),
        (b'id,name\n1,"2\n3"\n1\n', "has 1 fields in line 4"),
        (b'id,name\n1,2\n1,"open\n3,4\n', "in the record that begins in line 3"),
        (b'id,name\n1,"a"b\n', "in the record that begins in line 2"),
        (b"id,id\n", "column 'id' more than once"),
        (b"id,\n", "no name for column 2"),
        (b"id, \n", "no name for column 2"),
        (b"id\n1\n\xff\n", "not UTF-8, line 3"),
        ("id\n1\n".encode("utf-16"), "not UTF-8, line 1"),
    ],
)
def test_errors_name_the_line(content, problem):
    with pytest.raises(UnreadableFileError) as caught:
        read(content)
    assert problem in caught.value.problem
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"id\n" + b"1" * 200, b'id\n"' + b"1\n" * 100, b"id," * 100 + b"\n"])
def test_memory_is_bounded(monkeypatch, content):
    for module in (lines, csv_reading):
        monkeypatch.setattr(module, "MAX_LINE_BYTES", 100)
    with pytest.raises(UnreadableFileError, match="more than 100 bytes"):
        read(content)


def test_number_of_columns_is_bounded(monkeypatch):
    monkeypatch.setattr(csv_reading, "MAX_COLUMNS", 2)
    with pytest.raises(UnreadableFileError, match="more than 2 columns"):
        read(b"a,b,c\n")


def test_long_field_is_read():
    assert read(b"a\n" + b"x" * 200_000) == [{"a": "x" * 200_000}]
