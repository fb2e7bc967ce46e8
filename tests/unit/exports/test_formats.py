from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.api.records import FlowAnswerRow
from airflow_provider_cytechbot.exports.formats import COLUMNS, CsvEncoder, FileType, JsonLinesEncoder

ODD_ANSWERS = [
    "plain",
    "",
    "a,b;c\td",
    'She said "never", he said ""again""',
    '"',
    "two\nlines",
    "two\r\nlines",
    "only\rreturn",
    "\n",
    " spaces around ",
    '=HYPERLINK("http://example.com","thanks")',
    "+1",
    "-",
    "@home",
    "👍🏽 自転車 Größe",
    "\u2028\u2029\x85\x0b\x0c",  # ends of lines, to str.splitlines
    "null",
    "\\n \\",
    "\ufeff",
    "\x00\x1f",
    "None",
]


def row(**changes):
    return {
        "flow_campaign_id": "1",
        "flow_name": "Product feedback",
        "subscriber_id": "24994546734902201",
        "question_id": "45",
        "question": "Why?",
        "answer": "Because",
        "extracted_at": "2026-11-22T15:14:40+00:00",
    } | changes


def rows_of(answers):
    return [row(answer=answer, subscriber_id=str(10**16 + i)) for i, answer in enumerate(answers)]


def test_columns_are_those_of_the_design():
    assert COLUMNS == tuple(row()) == tuple(FlowAnswerRow.__annotations__)


class TestJsonLines:
    def test_one_object_a_line_in_the_order_of_the_columns(self):
        assert JsonLinesEncoder.header == b""
        assert JsonLinesEncoder().encode([row(), row(answer="ü", flow_name=None)]) == (
            b'{"flow_campaign_id":"1","flow_name":"Product feedback","subscriber_id":"24994546734902201",'
            b'"question_id":"45","question":"Why?","answer":"Because",'
            b'"extracted_at":"2026-11-22T15:14:40+00:00"}\n'
            b'{"flow_campaign_id":"1","flow_name":null,"subscriber_id":"24994546734902201",'
            b'"question_id":"45","question":"Why?","answer":"\xc3\xbc",'
            b'"extracted_at":"2026-11-22T15:14:40+00:00"}\n'
        )

    def test_no_rows_are_no_bytes(self):
        assert JsonLinesEncoder().encode([]) == b""

    @given(st.lists(st.text() | st.none()))
    def test_any_text_comes_back(self, answers):
        rows = rows_of([*answers, *ODD_ANSWERS])
        lines = JsonLinesEncoder().encode(rows).split(b"\n")
        assert lines.pop() == b""
        assert [json.loads(line) for line in lines] == rows


class TestCsv:
    def test_header_and_records(self):
        assert CsvEncoder.header == (
            b"flow_campaign_id,flow_name,subscriber_id,question_id,question,answer,extracted_at\r\n"
        )
        assert CsvEncoder().encode([row(), row(answer=None, flow_name=None)]) == (
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
    def test_fields_are_quoted_as_rfc_4180_says(self, answer, field):
        assert CsvEncoder().encode([row(answer=answer)]).split(b",Why?,")[1] == (
            field + b",2026-11-22T15:14:40+00:00\r\n"
        )

    @given(st.lists(st.text() | st.none()))
    def test_any_text_comes_back(self, answers):
        rows = rows_of([*answers, *ODD_ANSWERS])
        text = (CsvEncoder.header + CsvEncoder().encode(rows)).decode()
        expected = [each | {"answer": each["answer"] or ""} for each in rows]
        assert list(csv.DictReader(io.StringIO(text, newline=""), strict=True)) == expected

    @given(st.lists(st.text(), min_size=1))
    def test_fields_and_records_are_those_of_a_reader_that_goes_by_rfc_4180_alone(self, answers):
        rows = rows_of(answers)
        records = read_rfc_4180((CsvEncoder.header + CsvEncoder().encode(rows)).decode())
        assert records == [list(COLUMNS), *[list(each.values()) for each in rows]]


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


class TestFileType:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("s3://bucket/answers.jsonl", ("jsonl", "none")),
            ("s3://bucket/answers.ndjson", ("jsonl", "none")),
            ("s3://bucket/answers.csv", ("csv", "none")),
            ("s3://bucket/answers.jsonl.gz", ("jsonl", "gzip")),
            ("s3://bucket/answers.csv.gz", ("csv", "gzip")),
            ("ANSWERS.CSV.GZ", ("csv", "gzip")),
            ("a.csv/b.jsonl", ("jsonl", "none")),
            ("/data/v1.2/answers.2026.csv", ("csv", "none")),
        ],
    )
    def test_suffixes_decide(self, path, expected):
        assert FileType.of(path, None, None) == expected
        assert FileType.of(path, "", "") == expected

    @pytest.mark.parametrize(
        ("path", "file_format", "compression", "expected"),
        [
            ("answers", "csv", None, ("csv", "none")),
            ("answers.gz", "csv", None, ("csv", "gzip")),
            ("answers.txt", "jsonl", "gzip", ("jsonl", "gzip")),
            ("answers.csv", "jsonl", None, ("jsonl", "none")),
            ("answers.csv.gz", None, "none", ("csv", "none")),
            ("answers.csv", None, "gzip", ("csv", "gzip")),
        ],
    )
    def test_names_outdo_suffixes(self, path, file_format, compression, expected):
        assert FileType.of(path, file_format, compression) == expected

    @pytest.mark.parametrize(
        ("path", "file_format", "compression", "message"),
        [
            (
                "s3://b/answers",
                None,
                None,
                r"Field 'path' has no suffix .*\.jsonl, \.ndjson, \.csv.* file_format",
            ),
            ("s3://b/answers.gz", None, None, "Field 'path' has no suffix"),
            ("s3://b/answers.csv.zip", None, None, "Field 'path' has no suffix"),
            ("s3://b.csv/answers", None, None, "Field 'path' has no suffix"),
            ("s3://b/folder.csv/", None, None, "Field 'path' ends in a slash"),
            ("", "csv", None, "Field 'path' "),
            ("a.csv", "xlsx", None, "Field 'file_format' must be one of jsonl, csv, not 'xlsx'"),
            ("a.csv", "None", None, "Field 'file_format'"),
            ("a.csv", None, "zstd", "Field 'compression' must be gzip or none, not 'zstd'"),
        ],
    )
    def test_errors_name_the_field(self, path, file_format, compression, message):
        with pytest.raises(CyTechBotFieldError, match=message):
            FileType.of(path, file_format, compression)

    def test_encoder_is_that_of_the_format(self):
        assert isinstance(FileType("csv", "none").encoder(), CsvEncoder)
        assert isinstance(FileType("jsonl", "gzip").encoder(), JsonLinesEncoder)


class TestCompression:
    @staticmethod
    def compress(*contents, compression="gzip"):
        file = io.BytesIO()
        with FileType("jsonl", compression).compressed(file) as sink:
            for content in contents:
                sink.write(content)
        assert not file.closed
        return file.getvalue()

    def test_none_writes_as_it_is(self):
        assert self.compress(b"a", b"b", compression="none") == b"ab"

    @pytest.mark.parametrize("contents", [(), (b"",), (b"a", b"b" * 100_000)])
    def test_gzip_comes_back(self, contents):
        assert gzip.decompress(self.compress(*contents)) == b"".join(contents)

    def test_gzip_does_not_hold_the_name_of_its_part(self, tmp_path):
        with (tmp_path / "x.part").open("wb") as file, FileType("csv", "gzip").compressed(file) as sink:
            sink.write(b"rows")
        assert (tmp_path / "x.part").read_bytes() == self.compress(b"rows")

    def test_gzip_is_the_same_at_any_time(self, monkeypatch):
        first = self.compress(b"rows")
        monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
        assert self.compress(b"rows") == first
        assert first[3:8] == b"\0\0\0\0\0"  # neither name nor time

    def test_gzip_makes_it_small(self):
        assert len(self.compress(b"the same again " * 10_000)) < 1000
