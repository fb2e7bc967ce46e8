"""The page of a report: one HTML file that loads nothing and runs nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from airflow_provider_cytechbot.reports.answer_text import ShownText, shown_text
from airflow_provider_cytechbot.reports.line_chart import LineChart

if TYPE_CHECKING:
    from jinja2 import Template

    from airflow_provider_cytechbot.reports.figures import Figures, QuestionFigures
    from airflow_provider_cytechbot.reports.history import EarlierReport

#: With many questions, fewer answers of each are listed, or the page would grow too large to mail.
_MAX_ANSWERS_OF_ALL_QUESTIONS = 400
_HAS_NO_ANSWERS = re.compile(rb'<meta name="cytechbot-answered" content="0">')
#: How many reports the line over time shows.
_MAX_POINTS = 60
# Not from strftime: the worker's locale would translate them.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


class Subject(NamedTuple):
    """
    What a report is about.

    :param flow_campaign_id: The campaign's id.
    :param flow_name: Its name.
    :param server: The host of the installation.
    :param extracted_at: When the answers were requested, in ISO 8601.
    """

    flow_campaign_id: str
    flow_name: str | None
    server: str
    extracted_at: str


class _AnswerRow(NamedTuple):
    text: ShownText
    given: int
    width: float


class _QuestionRow(NamedTuple):
    number: int
    figures: QuestionFigures
    change: int | None
    answers: Sequence[_AnswerRow]

    @property
    def listed(self) -> int:
        return sum(answer.given for answer in self.answers)


def has_answers(page: bytes) -> bool:
    """
    Return whether a page is a report with answers. A damaged one counts as one, an empty file does not.

    :param page: The beginning of a page.
    """
    return bool(page) and _HAS_NO_ANSWERS.search(page) is None


def render_page(
    subject: Subject, figures: Figures, earlier: Sequence[EarlierReport] | None, *, max_answers: int
) -> bytes:
    """
    Return the page.

    :param subject: What the report is about.
    :param figures: The figures.
    :param earlier: The campaign's earlier reports, the oldest first; ``None`` without a history.
    :param max_answers: The most answers to list of each question.
    """
    before = earlier[-1] if earlier else None
    max_answers = min(max_answers, max(_MAX_ANSWERS_OF_ALL_QUESTIONS // max(len(figures.questions), 1), 3))
    text = _template().render(
        subject=subject,
        name=shown_text(subject.flow_name or ""),
        extracted_at=datetime.fromisoformat(subject.extracted_at),
        figures=figures,
        has_history=earlier is not None,
        before=before,
        questions=[
            _question_row(number, each, before, max_answers)
            for number, each in enumerate(figures.questions, start=1)
        ],
        max_answers=max_answers,
        loss=_largest_loss(figures.questions),
        timeline=_timeline(subject, figures, earlier) if earlier else None,
    )
    return text.encode(errors="replace")


def _question_row(
    number: int, figures: QuestionFigures, before: EarlierReport | None, max_answers: int
) -> _QuestionRow:
    found = figures.answers.most_frequent(max_answers)
    most = max((count for _, count in found), default=1)
    earlier = before.answered_before(figures.question_id, figures.question.text) if before else None
    return _QuestionRow(
        number,
        figures,
        None if earlier is None else figures.answered - earlier,
        [_AnswerRow(text, count, 100 * count / most) for text, count in found],
    )


class _Loss(NamedTuple):
    after: int
    people: int
    before: int


def _largest_loss(questions: Sequence[QuestionFigures]) -> _Loss | None:
    """Return after which question most people stopped; ``None`` if no question has fewer answers."""
    answered = [each.answered for each in questions if each.is_listed]
    losses = [
        _Loss(number, before - after, before)
        for number, (before, after) in enumerate(pairwise(answered), start=1)
    ]
    largest = max(losses, key=lambda each: each.people, default=None)
    return largest if largest and largest.people > 0 else None


class _Moment(NamedTuple):
    time: datetime
    answered: int
    completed: int


class _Timeline(NamedTuple):
    moments: Sequence[_Moment]
    chart: LineChart


def _timeline(subject: Subject, figures: Figures, earlier: Sequence[EarlierReport]) -> _Timeline:
    moments = [_Moment(each.extracted_at, each.answered, each.completed) for each in earlier]
    now = datetime.fromisoformat(subject.extracted_at)
    moments = [*moments, _Moment(now, figures.answered, figures.completed)][-_MAX_POINTS:]
    chart = LineChart(
        [each.time for each in moments],
        [each.answered for each in moments],
        [each.completed for each in moments],
    )
    return _Timeline(moments, chart)


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": lambda value: f"{value:,}",
        "change": lambda value: f"{value:+,}".replace("-", "\N{MINUS SIGN}") if value else "±0",
        "percent": _percent,
        "about": _about,
        "day": _day,
        "minute": lambda time: f"{_day(time)}, {time.astimezone(UTC):%H:%M} UTC",
    }
    return environment.get_template("page.html.j2")


def _percent(part: int, whole: int) -> str:
    """Return a share without decimals, which is 0% or 100% only where that is exact."""
    if not whole:
        return "\N{EN DASH}"
    if part and 100 * part < whole:
        return "<1%"
    if part < whole and 100 * (whole - part) < whole:
        return ">99%"
    return f"{100 * part / whole:.0f}%"


def _about(value: int) -> str:
    """Return an estimate without the digits that it does not have."""
    digits = max(len(str(value)) - 2, 0)
    return f"{round(value, -digits):,}"


def _day(time: datetime) -> str:
    time = time.astimezone(UTC)
    return f"{time.day} {_MONTHS[time.month - 1]} {time.year}"
