from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from airflow_provider_cytechbot.reports.figures import MAX_QUESTIONS, FigureCollector


def answer(question_id, text, question=None):
    return {"question_id": question_id, "question": question or f"Question {question_id}", "answer": text}


def figures(questions, *subscribers):
    collector = FigureCollector(questions)
    for answers in subscribers:
        collector.add(answers)
    return collector.figures()


def funnel(found):
    return [(each.question_id, each.question.text, each.answered, each.is_listed) for each in found.questions]


TWO = ["Question 1", "Question 2"]


class TestSubscribers:
    def test_count_as_answered_with_one_answer_and_as_completed_with_all(self):
        found = figures(TWO, [answer("1", "a"), answer("2", "b")], [answer("1", "c")], [])
        assert (found.answered, found.completed) == (2, 1)
        assert funnel(found) == [("1", "Question 1", 2, True), ("2", "Question 2", 1, True)]

    @pytest.mark.parametrize("nothing", [None, "", " \n\t", "\u00a0\u3000"])
    def test_white_space_does_not_count_as_an_answer(self, nothing):
        found = figures(
            TWO, [answer("1", nothing), answer("2", nothing)], [answer("1", "a"), answer("2", nothing)]
        )
        assert (found.answered, found.completed) == (1, 0)
        assert [each.answered for each in found.questions] == [1, 0]
        assert [each.answers.total for each in found.questions] == [1, 0]

    def test_with_two_answers_to_a_question_count_once(self):
        found = figures(["Question 1"], [answer("1", "a"), answer("1", "b")])
        (question,) = found.questions
        assert (found.answered, question.answered, question.answers.total) == (1, 1, 2)

    def test_none(self):
        found = figures(TWO)
        assert (found.answered, found.completed) == (0, 0)
        assert funnel(found) == [(None, "Question 1", 0, True), (None, "Question 2", 0, True)]


class TestQuestions:
    def test_stand_in_the_order_of_the_campaign(self):
        found = figures(["Last id", "First id"], [answer("1", "a", "First id"), answer("2", "b", "Last id")])
        assert [each.question_id for each in found.questions] == ["2", "1"]

    def test_that_the_campaign_no_longer_lists_come_last(self):
        found = figures(["Question 2"], [answer("1", "a"), answer("2", "b")])
        assert funnel(found) == [("2", "Question 2", 1, True), ("1", "Question 1", 1, False)]

    def test_with_the_same_text_are_distinguished_by_their_ids(self):
        found = figures(["Why?", "Why?"], [answer("10", "b", "Why?"), answer("9", "a", "Why?")])
        assert [each.question_id for each in found.questions] == ["9", "10"]
        assert found.completed == 1

    def test_without_ids_are_distinguished_by_their_texts(self):
        found = figures(["Why?", "How?"], [answer(None, "a", "How?"), answer(None, "b", "Why?")])
        assert [(each.question.text, each.answered) for each in found.questions] == [("Why?", 1), ("How?", 1)]

    def test_match_the_campaign_despite_other_white_space(self):
        found = figures(["Why  not?\n"], [answer("1", "a", " Why not?")])
        assert funnel(found) == [("1", "Why not?", 1, True)]

    @pytest.mark.parametrize("extra", [1, 50])
    def test_are_limited(self, extra):
        number = MAX_QUESTIONS + extra
        found = figures(
            [f"Question {each}" for each in range(number)], [answer(str(each), "a") for each in range(number)]
        )
        assert len(found.questions) == MAX_QUESTIONS
        assert (found.more_questions, found.uncounted_answers) == (extra, extra)
        assert found.completed == 1

    def test_beyond_the_limit_that_the_campaign_does_not_list_are_counted_together(self):
        found = figures([], [answer(str(each), "a") for each in range(MAX_QUESTIONS + 7)])
        assert (len(found.questions), found.more_questions, found.uncounted_answers) == (MAX_QUESTIONS, 0, 7)


class TestAnswers:
    def test_that_look_alike_are_counted_together(self):
        found = figures(
            ["Question 1"], *([answer("1", each)] for each in ("Yes", " Yes\n", "Y\u200bes", "yes"))
        )
        counts = [(text.text, count) for text, count in found.questions[0].answers.most_frequent(5)]
        assert counts == [("Yes", 3), ("yes", 1)]

    def test_of_invisible_characters_are_answers(self):
        found = figures(["Question 1"], [answer("1", "\x00")])
        assert found.questions[0].answers.most_frequent(1)[0][0].text == ""
        assert found.completed == 1


@pytest.mark.slow
def test_memory_does_not_grow_with_a_million_answers():
    """In a process of its own, for the memory of others would count too."""
    program = """
        from airflow_provider_cytechbot.reports.figures import FigureCollector

        def resident():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

        def add(collector, start, end):
            for number in range(start, end):
                texts = [f"order {number}", f"{number} " * 60]
                texts += [f"option {number % at}" for at in range(2, 10)]
                numbered = enumerate(texts)
                collector.add(
                    [{"question_id": str(at), "question": f"Q{at}", "answer": each} for at, each in numbered]
                )

        collector = FigureCollector([f"Q{at}" for at in range(10)])
        add(collector, 0, 5_000)
        before = resident()
        add(collector, 5_000, 100_000)
        found = collector.figures()
        print(resident() - before, found.answered, found.questions[0].answers.distinct)
    """
    run = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    kilobytes, answered, distinct = map(int, done.stdout.split())
    assert answered == 100_000
    assert distinct == pytest.approx(100_000, rel=0.06)
    assert kilobytes < 6_000  # the different answers alone would take 60,000
