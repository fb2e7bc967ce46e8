from __future__ import annotations

import csv
import gzip
import inspect
import io
import json
import logging
from collections import UserList
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, ObjectStoragePath
from fsspec.implementations.local import LocalFileOpener

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAuthError,
    CyTechBotError,
    CyTechBotFieldError,
    CyTechBotNotFoundError,
    CyTechBotResponseError,
    CyTechBotStorageError,
    CyTechBotStorageRefusedError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.exports.files import ExportFiles
from airflow_provider_cytechbot.exports.layouts import LongLayout
from airflow_provider_cytechbot.formats.csv_records import CsvEncoder
from airflow_provider_cytechbot.formats.json_lines import JsonLinesEncoder
from airflow_provider_cytechbot.formats.reading import read_folder
from airflow_provider_cytechbot.storage.locations import StorageLocation
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
)

from .. import stores

API = "https://cytechbot.com/api"
CONNECTION = json.dumps({"conn_type": "cytechbot", "password": "1-the-api-key", "extra": {"max_retries": 0}})
BODY = {
    "id": "7",
    "flow_name": "Feedback",
    "data": {
        "24994546734902201": [
            {"question_id": "45", "question": "Why?", "answer": 'Because,\n"so"'},
            {"question_id": "46", "question": "How?", "answer": None},
        ],
        "24994546734902202": [{"question_id": "45", "question": "Why?", "answer": "=1+1 👍"}],
        "24994546734902203": [],
    },
}


@pytest.fixture(autouse=True)
def connection(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", CONNECTION)


@pytest.fixture
def answer(requests_mock):
    """Let the API answer; returns the endpoint, which counts its calls."""

    def answer(body=BODY, **options):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return requests_mock.get(f"{API}/get_all_subscriber_flow_info/", content=content, **options)

    return answer


def export(path, **options):
    return ExportOperator(
        task_id="export", **{"flow_campaign_id": "7", "path": str(path), **options}
    ).execute({})


def expected_rows(extracted_at):
    return [
        {
            "flow_campaign_id": "7",
            "flow_name": "Feedback",
            "subscriber_id": subscriber_id,
            **each,
            "extracted_at": extracted_at,
        }
        for subscriber_id, answers in BODY["data"].items()
        for each in answers
    ]


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestInit:
    def test_checks_nothing(self, monkeypatch, requests_mock):
        monkeypatch.delenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT")
        ExportOperator(
            task_id="export",
            flow_campaign_id="{{ nonsense",
            path="nowhere://at all",
            file_format="?",
            compression="?",
            cytechbot_conn_id="missing",
        )
        assert not requests_mock.called

    def test_every_parameter_is_templated(self):
        parameters = inspect.signature(ExportOperator.__init__).parameters
        assert {*ExportOperator.template_fields, "self", "kwargs"} == set(parameters)

    def test_needs_a_path(self):
        with pytest.raises((TypeError, AirflowException), match="path"):
            ExportOperator(task_id="export", flow_campaign_id="7")


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("answers.jsonl", {}),
            ("answers.jsonl.gz", {}),
            ("answers", {"file_format": "jsonl", "compression": "gzip"}),
        ],
    )
    def test_json_lines(self, tmp_path, answer, name, options):
        answer()
        manifest = export(tmp_path / name, **options)
        content = (tmp_path / name).read_bytes()
        text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        assert (text != content) == (name != "answers.jsonl")
        assert [json.loads(line) for line in text.splitlines()] == expected_rows(manifest["extracted_at"])

    @pytest.mark.parametrize("name", ["answers.csv", "answers.csv.gz"])
    def test_csv(self, tmp_path, answer, name):
        answer()
        manifest = export(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        expected = expected_rows(manifest["extracted_at"])
        assert rows == [each | {"answer": each["answer"] or ""} for each in expected]

    @pytest.mark.parametrize("options", [{}, {"export_mode": "changes", "state_path": "state"}], ids=str)
    def test_numbers_where_texts_belong(self, tmp_path, answer, monkeypatch, options):
        monkeypatch.chdir(tmp_path)
        answer(b'{"data": {"1": [{"id": 45, "question": 2.50, "answer": 1e3}]}, "flow_name": "Feedback"}')
        export(tmp_path / "answers.jsonl", **options)
        row = json.loads((tmp_path / "answers.jsonl").read_bytes())
        assert (row["question_id"], row["question"], row["answer"]) == ("45", "2.50", "1e3")

    def test_rows_are_the_same_in_batches_of_any_size(self, tmp_path, answer, monkeypatch):
        answer()
        monkeypatch.setattr("airflow_provider_cytechbot.transport.requests_transport.BLOCK_SIZE", 64)
        manifest = export(tmp_path / "answers.jsonl")
        rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_bytes().splitlines()]
        assert rows == expected_rows(manifest["extracted_at"])

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.jsonl", b""),
            ("a.csv", ",".join(f'"{each.name}"' for each in LongLayout().columns).encode() + b"\r\n"),
            ("a.jsonl.gz", b""),
        ],
    )
    def test_campaign_without_answers(self, tmp_path, answer, requests_mock, name, content):
        answer({"id": None, "flow_name": None, "data": []})
        requests_mock.get(
            f"{API}/get_flow_campaign_info/",
            json={"id": "7", "flow_name": "Nobody yet", "questions": ["Why?"]},
        )
        manifest = export(tmp_path / name)
        written = (tmp_path / name).read_bytes()
        assert (gzip.decompress(written) if name.endswith(".gz") else written) == content
        assert manifest["bytes"] == len(written)
        assert (manifest["flow_name"], manifest["subscribers"], manifest["rows"]) == ("Nobody yet", 0, 0)

    def test_existing_file_is_replaced(self, tmp_path, answer):
        answer()
        (tmp_path / "answers.csv").write_bytes(b"old" * 1000)
        manifest = export(tmp_path / "answers.csv")
        assert (tmp_path / "answers.csv").stat().st_size == manifest["bytes"] < 1000

    def test_csv_for_spreadsheets(self, tmp_path, answer):
        answer()
        options = {"csv_text_ids": True, "csv_separator": ";", "escape_formulas": True}
        export(tmp_path / "a.csv", **options)
        lines = (tmp_path / "a.csv").read_bytes().decode().split("\r\n")[:-1]
        assert lines[0].startswith('"flow_campaign_id";"flow_name";"subscriber_id";')
        assert lines[-1].startswith(
            '"=""7""";"Feedback";"=""24994546734902202""";"=""45""";"Why?";"\'=1+1 👍";"20'
        )
        rows = list(read_folder(StorageLocation.from_parameter("path", str(tmp_path))))
        assert [each["subscriber_id"] for each in rows] == [*["24994546734902201"] * 2, "24994546734902202"]


class TestManifest:
    @pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.csv.gz"])
    def test_describes_the_files(self, tmp_path, answer, name):
        answer()
        manifest = export(f"file://{tmp_path}/{name}")
        extracted_at = datetime.fromisoformat(manifest.pop("extracted_at"))
        assert manifest == {
            "uris": [f"file://{tmp_path}/{name}"],
            "urls": [f"file://{tmp_path}/{name}"],
            "flow_campaign_id": "7",
            "flow_name": "Feedback",
            "subscribers": 3,
            "rows": 3,
            "bytes": (tmp_path / name).stat().st_size,
            "columns": [
                {"name": column.name, "type": "timestamp" if column.name == "extracted_at" else "string"}
                for column in LongLayout().columns
            ],
        }
        assert timedelta(0) <= datetime.now(extracted_at.tzinfo) - extracted_at < timedelta(minutes=1)

    def test_names_new_columns_of_changes(self, tmp_path, answer, requests_mock):
        answer()
        requests_mock.get(f"{API}/subscriber_information/", json=known_subscriber)
        options = {"export_mode": "changes", "state_path": f"{tmp_path}/state"}
        new = [
            {
                column["name"]
                for column in export(tmp_path / "a.csv", **options, **more)["columns"]
                if column["is_new"]
            }
            for more in ({}, {}, {"subscriber_fields": ["email"]}, {"subscriber_fields": ["email"]}, {})
        ]
        assert new == [
            {column.name for column in LongLayout(has_changes=True).columns},
            set(),
            {"email"},
            set(),
            set(),
        ]

    def test_names_the_questions_of_the_wide_layout(self, tmp_path, answer, campaign_info):
        answer()
        found = export(tmp_path / "a.csv", layout="wide")["columns"]
        assert [column["name"] for column in found][3:5] == ["Why?", "How?"]

    def test_has_no_columns_where_the_file_has_none(self, tmp_path, answer):
        answer()
        assert export(tmp_path / "a.json")["columns"] == []

    def test_has_urls_without_the_connection(self, answer, s3, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_MY_STORE", json.dumps({"conn_type": "aws"}))
        cached = stores.store.ObjectStore("s3", "my_store", fs=s3())
        monkeypatch.setitem(stores.store._STORE_CACHE, "s3-my_store", cached)
        answer()
        manifest = export("s3://my_store@bucket/a b/?.csv", max_rows_per_file=2)
        assert manifest["urls"] == ["s3://bucket/a b/?-00001.csv", "s3://bucket/a b/?-00002.csv"]
        assert manifest["uris"][0] == "s3://my_store@bucket/a b/?-00001.csv"
        stored = json.loads(s3.objects["bucket/a b/_?.csv.manifest.json"])
        assert stored == manifest

    def test_is_json(self, tmp_path, answer):
        answer()
        manifest = export(tmp_path / "a.csv")
        assert json.loads(json.dumps(manifest)) == manifest

    @pytest.mark.parametrize("wrap", [str, Path, ObjectStoragePath])
    def test_uri_of_a_plain_path(self, tmp_path, answer, wrap):
        answer()
        manifest = ExportOperator(
            task_id="export", flow_campaign_id=7, path=wrap(str(tmp_path / "a.csv"))
        ).execute({})
        assert manifest["uris"] == [str(tmp_path / "a.csv")]
        assert manifest["flow_campaign_id"] == "7"

    def test_uri_of_a_relative_path_is_absolute(self, tmp_path, answer, monkeypatch):
        answer()
        monkeypatch.chdir(tmp_path)
        assert export("a.csv")["uris"] == [str(tmp_path / "a.csv")]


class TestLog:
    @pytest.fixture(autouse=True)
    def log(self, monkeypatch, caplog):
        """Airflow's own goes past the logging that tests can see."""
        caplog.set_level("INFO")
        monkeypatch.setattr(ExportOperator, "log", logging.getLogger("export"))

    def test_has_a_line_for_each_step(self, tmp_path, answer, caplog):
        answer()
        manifest = export(tmp_path / "a.csv")
        own = [each for each in caplog.records if (each.name, each.levelname) == ("export", "INFO")]
        requesting, exported, wrote = [each.message for each in own]
        assert requesting == "Requesting the answers of flow campaign 7"
        assert exported == "Exported flow campaign 7: 3 subscribers, 3 rows"
        assert wrote == f"Wrote {tmp_path}/a.csv ({manifest['bytes']} bytes)"

    def test_has_lines_about_the_progress(self, tmp_path, answer, caplog, monkeypatch):
        answer()
        monkeypatch.setattr("airflow_provider_cytechbot.exports.export.LOG_INTERVAL", 0)
        export(tmp_path / "a.csv")
        assert "Exporting flow campaign 7: 3 subscribers, 3 rows" in caplog.text


def test_numbers_and_switches_may_be_the_texts_of_templates(tmp_path, answer):
    answer()
    texts = {
        "max_rows_per_file": "2",
        "byte_order_mark": "True",
        "escape_formulas": "false",
        "overwrite": "False",
    }
    export(tmp_path / "a.csv", **texts)
    parts = files_in(tmp_path)
    assert {"a-00001.csv", "a-00002.csv"} < set(parts)
    assert parts["a-00001.csv"].startswith(b"\xef\xbb\xbf")
    with pytest.raises(CyTechBotStorageRefusedError):  # no text but "True" means to overwrite
        export(tmp_path / "a.csv", **texts)
    assert files_in(tmp_path) == parts


class TestFailure:
    @pytest.fixture(params=[None, b"old"], ids=["new", "old"])
    def folder(self, request, tmp_path):
        """A folder with or without an earlier export, which must be unchanged after the test."""
        if request.param:
            (tmp_path / "answers.jsonl.gz").write_bytes(request.param)
        before = files_in(tmp_path)
        yield tmp_path
        assert files_in(tmp_path) == before

    def path(self, folder):
        return f"file://{folder}/answers.jsonl.gz"

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"file_format": "xlsx"}, "file_format"),
            ({"compression": "rar"}, "compression"),
            ({"path": "file:///tmp/answers"}, "path"),
            ({"flow_campaign_id": "one"}, "flow_campaign_id"),
            ({"flow_campaign_id": ""}, "flow_campaign_id"),
            ({"flow_campaign_id": 7.0}, "flow_campaign_id"),
        ],
    )
    def test_invalid_parameter(self, folder, answer, options, field):
        endpoint = answer()
        with pytest.raises(CyTechBotFieldError, match=f"'{field}'") as caught:
            export(**{"path": self.path(folder), **options})
        assert isinstance(caught.value, AirflowFailException)
        assert "cytechbot_default" in str(caught.value)
        assert caught.value.__context__ is None
        assert not endpoint.called

    @pytest.mark.parametrize(
        ("field", "wrong"),
        [
            *[("max_rows_per_file", value) for value in (0, "0", -1, 1.5, True, "", "None", "many")],
            ("allow_empty", "maybe"),
            *[("overwrite", value) for value in ("", "None", None, 1, "maybe")],
            ("escape_formulas", "maybe"),
            ("csv_text_ids", "maybe"),
            ("csv_separator", "comma"),
            ("byte_order_mark", None),
        ],
    )
    def test_invalid_text_of_a_template(self, folder, answer, field, wrong):
        endpoint = answer()
        with pytest.raises(CyTechBotFieldError, match=f"'{field}' must be") as caught:
            export(folder / "answers.csv", **{field: wrong})
        assert isinstance(caught.value, AirflowFailException)
        assert not endpoint.called

    def test_path_that_a_template_left_empty(self, folder, answer):
        endpoint = answer()
        operator = ExportOperator(task_id="export", flow_campaign_id="7", path=None, file_format="csv")
        with pytest.raises(CyTechBotFieldError, match="'path' is empty"):
            operator.execute({})
        assert not endpoint.called

    @pytest.mark.parametrize(
        ("message", "error"),
        [
            ("Either API Key Invalid or Member Validity Expired", CyTechBotAuthError),
            ("Flow campaign not found", CyTechBotNotFoundError),
        ],
    )
    def test_refusal_fails_at_once(self, folder, answer, message, error):
        answer({"status": "error", "message": message})
        with pytest.raises(AirflowFailException, match=message) as caught:
            export(self.path(folder))
        assert isinstance(caught.value, error)

    @pytest.mark.parametrize("left", [0, 1, 0.3, 0.6, 0.9, -1])
    def test_answer_that_ends_early_may_be_retried(self, folder, answer, left):
        body = json.dumps(BODY).encode()
        answer(body[: int(left * len(body)) if isinstance(left, float) else left])
        with pytest.raises(Exception, match="get_all_subscriber_flow_info") as caught:
            export(self.path(folder))
        assert not isinstance(caught.value, AirflowFailException)

    def test_path_that_cannot_be_written_costs_no_call(self, tmp_path, answer):
        endpoint = answer()
        (tmp_path / "folder").write_text("a file")
        with pytest.raises(CyTechBotStorageRefusedError, match=r"'path', .*folder") as caught:
            export(f"file://{tmp_path}/folder/answers.csv")
        assert isinstance(caught.value, AirflowFailException)
        assert caught.value.__context__ is None
        assert not endpoint.called
        assert files_in(tmp_path) == {"folder": b"a file"}

    @pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt(), SystemExit(1)])
    @pytest.mark.parametrize("at", [1, 2])
    def test_rows_that_cannot_be_encoded(self, folder, answer, monkeypatch, error, at):
        answer()
        encode, calls = JsonLinesEncoder.encode, []

        def fail(encoder, rows):
            calls.append(rows)
            if len(calls) == at:
                raise error
            return encode(encoder, rows)

        monkeypatch.setattr(JsonLinesEncoder, "encode", fail)
        monkeypatch.setattr("airflow_provider_cytechbot.transport.requests_transport.BLOCK_SIZE", 64)
        with pytest.raises(type(error)):
            export(self.path(folder))
        assert len(calls) == at

    @pytest.mark.parametrize(
        "stage", ["fsspec.implementations.local.LocalFileSystem.open", "pathlib.Path.replace"]
    )
    def test_filesystem_that_fails(self, folder, answer, monkeypatch, stage):
        endpoint = answer()

        def fail(*_, **__):
            raise OSError("disk full")

        monkeypatch.setattr(stage, fail)
        with pytest.raises(CyTechBotStorageError, match=r"'path', .*disk full") as caught:
            export(self.path(folder))
        assert not isinstance(caught.value, AirflowFailException)
        assert endpoint.called == (stage == "pathlib.Path.replace")

    @pytest.mark.parametrize("at", [1, 2, 3])
    def test_file_that_cannot_be_written_to(self, tmp_path, answer, monkeypatch, at):
        answer()
        write, calls = LocalFileOpener.write, []

        def fail(file, data):
            calls.append(data)
            if len(calls) == at:
                raise OSError("disk full")
            return write(file, data)

        monkeypatch.setattr(LocalFileOpener, "write", fail)
        monkeypatch.setattr("airflow_provider_cytechbot.transport.requests_transport.BLOCK_SIZE", 64)
        with pytest.raises(CyTechBotStorageError, match=r"'path', .*disk full"):
            export(f"file://{tmp_path}/answers.jsonl")
        assert len(calls) == at
        assert files_in(tmp_path) == {}

    def test_csv_header_that_cannot_be_written(self, tmp_path, answer, monkeypatch):
        answer()
        monkeypatch.setattr(CsvEncoder, "header", None)
        with pytest.raises(TypeError):
            export(tmp_path / "answers.csv")
        assert files_in(tmp_path) == {}

    def test_missing_connection(self, folder, requests_mock):
        with pytest.raises(Exception, match="missing"):
            export(self.path(folder), cytechbot_conn_id="missing")

    def test_transport_error_is_of_the_tree(self, folder, answer):
        answer(status_code=503)
        with pytest.raises(CyTechBotTransportError):
            export(self.path(folder))


def shown_by_error_trackers(error):
    """Return what error trackers show: errors with their causes, and the local variables of our frames."""
    shown = []
    while error is not None:
        shown.append(repr(error))
        traceback = error.__traceback__
        while traceback is not None:
            frame, traceback = traceback.tb_frame, traceback.tb_next
            if "airflow_provider_cytechbot" in frame.f_code.co_filename:
                shown += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
                shown += [
                    f"{name}={vars(value)!r}" for name, value in frame.f_locals.items() if name == "self"
                ]
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


class TestSecrecy:
    SECRET = "the-secret-of-the-store"
    SIGNED = f"https://bucket.example/a?X-Amz-Signature={SECRET}"

    @pytest.fixture(autouse=True)
    def store_connection(self, s3, monkeypatch):
        connection = {"conn_type": "aws", "login": "a", "password": self.SECRET}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
        cached = stores.store.ObjectStore("s3", "aws_default", fs=s3())
        monkeypatch.setitem(stores.store._STORE_CACHE, "s3-aws_default", cached)

    def error_of(self, **options):
        with pytest.raises(CyTechBotError) as caught:
            export("s3://aws_default@bucket/a.csv", **options)
        return caught.value

    @pytest.mark.parametrize("stage", ["open", "part", "complete"])
    def test_locals_of_a_storage_error_hold_no_secret(self, answer, s3, monkeypatch, stage):
        def fail(_, name):
            if name == stage:
                raise OSError(f"refused: {self.SECRET} {self.SIGNED}")

        answer()
        monkeypatch.setattr(s3, "fail", classmethod(fail))
        shown = shown_by_error_trackers(self.error_of())
        assert "OSError: refused" in shown
        assert self.SECRET not in shown
        assert "1-the-api-key" not in shown

    @pytest.mark.parametrize(
        "body", [{"status": "error", "message": "1-the-api-key is wrong"}, b"<html>", b'{"data":{"1":[{"id"']
    )
    def test_locals_of_an_error_of_the_api_hold_no_key(self, answer, body):
        answer(body)
        assert "1-the-api-key" not in shown_by_error_trackers(self.error_of())


class TestStorageOptions:
    OPTIONS = {"ServerSideEncryption": "aws:kms", "ACL": "bucket-owner-full-control"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("name", "options", "content_type", "encoding"),
        [
            ("a.csv", {}, "text/csv; charset=utf-8", None),
            ("a.csv.gz", {}, "text/csv; charset=utf-8", "gzip"),
            ("a.jsonl.zst", {}, "application/jsonl", "zstd"),
            ("a.parquet", {}, "application/vnd.apache.parquet", None),
            ("a.json", {}, "application/json", None),
            (
                "a-00001.csv",
                {"path": "s3://bucket/a.csv", "max_rows_per_file": 9},
                "text/csv; charset=utf-8",
                None,
            ),
        ],
    )
    def test_reach_each_object_with_its_type(self, s3, answer, name, options, content_type, encoding):
        answer()
        options = {"path": f"s3://bucket/{name}", "storage_options": self.OPTIONS, **options}
        export(**options)
        parameters = s3.parameters_of[f"bucket/{name}"]
        assert parameters.items() >= self.OPTIONS.items()
        assert (parameters["ContentType"], parameters.get("ContentEncoding")) == (content_type, encoding)
        if "max_rows_per_file" in options:
            parameters = s3.parameters_of["bucket/_a.csv.manifest.json"]
            assert parameters.items() >= (self.OPTIONS | {"ContentType": "application/json"}).items()

    def test_reach_states_and_empty_objects(self, s3, answer):
        answer({"id": "7", "flow_name": "Feedback", "data": []})
        options = {"export_mode": "changes", "state_path": "s3://bucket/state"}
        export("s3://bucket/a.jsonl", storage_options=self.OPTIONS, **options)
        (state,) = (name for name in s3.objects if name.endswith(".state.gz"))
        for name, content_type in ((state, "application/gzip"), ("bucket/a.jsonl", "application/jsonl")):
            assert s3.parameters_of[name].items() >= (self.OPTIONS | {"ContentType": content_type}).items()

    @pytest.mark.parametrize(
        "options",
        [
            {"Bucket": "other"},
            {"Key": "b"},
            {"mode": "ab"},
            {"SSECustomerKey": "k"},
            {1: 2},
            "ACL=private",
            ["ACL"],
        ],
        ids=str,
    )
    def test_that_are_invalid_cost_no_call(self, s3, answer, options):
        endpoint = answer()
        with pytest.raises(CyTechBotFieldError, match="'storage_options'"):
            export("s3://bucket/a.csv", storage_options=options)
        assert not endpoint.called

    def test_that_s3_does_not_have_are_refused(self, s3, answer):
        endpoint = answer()
        with pytest.raises(CyTechBotStorageRefusedError, match=r"storage_options has .*: Encryption"):
            export("s3://bucket/a.csv", storage_options={"Encryption": "yes", "ACL": "private"})
        assert (endpoint.called, s3.objects, s3.uploads) == (False, {}, {})

    def test_are_refused_for_local_files(self, tmp_path, answer):
        with pytest.raises(CyTechBotFieldError, match="'storage_options' is for object stores"):
            export(tmp_path / "a.csv", storage_options=self.OPTIONS)


class TestOnKill:
    def test_stops_an_export_and_leaves_nothing(self, tmp_path, answer, monkeypatch):
        answer()
        operator = ExportOperator(task_id="export", flow_campaign_id="7", path=f"file://{tmp_path}/a.jsonl")
        monkeypatch.setattr(JsonLinesEncoder, "encode", lambda *_: operator.on_kill())
        with pytest.raises(KeyboardInterrupt, match="was stopped"):
            operator.execute({})
        assert files_in(tmp_path) == {}
        operator.on_kill()  # what Airflow does after a timeout: there is nothing to stop any more

    def test_does_nothing_before_and_after(self, tmp_path, answer):
        answer()
        operator = ExportOperator(task_id="export", flow_campaign_id="7", path=f"file://{tmp_path}/a.jsonl")
        operator.on_kill()
        operator.execute({})
        operator.on_kill()


class TestRaw:
    def test_is_the_body_unchanged(self, tmp_path, answer):
        answer()
        manifest = export(tmp_path / "a.json")
        assert (tmp_path / "a.json").read_bytes() == json.dumps(BODY).encode()
        assert (manifest["subscribers"], manifest["rows"]) == (3, 3)

    @pytest.mark.parametrize("left", [40, 200, -1])
    def test_is_not_kept_unless_whole(self, tmp_path, answer, left):
        answer(json.dumps(BODY).encode()[:left])
        with pytest.raises(CyTechBotTransportError):
            export(tmp_path / "a.json")
        assert files_in(tmp_path) == {}


class TestParts:
    def test_are_numbered_and_listed_in_a_manifest(self, tmp_path, answer):
        answer()
        manifest = export(tmp_path / "a.csv.gz", max_rows_per_file=2)
        assert sorted(files_in(tmp_path)) == ["_a.csv.gz.manifest.json", "a-00001.csv.gz", "a-00002.csv.gz"]
        assert manifest["uris"] == [str(tmp_path / "a-00001.csv.gz"), str(tmp_path / "a-00002.csv.gz")]
        assert json.loads((tmp_path / "_a.csv.gz.manifest.json").read_text()) == manifest
        rows = [gzip.decompress((tmp_path / f"a-0000{n}.csv.gz").read_bytes()).splitlines() for n in (1, 2)]
        assert rows[0][0] == rows[1][0]
        assert manifest["bytes"] == sum(
            len(each) for name, each in files_in(tmp_path).items() if name.endswith(".gz")
        )

    def test_of_an_earlier_export_are_removed(self, tmp_path, answer):
        answer()
        export(tmp_path / "a.csv", max_rows_per_file=1)
        (tmp_path / "a-00009.csv").write_text("of somebody else")
        export(tmp_path / "a.csv", max_rows_per_file=2)
        assert sorted(files_in(tmp_path)) == [
            "_a.csv.manifest.json",
            "a-00001.csv",
            "a-00002.csv",
            "a-00009.csv",
        ]

    def test_of_killed_runs_are_removed(self, tmp_path, answer):
        answer()
        export(tmp_path / "a.csv", max_rows_per_file=1)
        (tmp_path / "_a.csv.manifest.json").unlink()  # as when a run is killed among its parts
        export(tmp_path / "a.csv", max_rows_per_file=3)
        assert sorted(files_in(tmp_path)) == ["_a.csv.manifest.json", "a-00001.csv"]

    def test_of_another_that_appeared_meanwhile_keep_their_manifest(self, tmp_path, answer, monkeypatch):
        answer()
        finish = ExportFiles.finish

        def finish_late(files):
            finish(files)
            monkeypatch.undo()
            monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", CONNECTION)
            export(tmp_path / "a.csv", max_rows_per_file=2, overwrite=False)

        monkeypatch.setattr(ExportFiles, "finish", finish_late)
        with pytest.raises(CyTechBotStorageRefusedError, match="something is there"):
            export(tmp_path / "a.csv", max_rows_per_file=1, overwrite=False)
        assert sorted(files_in(tmp_path)) == ["_a.csv.manifest.json", "a-00001.csv", "a-00002.csv"]

    @pytest.mark.parametrize("rows", [[None, 1, None], [1, None, 2, None], [2, 1, None, 3]], ids=str)
    @pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl.gz"])
    def test_and_one_file_replace_each_other(self, tmp_path, answer, rows, name):
        if name.endswith(".parquet"):
            pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
        answer()
        for max_rows in rows:
            manifest = export(tmp_path / name, max_rows_per_file=max_rows)
            files = [] if max_rows is None else [f"_{name}.manifest.json"]
            files += [uri.rpartition("/")[2] for uri in manifest["uris"]]
            assert sorted(files_in(tmp_path)) == sorted(files)
            assert len(list(read_folder(StorageLocation.from_parameter("path", str(tmp_path))))) == 3

    @pytest.mark.parametrize(("before", "now"), [(None, 1), (1, None), (2, 1)])
    def test_are_refused_beside_an_export_that_must_not_be_overwritten(self, tmp_path, answer, before, now):
        endpoint = answer()
        export(tmp_path / "a.csv", max_rows_per_file=before)
        files = files_in(tmp_path)
        with pytest.raises(CyTechBotStorageRefusedError, match="is there already"):
            export(tmp_path / "a.csv", max_rows_per_file=now, overwrite=False)
        assert files_in(tmp_path) == files
        assert endpoint.call_count == 1

    def test_of_another_format_are_of_another_export(self, tmp_path, answer):
        answer()
        export(tmp_path / "a.csv", max_rows_per_file=2)
        before = files_in(tmp_path)
        export(tmp_path / "a.jsonl", max_rows_per_file=2)
        assert before.items() < files_in(tmp_path).items()

    def test_that_fail_leave_nothing(self, tmp_path, answer):
        answer(json.dumps(BODY).encode()[:-1])
        with pytest.raises(CyTechBotTransportError):
            export(tmp_path / "a.csv", max_rows_per_file=1)
        assert files_in(tmp_path) == {}


NO_ANSWERS = {"id": None, "flow_name": None, "data": []}
NO_ANSWERS_BUT_SUBSCRIBERS = BODY | {"data": {"24994546734902201": [], "24994546734902202": []}}
NO_ANSWERS_BUT_QUESTIONS = BODY | {
    "data": {
        "24994546734902201": [
            {"question_id": "45", "question": "Why?", "answer": None},
            {"question_id": "46", "question": "How?", "answer": ""},
        ],
        "24994546734902202": [{"question_id": "45", "question": "Why?", "answer": None}],
    }
}


@pytest.fixture
def campaign_info(requests_mock):
    info = {"id": "7", "flow_name": "Feedback", "questions": ["Why?", "How?"]}
    return requests_mock.get(f"{API}/get_flow_campaign_info/", json=info)


@pytest.mark.usefixtures("campaign_info")
class TestEmptyAnswer:
    WITHOUT_ANSWERS = pytest.mark.parametrize(
        "body",
        [NO_ANSWERS, NO_ANSWERS_BUT_SUBSCRIBERS, NO_ANSWERS_BUT_QUESTIONS],
        ids=["none", "subscribers", "questions"],
    )
    KINDS = pytest.mark.parametrize(
        ("name", "options"),
        [
            ("a.jsonl", {}),
            ("a.jsonl.zst", {}),
            ("a.csv.gz", {}),
            ("a.csv", {"layout": "wide"}),
            ("a.parquet", {}),
            ("a.parquet", {"layout": "wide"}),
            ("a.json", {}),
            ("a.json.gz", {}),
            ("a.jsonl", {"max_rows_per_file": 1}),
            ("a.csv", {"max_rows_per_file": 1, "layout": "wide"}),
            ("a.csv", {"layout": "wide", "csv_separator": ";", "csv_text_ids": True}),
            ("a.csv", {"export_mode": "changes", "state_path": "state"}),
            ("a.csv", {"export_mode": "changes", "state_path": "state", "max_rows_per_file": 1}),
        ],
        ids=str,
    )

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        return tmp_path

    @KINDS
    @WITHOUT_ANSWERS
    def test_where_there_were_answers_fails_and_keeps_files_and_state(
        self, folder, answer, name, options, body
    ):
        answer()
        export(folder / name, **options)
        before = files_in(folder)
        endpoint = answer(body)
        with pytest.raises(CyTechBotResponseError, match=r"flow campaign 7.*allow_empty=True") as caught:
            export(folder / name, **options)
        assert endpoint.call_count == 2
        assert caught.value.retryable
        assert files_in(folder) == before

    @KINDS
    def test_is_exported_if_allowed(self, folder, answer, name, options):
        answer()
        export(folder / name, **options)
        answer(NO_ANSWERS)
        manifest = export(folder / name, allow_empty=True, **options)
        assert manifest["subscribers"] == 0
        assert manifest["rows"] == (3 if "state_path" in options else 0)  # which are gone

    @KINDS
    @WITHOUT_ANSWERS
    def test_where_there_were_none_is_exported(self, folder, answer, name, options, body):
        endpoint = answer(body)
        for _ in range(2):
            assert export(folder / name, **options)["bytes"] >= 0
        assert endpoint.call_count == 2

    @KINDS
    def test_answers_of_the_second_reading_are_exported(self, folder, requests_mock, answer, name, options):
        answer()
        first = export(folder / name, **options)
        url = f"{API}/get_all_subscriber_flow_info/"
        requests_mock.get(url, [{"json": NO_ANSWERS}, {"json": BODY}])
        second = export(folder / name, **options)
        counts = ("subscribers", "rows")
        if "state_path" in options:
            assert (second["subscribers"], second["rows"]) == (3, 0)  # compared with those of the first
        else:
            assert [second[each] for each in counts] == [first[each] for each in counts]

    @pytest.mark.parametrize("content", [b"no CSV \x00\xff", b"\x1f\x8bdamaged", b"PK"])
    @pytest.mark.parametrize("name", ["a.csv.gz", "a.json", "a.json.gz", "a.jsonl", "a.parquet", "a.csv.zst"])
    def test_does_not_replace_a_file_that_cannot_be_read(self, folder, answer, name, content):
        (folder / name).write_bytes(content)
        answer(NO_ANSWERS)
        with pytest.raises(CyTechBotResponseError, match="allow_empty"):
            export(folder / name)
        assert files_in(folder) == {name: content}

    def test_replaces_a_file_without_content(self, folder, answer):
        (folder / "a.csv").touch()
        answer(NO_ANSWERS)
        assert export(folder / "a.csv")["rows"] == 0

    def test_does_not_replace_parts_that_were_moved_away(self, folder, answer):
        answer()
        for path in export(folder / "a.csv", max_rows_per_file=1)["uris"]:
            Path(path).unlink()
        answer(NO_ANSWERS)
        with pytest.raises(CyTechBotResponseError, match="allow_empty"):
            export(folder / "a.csv", max_rows_per_file=1)

    def test_of_the_first_changes_does_not_replace_a_full_export(self, folder, answer):
        answer()
        export(folder / "a.csv")
        answer(NO_ANSWERS)
        with pytest.raises(CyTechBotResponseError, match="allow_empty"):
            export(folder / "a.csv", export_mode="changes", state_path="state")
        assert set(files_in(folder)) == {"a.csv"}

    def test_of_a_later_interval_is_exported_after_one_that_was_allowed(self, folder, answer):
        answer()
        options = {"export_mode": "changes", "state_path": "state"}
        export(folder / "1.csv", **options)
        answer(NO_ANSWERS)
        assert export(folder / "2.csv", allow_empty="True", **options)["rows"] == 3
        assert export(folder / "3.csv", **options)["rows"] == 0

    def test_profile_columns_do_not_count_as_answers(self, folder, answer, requests_mock):
        answer(NO_ANSWERS_BUT_SUBSCRIBERS)
        requests_mock.get(f"{API}/subscriber_information/", json=known_subscriber)
        options = {"layout": "wide", "subscriber_fields": ["email"]}
        assert [export(folder / "a.csv", **options)["rows"] for _ in range(2)] == [2, 2]

    def test_of_one_campaign_among_several_fails_alone(self, folder, answer, requests_mock):
        url = f"{API}/get_all_subscriber_flow_info/?flow_campaign_id"
        requests_mock.get(f"{url}=7", json=BODY)
        requests_mock.get(f"{url}=8", json=BODY | {"id": "8"})
        path = folder / "{flow_campaign_id}.csv"
        export(path, flow_campaign_id=["7", "8"])
        requests_mock.get(f"{url}=8", json=NO_ANSWERS)
        before = files_in(folder)["8.csv"]
        with pytest.raises(CyTechBotResponseError, match=r"1 of 2 flow campaigns failed, 1 exported.*8: "):
            export(path, flow_campaign_id=["7", "8"])
        assert files_in(folder)["8.csv"] == before


class TestSeveralCampaigns:
    @pytest.fixture
    def campaigns(self, requests_mock):
        url = f"{API}/get_all_subscriber_flow_info/"
        requests_mock.get(f"{url}?flow_campaign_id=7", json=BODY)
        requests_mock.get(f"{url}?flow_campaign_id=8", json=BODY | {"id": "8"})
        requests_mock.get(
            f"{url}?flow_campaign_id=9",
            json={"status": "error", "message": "The flow campaign ID does not exist"},
        )
        found = [{"id": "7", "flow_name": "F"}, {"id": "8", "flow_name": "G"}]
        return requests_mock.get(f"{API}/get_flow_campaigns/", json=found)

    @pytest.mark.parametrize("given", [["7", 8], ("7", "8", "7"), UserList(["7", "8"]), "all"])
    def test_each_has_a_file_and_a_result(self, tmp_path, campaigns, given):
        manifests = export(tmp_path / "{flow_campaign_id}.csv", flow_campaign_id=given)
        assert [each["flow_campaign_id"] for each in manifests] == ["7", "8"]
        assert sorted(files_in(tmp_path)) == ["7.csv", "8.csv"]

    def test_an_empty_list_is_none_and_not_all(self, tmp_path, campaigns):
        assert export(tmp_path / "{flow_campaign_id}.csv", flow_campaign_id=[]) == []
        assert not campaigns.called
        assert files_in(tmp_path) == {}

    def test_one_that_fails_does_not_stop_the_others(self, tmp_path, campaigns):
        pushed = {}
        ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: json.loads(json.dumps(value))}))
        operator = ExportOperator(
            task_id="export", flow_campaign_id=["9", "7", "8"], path=str(tmp_path / "{flow_campaign_id}.csv")
        )
        with pytest.raises(CyTechBotNotFoundError, match="1 of 3 flow campaigns failed, 2 exported"):
            operator.execute({"ti": ti})
        assert sorted(files_in(tmp_path)) == ["7.csv", "8.csv"]
        outcomes = pushed["outcomes"]
        assert [each["flow_campaign_id"] for each in outcomes] == ["9", "7", "8"]
        assert "does not exist" in outcomes[0]["error"]
        assert [each["manifest"] and each["manifest"]["rows"] for each in outcomes] == [None, 3, 3]

    def test_one_path_for_several_is_an_error(self, tmp_path, campaigns):
        with pytest.raises(CyTechBotFieldError, match="'path'"):
            export(tmp_path / "a.csv", flow_campaign_id="all")
        assert not campaigns.called


class TestChanges:
    def test_state_comes_after_the_file(self, tmp_path, answer, monkeypatch):
        answer()
        options = {"export_mode": "changes", "state_path": f"file://{tmp_path}/state"}

        def fail(*_):
            raise RuntimeError("a bug")

        monkeypatch.setattr("airflow_provider_cytechbot.exports.changes.ChangeLog.save", fail)
        with pytest.raises(RuntimeError, match="a bug"):
            export(tmp_path / "first.jsonl", **options)
        monkeypatch.undo()
        monkeypatch.setenv(
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT", '{"conn_type": "cytechbot", "password": "1-key"}'
        )
        assert export(tmp_path / "second.jsonl", **options)["rows"] == 3
        assert export(tmp_path / "third.jsonl", **options)["rows"] == 0
        row = json.loads((tmp_path / "second.jsonl").read_bytes().splitlines()[0])
        assert list(row)[-2:] == ["extracted_at", "change"]


def known_subscriber(request, _):
    (subscriber_id,) = request.qs["subscriber_id"]
    return {
        "status": "success",
        "subscriber_info": {"subscriber_id": subscriber_id, "email": "a@example.com"},
    }


def test_wide_layout_with_profiles(tmp_path, answer, requests_mock):
    answer()
    campaign = {"id": "7", "flow_name": "Feedback", "questions": ["How?", "Why?"]}
    requests_mock.get(f"{API}/get_flow_campaign_info/", json=campaign)
    subscriber = requests_mock.get(
        f"{API}/subscriber_information/",
        json=known_subscriber,
    )
    export(tmp_path / "a.csv", layout="wide", subscriber_fields=["email"], escape_formulas=True)
    rows = list(csv.reader(io.StringIO((tmp_path / "a.csv").read_bytes().decode(), newline="")))
    assert rows[0] == [
        "flow_campaign_id",
        "flow_name",
        "subscriber_id",
        "email",
        "How?",
        "Why?",
        "extracted_at",
    ]
    assert [row[2:6] for row in rows[1:]] == [
        ["24994546734902201", "a@example.com", "", 'Because,\n"so"'],
        ["24994546734902202", "a@example.com", "", "'=1+1 👍"],
        ["24994546734902203", "a@example.com", "", ""],
    ]
    assert subscriber.call_count == 3


class TestSubscriberFields:
    URL = f"{API}/subscriber_information/"

    @pytest.mark.parametrize(
        "options", [{}, {"layout": "wide"}, {"export_mode": "changes", "state_path": "state"}], ids=str
    )
    @pytest.mark.parametrize(
        "refusal",
        [
            {"status": "error", "message": "Database is busy"},
            {"status": "error", "message": "(#2) Service temporarily unavailable"},
            {"status": "error", "message": {"message": "(#613) Calls exceeded the rate limit", "code": 613}},
            {"status": "error", "message": "You have no permission to see this subscriber"},
        ],
        ids=str,
    )
    def test_a_refusal_keeps_the_old_file(
        self, tmp_path, answer, requests_mock, monkeypatch, options, refusal
    ):
        monkeypatch.chdir(tmp_path)
        answer()
        campaign = {"id": "7", "flow_name": "Feedback", "questions": ["Why?"]}
        requests_mock.get(f"{API}/get_flow_campaign_info/", json=campaign)
        requests_mock.get(self.URL, json=refusal)
        (tmp_path / "a.csv").write_text("old")
        with pytest.raises(CyTechBotError):
            export(tmp_path / "a.csv", subscriber_fields=["email"], **options)
        assert files_in(tmp_path) == {"a.csv": b"old"}

    def test_unknown_subscribers_are_counted_in_the_manifest(self, tmp_path, answer, requests_mock):
        answer()
        requests_mock.get(f"{self.URL}?subscriber_id=24994546734902201", json=known_subscriber)
        unknown = {"status": "error", "message": "Subscriber not found"}
        for subscriber_id in ("24994546734902202", "24994546734902203"):
            requests_mock.get(f"{self.URL}?subscriber_id={subscriber_id}", json=unknown)
        manifest = export(tmp_path / "a.jsonl", subscriber_fields=["email"], max_rows_per_file=5)
        assert manifest["unknown_subscribers"] == 2
        rows = [json.loads(line) for line in (tmp_path / "a-00001.jsonl").read_bytes().splitlines()]
        assert [row["email"] for row in rows] == ["a@example.com", "a@example.com", None]


def test_asset_events_of_outlets_have_the_manifest(tmp_path, answer):
    answer()
    events = {"asset": SimpleNamespace(extra={"mine": 1})}
    operator = ExportOperator(task_id="export", flow_campaign_id="7", path=str(tmp_path / "a.csv"))
    operator.outlets = ["asset", "no asset"]
    manifest = operator.execute({"outlet_events": events})
    assert events["asset"].extra == {"mine": 1, "exports": [manifest]}


class TestLineage:
    """The lineage of real exports; the tests of exports/lineage.py check its facets."""

    @pytest.mark.parametrize(
        ("options", "rows"),
        [
            ({}, {"a.jsonl": 3}),
            ({"path": "a.csv.gz"}, {"a.csv.gz": 3}),
            ({"path": "a.json"}, {"a.json": 3}),
            ({"path": "a.parquet", "max_rows_per_file": 2}, {"a-00001.parquet": 2, "a-00002.parquet": 1}),
            ({"path": "{flow_campaign_id}.csv", "flow_campaign_id": ["7"]}, {"7.csv": 3}),
        ],
    )
    def test_each_file_with_its_rows_and_size(self, tmp_path, answer, hook_lineage, options, rows):
        answer()
        options = {"flow_campaign_id": "7", "path": "a.jsonl", **options}
        options["path"] = str(tmp_path / options["path"])
        operator = ExportOperator(task_id="export", **options)
        operator.execute({})
        campaign = "cytechbot://cytechbot.com/flow_campaigns/7"
        assert hook_lineage.inputs == [campaign]
        assert hook_lineage.outputs == [f"file://{tmp_path}/{name}" for name in rows]
        pytest.importorskip("airflow.providers.openlineage", reason="OpenLineage is not installed")
        expected = operator.get_openlineage_facets_on_complete(None)
        (read,) = expected.inputs
        assert f"{read.namespace}/{read.name}" == campaign
        assert read.inputFacets["inputStatistics"].rowCount == sum(rows.values())
        statistics = {each.name: each.outputFacets["outputStatistics"] for each in expected.outputs}
        assert {name: each.rowCount for name, each in statistics.items()} == {
            str(tmp_path / name): count for name, count in rows.items()
        }
        assert all(each.size == Path(name).stat().st_size for name, each in statistics.items())

    def test_changes_have_their_column_and_states_are_not_reported(self, tmp_path, answer, hook_lineage):
        answer()
        options = {
            "export_mode": "changes",
            "state_path": str(tmp_path / "state"),
            "path": str(tmp_path / "a.csv"),
        }
        for day in (1, 2):  # the second reads the state of the first
            operator = ExportOperator(task_id="export", flow_campaign_id="7", **options)
            operator.execute({"data_interval_end": datetime(2026, 1, day, tzinfo=UTC)})
        assert hook_lineage.inputs == ["cytechbot://cytechbot.com/flow_campaigns/7"] * 2
        assert hook_lineage.outputs == [f"file://{tmp_path}/a.csv"] * 2
        pytest.importorskip("airflow.providers.openlineage", reason="OpenLineage is not installed")
        expected = operator.get_openlineage_facets_on_complete(None)
        (read,), (written,) = expected.inputs, expected.outputs
        assert read.inputFacets["inputStatistics"].rowCount is None
        assert written.facets["schema"].fields[-1].name == "change"
        assert written.outputFacets["outputStatistics"].rowCount == 0

    def test_answers_of_a_wide_export_are_not_counted_as_rows(self, tmp_path, answer, requests_mock):
        pytest.importorskip("airflow.providers.openlineage", reason="OpenLineage is not installed")
        answer()
        campaign = {"id": "7", "flow_name": "Feedback", "questions": ["Why?"]}
        requests_mock.get(f"{API}/get_flow_campaign_info/", json=campaign)
        path = str(tmp_path / "a.csv")
        operator = ExportOperator(task_id="export", flow_campaign_id="7", path=path, layout="wide")
        operator.execute({})
        (read,) = operator.get_openlineage_facets_on_complete(None).inputs
        statistics = read.inputFacets["inputStatistics"]
        assert (statistics.rowCount, statistics.size) == (None, len(json.dumps(BODY)))

    def test_of_several_campaigns_those_that_were_exported(self, tmp_path, answer, requests_mock):
        pytest.importorskip("airflow.providers.openlineage", reason="OpenLineage is not installed")
        answer()
        requests_mock.get(f"{API}/get_all_subscriber_flow_info/?flow_campaign_id=8", status_code=500)
        path = str(tmp_path / "{flow_campaign_id}.csv")
        operator = ExportOperator(task_id="export", flow_campaign_id=["8", "7"], path=path)
        assert operator.get_openlineage_facets_on_complete(None).outputs == []
        with pytest.raises(CyTechBotTransportError):
            operator.execute({})
        expected = operator.get_openlineage_facets_on_complete(None)
        assert [each.name for each in expected.inputs] == ["flow_campaigns/7"]
        assert [each.name for each in expected.outputs] == [str(tmp_path / "7.csv")]


def test_overwrite_false_keeps_an_existing_file(tmp_path, answer):
    endpoint = answer()
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(CyTechBotStorageRefusedError, match="is there already"):
        export(tmp_path / "a.csv", overwrite=False)
    assert files_in(tmp_path) == {"a.csv": b"old"}
    assert not endpoint.called
