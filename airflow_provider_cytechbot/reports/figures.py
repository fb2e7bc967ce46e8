"""The figures of a report, collected while the answers of a campaign arrive. No I/O, bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_cytechbot.api.flow_progress import Progress, ProgressCounts, Questionnaire
from airflow_provider_cytechbot.reports.answer_text import ShownText, shown_text
from airflow_provider_cytechbot.reports.frequent_answers import FrequentAnswers

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.records import FlowAnswer

#: The most questions that a report has figures of.
MAX_QUESTIONS = 100


class QuestionFigures(NamedTuple):
    """
    The figures of one question.

    :param question_id: The question's id; ``None`` if the API sent none, as for a question without answers.
    :param question: Its text.
    :param answered: The number of subscribers that answered it.
    :param is_listed: Whether the campaign still lists it.
    :param answers: The counts of its answers.
    """

    question_id: str | None
    question: ShownText
    answered: int
    is_listed: bool
    answers: FrequentAnswers


class Figures(NamedTuple):
    """
    The figures of a campaign.

    :param answered: The number of subscribers that answered at least one question.
    :param completed: The number of subscribers that answered every question.
    :param questions: The campaign's questions in its order, then those that it no longer lists; at most
        :data:`MAX_QUESTIONS`.
    :param more_questions: The number of questions that the campaign lists beyond these.
    :param uncounted_answers: The number of answers to questions that have no figures.
    """

    answered: int
    completed: int
    questions: Sequence[QuestionFigures]
    more_questions: int = 0
    uncounted_answers: int = 0


class _Question:
    def __init__(self, question_id: str | None, text: ShownText) -> None:
        self.question_id = question_id
        self.text = text
        self.answered = 0
        self.answers = FrequentAnswers()

    def figures(self, *, is_listed: bool) -> QuestionFigures:
        return QuestionFigures(self.question_id, self.text, self.answered, is_listed, self.answers)


class FigureCollector:
    """
    Collects the figures. Memory grows with the number of questions only.

    :param questions: The texts of the campaign's questions, as ``get_flow_campaign`` returns them.
    """

    def __init__(self, questions: Iterable[str]) -> None:
        self._listed = list(questions)
        self._questionnaire = Questionnaire(self._listed)
        self._counts = ProgressCounts()
        self._questions: dict[tuple[str | None, str], _Question] = {}
        self._uncounted_answers = 0

    def add(self, answers: Sequence[FlowAnswer]) -> None:
        """
        Add one subscriber.

        :param answers: The subscriber's answers. White space alone does not count as an answer.
        """
        progress = self._questionnaire.progress(answers)
        self._counts.add(progress)
        if progress is Progress.NOTHING:
            return
        answered = set()
        for each in answers:
            text = each["answer"]
            if not text or text.isspace():
                continue
            question = self._question(each["question_id"], each["question"] or "")
            if question is None:
                self._uncounted_answers += 1
                continue
            question.answers.add(shown_text(text))
            answered.add(question)
        for question in answered:
            question.answered += 1

    def figures(self) -> Figures:
        """Return the figures of the subscribers that were added."""
        found: dict[ShownText, list[_Question]] = {}
        for question in sorted(self._questions.values(), key=_by_id):
            found.setdefault(question.text, []).append(question)
        in_order = []
        for listed in map(shown_text, self._listed):
            same_text = found.get(listed)
            in_order.append(same_text.pop(0) if same_text else _Question(None, listed))
        unlisted = [question for same_text in found.values() for question in same_text]
        questions = [question.figures(is_listed=True) for question in in_order]
        questions += [question.figures(is_listed=False) for question in unlisted]
        left_out = questions[MAX_QUESTIONS:]
        return Figures(
            self._counts.answered,
            self._counts.completed,
            questions[:MAX_QUESTIONS],
            len(left_out),
            self._uncounted_answers + sum(each.answers.total for each in left_out),
        )

    def _question(self, question_id: str | None, text: str) -> _Question | None:
        key = (question_id, "" if question_id else text)
        question = self._questions.get(key)
        if question is None and len(self._questions) < MAX_QUESTIONS:
            question = self._questions[key] = _Question(question_id, shown_text(text))
        return question


def _by_id(question: _Question) -> tuple[int, str]:
    question_id = question.question_id or ""
    return len(question_id), question_id
