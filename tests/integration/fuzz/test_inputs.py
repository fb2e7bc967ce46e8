"""Any input of a user or a server gives the right value or an error of the provider's tree."""

from __future__ import annotations

import csv
import gzip
import json
from contextlib import suppress

import duckdb
import polars
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.answers import decipher
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.endpoints import ENDPOINTS
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.bulk.sources import rows_of_files
from airflow_provider_cytechbot.connection_form import CONN_FIELDS
from airflow_provider_cytechbot.formats.file_types import FileType
from airflow_provider_cytechbot.formats.table import Column, Table
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.transport.settings import Settings

from .corpus import forget_secrets, fuzz, saved

KEY = "1-k-e-y-of-the-fuzz-tests"
#: Any JSON, without halves of surrogate pairs, which no text of a file or environment has.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(TEXTS, each, max_size=3),
    max_leaves=6,
)
EXTRAS = st.dictionaries(st.sampled_from([*CONN_FIELDS, "allow_http", "unknown"]), JSON, max_size=4)
HOSTS = TEXTS | st.sampled_from(["https://cytechbot.com", "http://127.0.0.1:8765/api", "localhost"])


def read_or_refuse(text):
    """Read a connection of the environment, which may have any text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", text)
        try:
            found = CyTechBotHook().settings
        except (CyTechBotError, AirflowNotFoundException) as error:
            found = error  # Airflow's own, where it cannot parse the text at all
    forget_secrets()
    if isinstance(found, Settings):
        assert found.timeout > 0
        assert found.max_retries >= 0
        assert KEY not in repr(found)
    else:
        assert KEY not in f"{found}{found!r}{vars(found)}"


@fuzz()
@saved("connections")
@given(host=HOSTS, extra=EXTRAS | JSON)
def test_any_connection_is_read_or_refused(host, extra):
    connection = {"conn_type": "cytechbot", "host": host, "password": KEY, "extra": extra}
    read_or_refuse(json.dumps(connection))


URIS = st.builds(
    "{}://:{}@{}/{}?{}".format,
    st.sampled_from(["cytechbot", "http", ""]),
    st.just(KEY),
    TEXTS,
    TEXTS,
    st.dictionaries(st.sampled_from([*CONN_FIELDS, "__extra__"]), TEXTS, max_size=3).map(
        lambda extra: "&".join(f"{name}={value}" for name, value in extra.items())
    ),
)


@fuzz()
@saved("uris")
@given(uri=(URIS | TEXTS).filter(lambda uri: "\0" not in uri and uri))
def test_any_uri_is_read_or_refused(uri):
    read_or_refuse(uri)


VALUES = {"password": "pass", "email": "ann@example.com", "expired_date": "2030-01-01", "label_ids": ["3"]}


def call_of(endpoint):
    names = [each.name for each in endpoint.fields if each.required]
    for group in (endpoint.one_of, endpoint.any_of):
        names += [name for name in group[:1] if name not in names]
    return build(endpoint, **{name: VALUES.get(name, "1") for name in names})


CALLS = {endpoint.name: call_of(endpoint) for endpoint in ENDPOINTS}
BODIES = [
    b'{"status":"success","message":"done","id":"1","label_id":"7","contact_type_id":5,"new_contact_id":6}',
    b'{"status":"error","message":{"error":{"code":613,"message":"(#613) Calls to this api"}}}',
    b'{"id":"1","flow_name":"F","data":{"10":[{"question_id":"1","question":"Q?","answer":"A"}]}}',
    b'[{"id":"1","flow_name":"F"}]',
    b'{"status":"success","user_info":{"id":"1","email":"a@b.c","expired_date":"2030-01-01 00:00:00"}}',
]
MUTATIONS = st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), max_size=4)


def mutated(content, mutations):
    """Return some bytes of which some are replaced."""
    for at, new in mutations:
        at %= len(content) + 1
        content = content[:at] + new + content[at + len(new) :]
    return content


@fuzz(examples=200)
@saved("answers")
@given(
    endpoint=st.sampled_from(list(CALLS)),
    body=st.binary(max_size=50)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.builds(mutated, st.sampled_from(BODIES), MUTATIONS),
    status=st.sampled_from([200, 200, 200, 201, 204, 302, 404, 429, 500, 0, 999]),
    retry_after=TEXTS,
)
def test_any_answer_is_a_record_or_an_error(endpoint, body, status, retry_after):
    with suppress(CyTechBotError):
        decipher(CALLS[endpoint], status, {"retry-after": retry_after}, body, api_key=KEY)


COLUMNS = [Column("answer", ""), Column("subscriber_id", "")]


def file_of(name, rows):
    encoder = FileType.of(name, None, None).encoder(COLUMNS)
    table = Table(len(rows), {column.name: [row[column.name] for row in rows] for column in COLUMNS})
    return encoder.header() + encoder.encode(table) + encoder.footer()


@fuzz(examples=20)
@saved("texts")
@given(answers=st.lists(TEXTS, min_size=1, max_size=6))
def test_any_text_survives_each_format_and_reader(tmp_path_factory, answers):
    rows = [{"answer": each, "subscriber_id": str(10**16 + at)} for at, each in enumerate(answers)]
    folder = tmp_path_factory.mktemp("rows")
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        content = file_of(name, rows)
        path = folder / name
        path.write_bytes(content)
        for reader in READERS[name]:
            found = reader(path)
            # An empty field of CSV is null for some readers.
            found = [{column: value or "" for column, value in row.items()} for row in found]
            assert found == rows, reader.__name__
        assert list(rows_of_files(str(path))) == rows


def read_with_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def read_with_json(path):
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def read_csv_with_pyarrow(path):
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(["answer", "subscriber_id"], "string"))
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    return pyarrow.csv.read_csv(path, parse_options=parse, convert_options=options).to_pylist()


def read_with_pyarrow(path):
    return pq.read_table(path).to_pylist()


def read_jsonl_with_pyarrow(path):
    return pyarrow.json.read_json(path).to_pylist()


def read_with_duckdb(path):
    readers = {
        ".csv": "read_csv($path, header=true, all_varchar=true, quote='\"', escape='\"', delim=',')",
        ".jsonl": "read_json($path, format='newline_delimited',"
        " columns={answer: 'VARCHAR', subscriber_id: 'VARCHAR'})",
        ".parquet": "read_parquet($path)",
    }
    found = duckdb.execute(f"FROM {readers[path.suffix]}", {"path": str(path)})
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def read_with_polars(path):
    if path.suffix == ".csv":
        return polars.read_csv(path, infer_schema=False).to_dicts()
    return (polars.read_ndjson if path.suffix == ".jsonl" else polars.read_parquet)(path).to_dicts()


READERS = {
    "a.jsonl": [read_with_json, read_jsonl_with_pyarrow, read_with_duckdb, read_with_polars],
    "a.csv": [read_with_csv, read_csv_with_pyarrow, read_with_duckdb, read_with_polars],
    "a.parquet": [read_with_pyarrow, read_with_duckdb, read_with_polars],
}


NAMES = ["a.csv", "a.jsonl", "a.parquet", "a.csv.gz", "a.jsonl.gz", "a.csv.zst", "a.json", "a.tsv"]
GOOD_ROWS = [
    {"answer": 'Dog, "big"\nand old', "subscriber_id": str(10**16)},
    {"answer": "", "subscriber_id": "2"},
]
GOOD_FILES = [file_of(name, GOOD_ROWS) for name in ("a.csv", "a.jsonl", "a.parquet")]
GOOD_FILES += [gzip.compress(each) for each in GOOD_FILES]


@fuzz(examples=150)
@saved("files")
@given(
    content=st.binary(max_size=60)
    | st.builds(mutated, st.sampled_from(GOOD_FILES), MUTATIONS)
    | st.builds(lambda content, end: content[:end], st.sampled_from(GOOD_FILES), st.integers(0, 200))
)
def test_any_input_file_gives_rows_or_an_error(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("files")
    for name in NAMES:
        path = folder / name
        path.write_bytes(content)
        with suppress(CyTechBotError):
            for row in rows_of_files(str(path)):
                assert isinstance(row, dict)
