from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError, CyTechBotTransportError
from airflow_provider_cytechbot.reports.flow_report import (
    MAX_QUESTIONS_RETURNED,
    MAX_TEXT_RETURNED,
    FlowReport,
    ReportOptions,
)


def answer(text):
    return {"question_id": "1", "question": "Why?", "answer": text}


class Stream:
    """The answers of a campaign, as from the hook."""

    bytes_read = 123
    extracted_at = "2026-11-22T15:14:40+00:00"

    def __init__(self, answers, error):
        self._answers, self._error = answers, error

    def __iter__(self):
        yield from self._answers
        if self._error:
            raise self._error


class Hook:
    """A hook with one campaign."""

    settings = SimpleNamespace(base_url="https://cytechbot.com/api")

    def __init__(self, questions, *subscribers, error=None):
        self._questions = questions
        self._answers = [(str(number), answers) for number, answers in enumerate(subscribers)]
        self._error = error
        self.requests = 0

    def get_flow_campaign(self, flow_campaign_id):
        self.requests += 1
        return {"id": flow_campaign_id, "flow_name": "Feedback", "questions": self._questions}

    @contextmanager
    def open_flow_answers(self, flow_campaign_id):
        yield Stream(self._answers, self._error)


def run(tmp_path, hook, *, history=False, task_run="", overwrite=True):
    options = ReportOptions(
        path=str(tmp_path / "report.html"),
        history_path=str(tmp_path / "history.jsonl") if history else None,
        max_answers=10,
        overwrite=overwrite,
        allow_empty=False,
        storage_options={},
        run=task_run,
    )
    return FlowReport(hook, options, lambda *_: None).run("7")


def test_figures_are_returned_and_the_page_is_written(tmp_path):
    figures = run(tmp_path, Hook(["Why?"], [answer("Because")], [answer(" ")]))
    page = (tmp_path / "report.html").read_bytes()
    assert figures["bytes"] == len(page)
    assert b"Because" in page
    assert (figures["answered"], figures["completed"], figures["change"]) == (1, 1, None)
    assert figures["questions"] == [
        {"question_id": "1", "question": "Why?", "answered": 1, "different_answers": 1}
    ]


def test_many_and_long_questions_are_shortened_in_the_result(tmp_path):
    questions = [f"{number} {'x' * 200}" for number in range(MAX_QUESTIONS_RETURNED + 10)]
    found = run(tmp_path, Hook(questions))["questions"]
    assert len(found) == MAX_QUESTIONS_RETURNED
    assert {len(each["question"]) for each in found} == {MAX_TEXT_RETURNED}


def test_the_change_is_the_difference_to_the_report_of_another_run(tmp_path):
    one, two = [answer("a")], [answer("b")]
    assert run(tmp_path, Hook(["Why?"], one), history=True, task_run="monday")["change"] is None
    again = run(tmp_path, Hook(["Why?"], one), history=True, task_run="monday")
    assert again["change"] is None
    change = run(tmp_path, Hook(["Why?"], one, two), history=True, task_run="tuesday")["change"]
    assert change == {"since": Stream.extracted_at, "answered": 1, "completed": 1}


def test_answers_that_end_early_leave_page_and_history_as_they_were(tmp_path):
    hook = Hook(["Why?"], [answer("a")], error=CyTechBotTransportError("cut off."))
    with pytest.raises(CyTechBotTransportError):
        run(tmp_path, hook, history=True)
    assert list(tmp_path.iterdir()) == []


def test_one_path_for_page_and_history_is_refused_before_the_first_request(tmp_path):
    hook, path = Hook([]), str(tmp_path / "report.html")
    options = ReportOptions(path, path, 10, True, False, {}, "")
    with pytest.raises(CyTechBotFieldError, match="'history_path'"):
        FlowReport(hook, options, lambda *_: None).run("7")
    assert hook.requests == 0
