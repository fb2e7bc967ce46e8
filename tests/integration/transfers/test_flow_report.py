"""Reports over real HTTP, to a folder and to a real S3 server."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.reports.answer_text import shown_text
from airflow_provider_cytechbot.sandbox.server import SandboxServer
from airflow_provider_cytechbot.transfers.flow_report import CyTechBotFlowReportOperator
from tests.html_reading import read_html

from ..object_store import BUCKET

ENDPOINT = "get_all_subscriber_flow_info"
SUBSCRIBERS = 3_000

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture(scope="module")
def server():
    with SandboxServer(subscribers=SUBSCRIBERS) as server:
        yield server


def report(campaign, path, **options):
    return CyTechBotFlowReportOperator(
        task_id="report", flow_campaign_id=campaign, path=str(path), **options
    ).execute({})


def held(server, campaign):
    """Return the answers that the server holds, by subscriber and question."""
    state = server.state
    if campaign != "100":
        return dict(state.campaigns[campaign].answers), state.campaigns[campaign].questions
    large = state.large_campaign
    ids = map(large.subscriber_id, range(SUBSCRIBERS))
    return {each: large.answers_of(each) for each in ids}, large.questions


@pytest.mark.parametrize("campaign", ["1", "2", "3", "100"])
@pytest.mark.parametrize("fault", [None, "gzip", "chunked", "bom"])
def test_page_shows_what_the_server_holds(sandbox, tmp_path, campaign, fault):
    if fault:
        sandbox.fault(fault, ENDPOINT)
    figures = report(campaign, tmp_path / "report.html", max_answers=3)
    answers, questions = held(sandbox, campaign)
    answers = {
        who: {key: text for key, text in each.items() if text.strip()} for who, each in answers.items()
    }
    assert figures["answered"] == sum(map(bool, answers.values()))
    assert figures["completed"] == sum(each.keys() == questions.keys() for each in answers.values())
    counts = {
        key: Counter(shown_text(each[key]).text for each in answers.values() if key in each)
        for key in questions
    }
    assert [each["answered"] for each in figures["questions"]] == [each.total() for each in counts.values()]
    root = read_html((tmp_path / "report.html").read_bytes())
    tables = [each for each in root.all("table") if each.all("th")[0].text == "Answer"]
    shown = [each for each in counts.values() if each]
    for table, counter in zip(tables, [each for each in shown if len(each) <= 2_000], strict=False):
        rows = {row.all("bdi")[0].text: row.all("td")[0].text for row in table.all("tbody")[0].all("tr")}
        assert set(rows.values()) <= {f"{count:,}" for count in counter.values()}
        assert list(rows.values()) == [f"{count:,}" for _, count in counter.most_common(3)]
        assert {text: f"{counter[text]:,}" for text in rows} == rows


def test_answers_that_are_cut_off_leave_the_old_page_and_history(sandbox, tmp_path):
    history = str(tmp_path / "history.jsonl")
    report("1", tmp_path / "report.html", history_path=history)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    sandbox.fault("truncate", ENDPOINT, times=-1, size=70_000)
    with pytest.raises(CyTechBotTransportError):
        report("100", tmp_path / "report.html", history_path=history)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class TestOnS3:
    @pytest.fixture
    def store(self, running_store, monkeypatch):
        pytest.importorskip("s3fs", reason="the extra s3 is not installed")
        pytest.importorskip("airflow.providers.amazon", reason="the extra s3 is not installed")
        running_store.clear()
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", running_store.connection())
        return running_store

    def test_a_browser_gets_a_page_and_each_run_adds_to_the_history(self, store):
        folder = f"s3://aws_default@{BUCKET}/reports"
        for campaign in ("1", "3", "1"):
            figures = report(campaign, f"{folder}/{campaign}.html", history_path=f"{folder}/history.jsonl")
        assert figures["uri"] == f"{folder}/1.html"
        page = store.client().get_object(Bucket=BUCKET, Key="reports/1.html")
        assert page["ContentType"] == "text/html; charset=utf-8"
        assert page["Body"].read().startswith(b"<!doctype html>")
        entries = [json.loads(line) for line in store.read("reports/history.jsonl").splitlines()]
        assert [each["campaign"].rpartition("/")[2] for each in entries].count("1") in (1, 2)  # in one second
        assert sorted(store.objects()) == ["reports/1.html", "reports/3.html", "reports/history.jsonl"]
        assert store.uploads() == []

    def test_answers_that_are_cut_off_leave_nothing(self, store, sandbox):
        folder = f"s3://aws_default@{BUCKET}/reports"
        sandbox.fault("truncate", ENDPOINT, times=-1, size=70_000)
        with pytest.raises(CyTechBotTransportError):
            report("100", f"{folder}/1.html", history_path=f"{folder}/history.jsonl")
        assert store.objects() == {}
        assert store.uploads() == []
