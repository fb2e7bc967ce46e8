from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_cytechbot.api.errors import CyTechBotStorageRefusedError
from airflow_provider_cytechbot.reports import history as history_module
from airflow_provider_cytechbot.reports.figures import FigureCollector
from airflow_provider_cytechbot.reports.history import (
    MAX_REPORTS,
    EarlierQuestion,
    EarlierReport,
    History,
    as_earlier_report,
)
from airflow_provider_cytechbot.storage.locations import StorageLocation

CAMPAIGN = "cytechbot://cytechbot.com/flow_campaigns/7"
START = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.fixture
def location(tmp_path):
    return StorageLocation("history_path", ObjectStoragePath(f"file://{tmp_path}/history.jsonl"))


def report(number, run=None, campaign=CAMPAIGN):
    time = START + timedelta(days=number)
    return EarlierReport(campaign, run or f"run {number}", time, number, 0, [])


def write(location, *reports):
    for each in reports:
        location.path.write_bytes(History(location).lines_with(each))


def runs(location, campaign=CAMPAIGN, **options):
    return [each.run for each in History(location).reports_of(campaign, **options)]


def test_missing_file_is_an_empty_history(location):
    assert runs(location) == []


def test_keeps_each_report_as_one_line_of_json(location):
    collector = FigureCollector(["Why?", "How?"])
    collector.add([{"question_id": "45", "question": "Why?", "answer": "secret\nthoughts"}])
    made = as_earlier_report(collector.figures(), CAMPAIGN, "run", "2025-11-27T06:30:00+00:00")
    write(location, report(1), made)
    _, line = location.path.read_text().splitlines()
    found = json.loads(line)
    assert len(found.pop("digest")) == 32
    assert found == {
        "campaign": CAMPAIGN,
        "run": "run",
        "extracted_at": "2025-11-27T06:30:00Z",
        "answered": 1,
        "completed": 0,
        "questions": [
            {"question_id": "45", "question": "Why?", "answered": 1},
            {"question_id": None, "question": "How?", "answered": 0},
        ],
    }
    assert History(location).reports_of(CAMPAIGN)[1] == made


def test_reports_come_in_the_order_of_their_time(location):
    write(location, report(3), report(1), report(2))
    assert runs(location) == ["run 1", "run 2", "run 3"]


def test_repeated_run_replaces_its_report(location):
    write(location, report(1), report(2), report(5, run="run 1"))
    assert runs(location) == ["run 2", "run 1"]
    assert runs(location, except_run="run 1") == ["run 2"]


def test_campaigns_have_reports_of_their_own(location):
    other = "cytechbot://example.com/flow_campaigns/7"
    write(location, report(1), report(1, campaign=other), report(2))
    assert runs(location) == ["run 1", "run 2"]
    assert runs(location, other) == ["run 1"]


def test_oldest_reports_of_a_campaign_are_dropped(location):
    other = "cytechbot://example.com/flow_campaigns/7"
    old = [report(1, campaign=other), *map(report, range(MAX_REPORTS + 3))]
    location.path.write_bytes(history_module._encoded(old))
    write(location, report(5_000))
    assert len(runs(location)) == MAX_REPORTS
    assert runs(location)[0] == "run 4"
    assert runs(location, other) == ["run 1"]


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"\n",
        b"{}",
        b"[1]",
        b'{"campaign": "c"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"campaign":"c","run":"r","extracted_at":"2026-01-01T00:00:00Z","answered":-1,"completed":0,"questions":[],"digest":""}',
        b'{"campaign":"c","run":"r","extracted_at":"2026-01-01T00:00:00","answered":1,"completed":0,"questions":[],"digest":""}',
        b'{"campaign":"c","run":"r","extracted_at":"yesterday","answered":1,"completed":0,"questions":[],"digest":""}',
    ],
    ids=lambda content: content[:70].decode(errors="replace"),
)
@pytest.mark.parametrize("line", [1, 2])
def test_other_content_is_refused(location, content, line):
    if line == 2:
        write(location, report(1))
        content = location.path.read_bytes() + content
    location.path.write_bytes(content)
    with pytest.raises(CyTechBotStorageRefusedError, match=f"'history_path', .* line {line}"):
        History(location)


def lines(*reports):
    return history_module._encoded(reports)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b'"answered":2', b'"answered":7', 1),
        lambda content: content.replace(b"run 2", b"run 9"),
        lambda content: content.replace(b"/7", b"/8"),
        lambda content: content.partition(b"\n")[2],
        lambda content: content[: content.index(b"\n") + 1],
        lambda content: content[:-1],
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content + lines(report(9)),
        lambda content: b"\n".join(reversed(content.split(b"\n")[:2])) + b"\n",
        lambda content: content.replace(b'"run"', b'"more":1,"run"'),
        lambda content: content.replace(b'{"campaign"', b'{ "campaign"'),
        lambda content: b"",
    ],
    ids=[
        *("a count", "a run", "a campaign", "first line lost", "last line lost", "an end lost", "other ends"),
        *("a line of another file", "order", "another member", "a space", "everything"),
    ],
)
def test_any_change_is_refused(location, change):
    write(location, report(1), report(2))
    before = location.path.read_bytes()
    location.path.write_bytes(change(before))
    with pytest.raises(CyTechBotStorageRefusedError, match=r"history.jsonl.* Put back an earlier version"):
        History(location)
    location.path.write_bytes(before)
    assert runs(location) == ["run 1", "run 2"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"completed": 3}, "more subscribers that completed"),
        ({"questions": [EarlierQuestion("1", "Why?", 3)]}, "more answers to a question"),
        ({"extracted_at": datetime.now(UTC) + timedelta(days=2)}, "is of the future"),
        ({"run": "run 1"}, "has a run twice"),
    ],
    ids=["completed", "question", "future", "run twice"],
)
def test_figures_that_no_report_has_are_refused(location, changes, problem):
    forged = msgspec.structs.replace(report(2), **changes)
    location.path.write_bytes(lines(report(1), forged))
    with pytest.raises(CyTechBotStorageRefusedError, match=f"{problem}.* line 2"):
        History(location)


def test_huge_file_is_refused(location, monkeypatch):
    monkeypatch.setattr(history_module, "MAX_SIZE", 1024)
    location.path.write_bytes(b" " * 1025)
    with pytest.raises(CyTechBotStorageRefusedError, match="is larger than"):
        History(location)


def test_folder_is_refused(location):
    location.path.mkdir()
    with pytest.raises(CyTechBotStorageRefusedError, match="'history_path'"):
        History(location)


@pytest.mark.parametrize(
    ("question_id", "question", "answered"),
    [
        ("1", "Why?", 5),
        ("1", "Reworded", 5),
        ("9", "Why?", None),
        (None, "How?", 3),
        ("8", "How?", 3),
        (None, "Why?", 5),
        (None, "Else?", None),
    ],
)
def test_question_is_found_by_its_id_or_else_by_its_text(question_id, question, answered):
    questions = [EarlierQuestion("1", "Why?", 5), EarlierQuestion(None, "How?", 3)]
    earlier = EarlierReport(CAMPAIGN, "run", START, 5, 5, questions)
    assert earlier.answered_before(question_id, question) == answered
