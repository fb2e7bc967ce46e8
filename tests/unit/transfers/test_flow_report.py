from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, ObjectStoragePath

from airflow_provider_cytechbot.api.errors import (
    CyTechBotFieldError,
    CyTechBotNotFoundError,
    CyTechBotResponseError,
    CyTechBotStorageError,
    CyTechBotStorageRefusedError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.transfers.flow_report import CyTechBotFlowReportOperator
from tests.html_reading import read_html

API = "https://cytechbot.com/api"
CONNECTION = json.dumps({"conn_type": "cytechbot", "password": "1-the-api-key", "extra": {"max_retries": 0}})
QUESTIONS = ["Why?", "How?"]
BODY = {
    "id": "7",
    "flow_name": "Feedback",
    "data": {
        "24994546734902201": [
            {"question_id": "45", "question": "Why?", "answer": "Because"},
            {"question_id": "46", "question": "How?", "answer": "<b>Slowly</b>"},
        ],
        "24994546734902202": [{"question_id": "45", "question": "Why?", "answer": "Because"}],
        "24994546734902203": [],
    },
}


@pytest.fixture(autouse=True)
def connection(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", CONNECTION)


@pytest.fixture
def answer(requests_mock):
    """Let the API answer; returns the endpoint of the answers, which counts its calls."""

    def answer(body=BODY, **options):
        requests_mock.get(
            f"{API}/get_flow_campaign_info/",
            json={"id": "7", "flow_name": "Feedback", "questions": QUESTIONS},
        )
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return requests_mock.get(f"{API}/get_all_subscriber_flow_info/", content=content, **options)

    return answer


def operator(path, /, **options):
    return CyTechBotFlowReportOperator(
        task_id="report", **{"flow_campaign_id": "7", "path": str(path), **options}
    )


def report(path, run_id=None, **options):
    ti = SimpleNamespace(dag_id="dag", task_id="report", run_id=run_id, map_index=-1)
    return operator(path, **options).execute({"ti": ti} if run_id else {})


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def history_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestInit:
    def test_looks_at_nothing(self, monkeypatch, requests_mock):
        monkeypatch.delenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT")
        operator(
            "nowhere://at all", flow_campaign_id="{{ nonsense", max_answers="?", cytechbot_conn_id="missing"
        )
        assert not requests_mock.called

    def test_every_parameter_is_templated(self):
        parameters = inspect.signature(CyTechBotFlowReportOperator.__init__).parameters
        assert {*CyTechBotFlowReportOperator.template_fields, "self", "kwargs"} == set(parameters)


class TestPage:
    @pytest.mark.parametrize("wrap", [str, Path, ObjectStoragePath])
    def test_is_written_and_its_figures_returned(self, tmp_path, answer, wrap):
        answer()
        figures = operator("", path=wrap(tmp_path / "new" / "report.html")).execute({})
        page = (tmp_path / "new" / "report.html").read_bytes()
        extracted_at = datetime.fromisoformat(figures.pop("extracted_at"))
        assert timedelta(0) <= datetime.now(UTC) - extracted_at < timedelta(minutes=1)
        assert figures == {
            "uri": str(tmp_path / "new" / "report.html"),
            "bytes": len(page),
            "flow_campaign_id": "7",
            "flow_name": "Feedback",
            "answered": 2,
            "completed": 1,
            "change": None,
            "questions": [
                {"question_id": "45", "question": "Why?", "answered": 2, "different_answers": 1},
                {"question_id": "46", "question": "How?", "answered": 1, "different_answers": 1},
            ],
        }
        root = read_html(page)
        assert root.all("h1")[0].text == "Feedback"
        assert "Because 2 100%" in root.text
        assert "<b>Slowly</b> 1 100%" in root.text

    def test_figures_are_json_without_answers(self, tmp_path, answer):
        answer()
        figures = report(tmp_path / "report.html")
        assert json.loads(json.dumps(figures)) == figures
        assert "Because" not in json.dumps(figures)

    def test_figures_of_a_large_campaign_stay_small(self, tmp_path, answer):
        answers = [
            {"question_id": str(at), "question": f"{at} {'W' * 5_000}", "answer": "a"} for at in range(200)
        ]
        answer({"id": "7", "flow_name": "Feedback", "data": {"1": answers}})
        figures = report(tmp_path / "report.html")
        assert len(figures["questions"]) == 50
        assert len(json.dumps(figures)) < 10_000

    def test_has_the_campaign_in_its_path(self, tmp_path, answer):
        answer()
        report(tmp_path / "{flow_campaign_id}.html", history_path=str(tmp_path / "{flow_campaign_id}.jsonl"))
        assert files_in(tmp_path).keys() == {"7.html", "7.jsonl"}

    def test_is_not_written_where_another_task_of_the_mapping_writes(self, tmp_path, answer):
        endpoint = answer()
        with DAG("dag", schedule=None) as dag:
            CyTechBotFlowReportOperator.partial(task_id="report", path=str(tmp_path / "a.html")).expand(
                flow_campaign_id=["7", "8"]
            )
        ti = SimpleNamespace(dag_id="dag", task_id="report", run_id="r", map_index=0)
        with pytest.raises(CyTechBotFieldError, match="is the same for several tasks"):
            operator(tmp_path / "a.html").execute({"ti": ti, "dag": dag})
        assert not endpoint.called

    def test_replaces_an_earlier_one(self, tmp_path, answer):
        answer()
        (tmp_path / "report.html").write_bytes(b"old")
        assert report(tmp_path / "report.html")["bytes"] > 3
        assert (tmp_path / "report.html").read_bytes().startswith(b"<!doctype html>")

    def test_does_not_replace_one_that_must_stay(self, tmp_path, answer):
        endpoint = answer()
        (tmp_path / "report.html").write_bytes(b"old")
        with pytest.raises(CyTechBotStorageRefusedError, match="is there already"):
            report(tmp_path / "report.html", overwrite="False")
        assert files_in(tmp_path) == {"report.html": b"old"}
        assert not endpoint.called

    @pytest.mark.parametrize(
        "body", [{"id": None, "flow_name": None, "data": []}, BODY | {"data": {}}], ids=str
    )
    def test_campaign_that_nobody_answered(self, tmp_path, answer, body):
        answer(body)
        figures = report(tmp_path / "report.html")
        assert (figures["flow_name"], figures["answered"], figures["completed"]) == ("Feedback", 0, 0)
        assert [each["answered"] for each in figures["questions"]] == [0, 0]
        assert "Nobody has answered yet" in read_html((tmp_path / "report.html").read_bytes()).text

    @pytest.mark.parametrize("has_history", [True, False])
    def test_with_answers_is_not_replaced_by_one_without(self, tmp_path, answer, has_history):
        paths = {"history_path": str(tmp_path / "h.jsonl")} if has_history else {}
        answer()
        report(tmp_path / "1.html", "run 1", **paths)
        before = files_in(tmp_path)
        endpoint = answer({"id": None, "flow_name": None, "data": []})
        page = tmp_path / ("2.html" if has_history else "1.html")
        for run in ("run 1", "run 2"):
            with pytest.raises(CyTechBotResponseError, match="campaign 7, twice") as caught:
                report(page, run, **paths)
            assert not isinstance(caught.value, AirflowFailException)
        assert endpoint.call_count == 4
        assert files_in(tmp_path) == before
        assert report(page, "run 2", allow_empty="True", **paths)["answered"] == 0
        assert report(page, "run 3", **paths)["answered"] == 0

    @pytest.mark.parametrize("content", [b"\0" * 5000, b"<html>"], ids=["zeros", "cut"])
    def test_that_is_damaged_is_not_replaced_by_one_without(self, tmp_path, answer, content):
        (tmp_path / "1.html").write_bytes(content)
        answer({"id": None, "flow_name": None, "data": []})
        with pytest.raises(CyTechBotResponseError, match="campaign 7, twice"):
            report(tmp_path / "1.html")
        assert (tmp_path / "1.html").read_bytes() == content

    def test_is_read_a_second_time_where_answers_are_missing(self, tmp_path, answer, requests_mock):
        answer()
        report(tmp_path / "1.html")
        none = {"id": None, "flow_name": None, "data": []}
        requests_mock.get(f"{API}/get_all_subscriber_flow_info/", [{"json": none}, {"json": BODY}])
        assert report(tmp_path / "1.html")["answered"] == 2

    @pytest.mark.parametrize(("max_answers", "listed"), [(0, 0), ("0", 0), (1, 1), ("3", 3), (50, 5)])
    def test_lists_the_wanted_number_of_answers(self, tmp_path, answer, max_answers, listed):
        data = {
            str(at): [{"question_id": "45", "question": "Why?", "answer": f"answer {at}"}] for at in range(5)
        }
        answer(BODY | {"data": data})
        report(tmp_path / "report.html", max_answers=max_answers)
        text = read_html((tmp_path / "report.html").read_bytes()).text
        assert sum(f"answer {at}" in text for at in range(5)) == listed


class TestHistory:
    @pytest.fixture
    def history(self, tmp_path):
        return tmp_path / "history" / "feedback.jsonl"

    def test_next_report_shows_the_change(self, tmp_path, answer, history):
        answer(BODY | {"data": {"1": BODY["data"]["24994546734902202"]}})
        first = report(tmp_path / "1.html", "run 1", history_path=str(history))
        answer()
        second = report(tmp_path / "2.html", "run 2", history_path=str(history))
        assert first["change"] is None
        assert second["change"] == {"since": first["extracted_at"], "answered": 1, "completed": 1}
        assert "This is the first report" in read_html((tmp_path / "1.html").read_bytes()).text
        assert "+1 answered, +1 completed" in read_html((tmp_path / "2.html").read_bytes()).text
        assert [(each["answered"], each["completed"]) for each in history_of(history)] == [(1, 0), (2, 1)]

    def test_repeated_run_replaces_its_entry_and_is_not_compared_with_itself(self, tmp_path, answer, history):
        answer()
        for run in ("run 1", "run 2", "run 2"):
            figures = report(tmp_path / "report.html", run, history_path=str(history))
        assert figures["change"]["answered"] == 0
        assert [each["run"] for each in history_of(history)] == [
            "dag.report[-1] run 1",
            "dag.report[-1] run 2",
        ]

    def test_outside_of_a_run_each_report_is_kept(self, tmp_path, answer, history, time_machine_steps):
        answer()
        for _ in range(3):
            report(tmp_path / "report.html", history_path=str(history))
            time_machine_steps()
        assert len(history_of(history)) == 3

    def test_of_something_else_is_left_alone(self, tmp_path, answer):
        endpoint = answer()
        (tmp_path / "history.jsonl").write_bytes(b"a letter")
        with pytest.raises(
            CyTechBotStorageRefusedError, match=r"'history_path'.* is not a history"
        ) as caught:
            report(tmp_path / "report.html", history_path=str(tmp_path / "history.jsonl"))
        assert isinstance(caught.value, AirflowFailException)
        assert files_in(tmp_path) == {"history.jsonl": b"a letter"}
        assert not endpoint.called

    @pytest.mark.parametrize("spell", [str, "file://{}".format])
    def test_must_not_be_the_page(self, tmp_path, answer, spell):
        endpoint = answer()
        path = spell(tmp_path / "report.html")
        with pytest.raises(CyTechBotFieldError, match="'history_path' is the same as 'path'") as caught:
            report(path, history_path=path)
        assert isinstance(caught.value, AirflowFailException)
        assert not endpoint.called

    def test_that_cannot_be_written_costs_the_server_nothing(self, tmp_path, answer):
        endpoint = answer()
        (tmp_path / "folder").write_text("a file")
        with pytest.raises(CyTechBotStorageRefusedError, match=r"'history_path', .*folder"):
            report(tmp_path / "report.html", history_path=str(tmp_path / "folder" / "history.jsonl"))
        assert files_in(tmp_path) == {"folder": b"a file"}
        assert not endpoint.called

    @pytest.mark.parametrize("at", [1, 2])
    def test_is_written_after_the_page(self, tmp_path, answer, history, monkeypatch, at):
        answer()
        report(tmp_path / "report.html", "run 1", history_path=str(history))
        before = files_in(tmp_path)
        replace, calls = Path.replace, []

        def fail(path, target):
            calls.append(Path(target).name)
            if len(calls) == at:
                raise OSError("disk full")
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(CyTechBotStorageError, match="disk full"):
            report(tmp_path / "report.html", "run 2", history_path=str(history))
        assert calls == ["report.html", "feedback.jsonl"][:at]
        after = files_in(tmp_path)
        assert after.keys() == before.keys()
        assert [name for name in after if after[name] != before[name]] == (["report.html"] if at == 2 else [])


class TestWhatGoesWrong:
    @pytest.fixture
    def folder(self, tmp_path):
        yield tmp_path / "folder"
        assert files_in(tmp_path) == {}

    @pytest.mark.parametrize(
        ("field", "wrong"),
        [
            *[("flow_campaign_id", each) for each in ("one", "", None, 7.0, "all", ["7"], "0")],
            *[("path", each) for each in (None, "", " ", "/tmp/{ds}.html")],
            *[("history_path", each) for each in ("{run_id}.jsonl", "{flow_campaign_id}/{page}.jsonl")],
            *[("max_answers", each) for each in (51, -1, 1.5, True, None, "", "many", "1000000000000")],
            *[("overwrite", each) for each in ("", None, "maybe")],
            *[("allow_empty", each) for each in ("", None, "maybe")],
            *[("storage_options", each) for each in ("ACL", {"ACL": "private"}, {1: 2})],
        ],
    )
    def test_parameter_that_cannot_be_used(self, folder, answer, field, wrong):
        endpoint = answer()
        with pytest.raises(CyTechBotFieldError, match=f"'{field}'") as caught:
            operator(folder / "report.html", **{field: wrong}).execute({})
        assert isinstance(caught.value, AirflowFailException)
        assert caught.value.__context__ is None
        assert not endpoint.called

    @pytest.mark.parametrize("left", [1, 0.3, 0.9, -1])
    @pytest.mark.parametrize("options", [{}, {"history_path": "history.jsonl"}], ids=str)
    def test_answer_that_ends_early_may_be_retried(self, folder, answer, left, options):
        body = json.dumps(BODY).encode()
        answer(body[: int(left * len(body)) if isinstance(left, float) else left])
        options = {name: str(folder / file) for name, file in options.items()}
        with pytest.raises(Exception, match="get_all_subscriber_flow_info") as caught:
            report(folder / "report.html", **options)
        assert not isinstance(caught.value, AirflowFailException)

    def test_unknown_campaign_fails_at_once(self, folder, answer, requests_mock):
        endpoint = answer()
        requests_mock.get(
            f"{API}/get_flow_campaign_info/", json={"status": "error", "message": "Flow campaign not found"}
        )
        with pytest.raises(CyTechBotNotFoundError) as caught:
            report(folder / "report.html")
        assert isinstance(caught.value, AirflowFailException)
        assert not endpoint.called

    def test_transport_error_may_be_retried(self, folder, answer):
        answer(status_code=503)
        with pytest.raises(CyTechBotTransportError):
            report(folder / "report.html")

    def test_task_that_is_stopped_leaves_nothing(self, folder, answer, monkeypatch):
        answer()
        task = operator(folder / "report.html")
        monkeypatch.setattr(
            "airflow_provider_cytechbot.reports.figures.FigureCollector.add", lambda *_: task.on_kill()
        )
        with pytest.raises(KeyboardInterrupt, match="was stopped"):
            task.execute({})


class TestLineage:
    def test_hook_lineage_has_the_campaign_and_the_page(self, tmp_path, answer, hook_lineage):
        answer()
        report(f"file://{tmp_path}/report.html", history_path=f"file://{tmp_path}/history.jsonl")
        assert hook_lineage.inputs == ["cytechbot://cytechbot.com/flow_campaigns/7"]
        assert hook_lineage.outputs == [f"file://{tmp_path}/report.html"]

    def test_openlineage_has_the_campaign_and_the_page(self, tmp_path, answer):
        pytest.importorskip("airflow.providers.openlineage", reason="OpenLineage is not installed")
        answer()
        task = operator(f"file://{tmp_path}/report.html")
        figures = task.execute({})
        lineage = task.get_openlineage_facets_on_complete(None)
        assert [each.name for each in lineage.inputs] == ["flow_campaigns/7"]
        (page,) = lineage.outputs
        assert page.name == f"{tmp_path}/report.html"
        assert page.outputFacets["outputStatistics"].size == figures["bytes"]

    def test_openlineage_has_nothing_of_a_report_that_failed(self, tmp_path, answer):
        pytest.importorskip("airflow.providers.openlineage", reason="OpenLineage is not installed")
        answer(status_code=503)
        task = operator(tmp_path / "report.html")
        with pytest.raises(CyTechBotTransportError):
            task.execute({})
        lineage = task.get_openlineage_facets_on_complete(None)
        assert (lineage.inputs, lineage.outputs) == ([], [])


@pytest.fixture
def time_machine_steps():
    """Let the time go on by a second with each call."""
    time_machine = pytest.importorskip("time_machine")
    with time_machine.travel(datetime(2026, 11, 27, tzinfo=UTC), tick=False) as traveller:
        yield lambda: traveller.shift(1)
