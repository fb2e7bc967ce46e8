from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.flow_progress import Progress, ProgressCounts, Questionnaire


def answers(*given):
    return [
        {"question_id": str(number), "question": question, "answer": answer}
        for number, (question, answer) in enumerate(given)
    ]


@pytest.mark.parametrize(
    ("given", "progress"),
    [
        ([], Progress.NOTHING),
        ([("How?", None), ("Why?", "")], Progress.NOTHING),
        ([("How?", " \n")], Progress.NOTHING),
        ([("How?", "So")], Progress.ANSWERED),
        ([("How?", "So"), ("Why?", "")], Progress.ANSWERED),
        ([("How?", "So"), ("When?", "Now")], Progress.ANSWERED),
        ([("How?", "So"), ("How?", "Or so")], Progress.ANSWERED),
        ([("How?", "So"), ("Why?", "0")], Progress.COMPLETED),
        ([(" How? ", "So"), ("Why?", "Because"), ("When?", None)], Progress.COMPLETED),
    ],
)
def test_every_question_needs_an_answer(given, progress):
    assert Questionnaire(["How?", "Why?"]).progress(answers(*given)) is progress


def test_a_question_that_is_listed_twice_needs_two_answers():
    twice = Questionnaire(["How?", "How?"])
    assert twice.progress(answers(("How?", "So"))) is Progress.ANSWERED
    assert twice.progress(answers(("How?", "So"), ("How?", "Or so"))) is Progress.COMPLETED
    same = answers(("How?", "So")) * 2
    assert twice.progress(same) is Progress.ANSWERED


def test_nobody_completes_what_was_not_read():
    assert Questionnaire(None).progress(answers(("How?", "So"))) is Progress.ANSWERED


def test_a_campaign_without_questions_still_needs_an_answer():
    assert Questionnaire([]).progress([]) is Progress.NOTHING


def test_the_counts_have_each_progress():
    counts = ProgressCounts()
    for progress in (Progress.NOTHING, Progress.ANSWERED, Progress.COMPLETED, Progress.COMPLETED):
        counts.add(progress)
    assert (counts.answered, counts.completed) == (3, 2)
    assert counts.reached(3, Progress.required_if(complete=False))
    assert not counts.reached(3, Progress.required_if(complete=True))
    assert counts.reached(2, Progress.COMPLETED)
