from __future__ import annotations

import csv
import io

import duckdb
import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.formats import csv_records, lines
from airflow_provider_cytechbot.formats.csv_records import SEPARATORS, CsvEncoder, read_csv
from airflow_provider_cytechbot.formats.lines import UnreadableFileError
from airflow_provider_cytechbot.formats.table import Column, Same, Table

from ..rows import COLUMNS, NAMES, ODD_ANSWERS, row, rows_of, table


def test_header_and_records():
    assert CsvEncoder(COLUMNS).header() == (
        b'"flow_campaign_id","flow_name","subscriber_id","question_id","question","answer","extracted_at"\r\n'
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
def test_fields_are_quoted_by_rfc_4180(answer, field):
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
    """Read a file by the grammar of RFC 4180, in which a lone CR, LF or quote is not TEXTDATA."""
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
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-", "'-"),
        ("@home", "'@home"),
        (" =1", "' =1"),
        ("\tx", "'\tx"),
        ("\n=1", "'\n'=1"),
        ("\0", "'\0"),
        ("\uff1d1", "'\uff1d1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("\u200b+1", "'\u200b+1"),
        ("\u2060\u00ad@a", "'\u2060\u00ad@a"),
        ('=HYPERLINK("x","y")', '\'=HYPERLINK(""x"",""y"")'),
        ('"=1"', '\'""=1""'),
        ("nice;=1+1;bye", "nice;'=1+1;bye"),
        ("nice; =1+1;bye", "nice;' =1+1;bye"),
        ('nice;"=1+1";bye', 'nice;\'""=1+1"";bye'),
        ("nice\t@SUM(A1)", "nice\t'@SUM(A1)"),
        ("nice|+1", "nice|'+1"),
        ("nice\n-1", "nice\n'-1"),
        ("nice\r\n=1", "nice\r\n'=1"),
        ("a=1", "a=1"),
        ("a, -b", "a, -b"),
        ("", ""),
    ],
)
def test_formulas_are_escaped_for_readers_with_any_separator(answer, field):
    encoder = CsvEncoder(COLUMNS, escape_formulas=True)
    encoded = encoder.encode(table([row(answer=answer)])).decode()
    assert encoded == (
        f'"1","Product feedback","24994546734902201","45","Why?","{field}","2026-11-22T15:14:40+00:00"\r\n'
    )


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quotechar", ['"', None])
@given(st.text(alphabet="=+-@;,\t\n\r |\"'a1\uff1d", max_size=12))
def test_no_reader_finds_a_formula(separator, delimiter, quotechar, answer):
    encoder = CsvEncoder(COLUMNS, escape_formulas=True, separator=separator)
    text = (encoder.header() + encoder.encode(table([row(answer=answer, question=answer)]))).decode()
    quoting = csv.QUOTE_MINIMAL if quotechar else csv.QUOTE_NONE
    if delimiter == separator and quotechar != '"':
        return  # the separator of the file itself: such a reader finds no field as it was written
    for record in csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quotechar, quoting=quoting
    ):
        for field in record:
            assert not field.lstrip(' "').startswith(("=", "+", "-", "@", "\uff1d"))


@pytest.mark.parametrize(
    ("separator", "answer", "field"),
    [
        (",", "nice,=1+1", "nice,=1+1"),
        (",", "nice;=1+1", "nice;'=1+1"),
        (";", "nice,=1+1", "nice,'=1+1"),
        (";", "nice;=1+1", "nice;=1+1"),
        ("\t", "nice,=1+1", "nice,'=1+1"),
        ("\t", "nice\t=1+1", "nice\t'=1+1"),
    ],
)
def test_formulas_are_escaped_after_every_separator_but_that_of_the_file(separator, answer, field):
    encoder = CsvEncoder([Column("a", ""), Column("b", "")], escape_formulas=True, separator=separator)
    encoded = encoder.encode(Table(1, {"a": [answer], "b": Same("x")})).decode()
    assert encoded == f'"{field}"{separator}"x"\r\n'


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("options", [{}, {"escape_formulas": True}, {"text_ids": True}], ids=str)
@given(st.lists(st.text().filter(lambda text: "\0" not in text), min_size=1))
def test_any_text_comes_back_with_any_separator(separator, options, answers):
    answers = [each for each in answers if not options or each.isalpha()]
    rows = rows_of([*answers, "a,b;c\td", 'a "b"'])
    encoder = CsvEncoder(COLUMNS, separator=separator, **options)
    content = encoder.header() + encoder.encode(table(rows))
    assert content.startswith(f'"flow_campaign_id"{separator}"flow_name"{separator}'.encode())
    assert list(read_csv(io.BytesIO(content))) == rows
    if not options.get("text_ids"):
        text = io.StringIO(content.decode(), newline="")
        assert list(csv.DictReader(text, delimiter=separator, strict=True)) == rows


def test_names_of_columns_are_escaped():
    columns = [Column("=1+1", ""), Column("nice;=1", "")]
    assert CsvEncoder(columns, escape_formulas=True).header() == b'"\'=1+1","nice;\'=1"\r\n'


def test_missing_value_differs_from_an_empty_one_when_formulas_are_escaped():
    encoder = CsvEncoder([Column("a", ""), Column("b", "")], escape_formulas=True)
    assert encoder.encode(Table(1, {"a": [None], "b": [""]})) == b',""\r\n'


@pytest.mark.parametrize("escape_formulas", [False, True])
@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("24994546734902201", b'"=""24994546734902201"""'),
        ("007", b'"=""007"""'),
        ("+49151234567890", b'"=""+49151234567890"""'),
    ],
)
def test_ids_are_written_as_text_for_spreadsheets(value, field, escape_formulas):
    columns = [Column("id", "", "id"), Column("same", "", "id")]
    encoder = CsvEncoder(columns, text_ids=True, escape_formulas=escape_formulas)
    assert encoder.encode(Table(1, {"id": [value], "same": Same(value)})) == field + b"," + field + b"\r\n"
    rows = list(
        read_csv(io.BytesIO(encoder.header() + encoder.encode(Table(1, {"id": [value], "same": [None]}))))
    )
    assert rows == [{"id": value, "same": ""}]


@pytest.mark.parametrize("value", ["abc", "=1", '1"', "1\n", "1;=2", "\u0661"])
def test_ids_that_are_not_digits_are_written_as_other_text(value):
    for kind in ("id", "text"):
        encoder = CsvEncoder([Column("a", "", kind)], text_ids=True, escape_formulas=True)
        other = CsvEncoder([Column("a", "")], escape_formulas=True)
        assert encoder.encode(Table(1, {"a": [value]})) == other.encode(Table(1, {"a": [value]}))


def test_integers():
    assert CsvEncoder([Column("row", "", "integer")]).encode(Table(2, {"row": [1, None]})) == b"1\r\n\r\n"


def written(tmp_path, rows, **options):
    encoder = CsvEncoder(COLUMNS, **options)
    path = tmp_path / "a.csv"
    path.write_bytes(encoder.header() + encoder.encode(table(rows)))
    return path


@pytest.mark.parametrize("escape_formulas", [False, True])
def test_duckdb_and_pyarrow_read_a_file_whose_first_quotes_come_late(tmp_path, escape_formulas):
    rows = rows_of(["plain"] * 25_000 + ['She said "no",\nand left'])
    path = written(tmp_path, rows, escape_formulas=escape_formulas)
    found = duckdb.read_csv(str(path), all_varchar=True)
    assert found.columns == NAMES
    assert [row[5] for row in found.fetchall()] == [row["answer"] for row in rows]
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    assert pyarrow.csv.read_csv(path, parse_options=options)["answer"].to_pylist()[-1] == rows[-1]["answer"]


def test_byte_order_mark_stands_before_the_header():
    header = CsvEncoder(COLUMNS).header()
    assert CsvEncoder(COLUMNS, byte_order_mark=True).header() == b"\xef\xbb\xbf" + header


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


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ids_that_were_written_as_text_are_read_in_every_record(end):
    records = ["id,name", '"=""1""",Ada', "2,=x", '="3","a=""b"""', '"=""+4""","x\ny"', '5,"=""6"""']
    assert read(end.join(records).encode()) == [
        {"id": "1", "name": "Ada"},
        {"id": "2", "name": "=x"},
        {"id": "3", "name": 'a="b"'},
        {"id": "+4", "name": "x\ny"},
        {"id": "5", "name": "6"},
    ]


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
    for module in (lines, csv_records):
        monkeypatch.setattr(module, "MAX_LINE_BYTES", 100)
    with pytest.raises(UnreadableFileError, match="more than 100 bytes"):
        read(content)


def test_number_of_columns_is_bounded(monkeypatch):
    monkeypatch.setattr(csv_records, "MAX_COLUMNS", 2)
    with pytest.raises(UnreadableFileError, match="more than 2 columns"):
        read(b"a,b,c\n")


def test_long_field_is_read():
    assert read(b"a\n" + b"x" * 200_000) == [{"a": "x" * 200_000}]
