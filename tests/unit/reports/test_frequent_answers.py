from __future__ import annotations

import random
from collections import Counter

import pytest

from airflow_provider_cytechbot.reports.answer_text import ShownText
from airflow_provider_cytechbot.reports.frequent_answers import MAX_ANSWERS, FrequentAnswers


def counted(texts, **options):
    answers = FrequentAnswers(**options)
    for text in texts:
        answers.add(ShownText(text))
    return answers


def most_frequent(answers, limit):
    return [(answer.text, count) for answer, count in answers.most_frequent(limit)]


class TestFewDifferentAnswers:
    def test_are_counted_exactly(self):
        answers = counted(["b", "a", "c", "a", "b", "a"])
        assert most_frequent(answers, 2) == [("a", 3), ("b", 2)]
        assert (answers.total, answers.distinct, answers.is_approximate, answers.max_missed) == (
            6,
            3,
            False,
            0,
        )

    def test_of_the_same_count_stand_in_the_order_of_their_arrival(self):
        assert most_frequent(counted("cabcab"), 3) == [("c", 2), ("a", 2), ("b", 2)]

    def test_are_exact_up_to_twice_the_size(self):
        texts = list(map(str, range(2 * MAX_ANSWERS)))
        assert not counted(texts).is_approximate
        assert counted([*texts, "one more"]).is_approximate

    def test_none(self):
        answers = FrequentAnswers()
        assert (answers.total, answers.distinct, answers.most_frequent(3)) == (0, 0, [])


class TestManyDifferentAnswers:
    def texts(self, frequent, unique, seed=1):
        texts = [text for text, count in frequent.items() for _ in range(count)]
        texts += [f"unique {number}" for number in range(unique)]
        random.Random(seed).shuffle(texts)
        return texts

    @pytest.mark.parametrize("order", ["shuffled", "frequent first", "frequent last", "sorted"])
    def test_counts_are_too_low_by_at_most_the_bound(self, order):
        frequent = {"Berlin": 3_000, "Lyon": 1_000, "Wien": 400}
        texts = self.texts(frequent, unique=20_000)
        if order != "shuffled":
            keys = {"sorted": str, "frequent first": lambda each: "unique" in each}
            texts.sort(key=keys.get(order, lambda each: "unique" not in each))
        answers = counted(texts, size=100)
        assert answers.max_missed <= len(texts) / 101
        found = dict(most_frequent(answers, 10))
        assert found.keys() <= frequent.keys()
        assert {"Berlin", "Lyon"} <= found.keys()
        for text, count in found.items():
            assert frequent[text] - answers.max_missed <= count <= frequent[text]

    def test_answers_that_all_differ_are_not_called_frequent(self):
        answers = counted(map(str, range(50_000)))
        assert answers.most_frequent(10) == []

    @pytest.mark.parametrize("different", [2_001, 4_000, 5_000, 10_000, 50_000])
    def test_the_number_of_different_answers_is_estimated(self, different):
        texts = [f"answer {number}" for number in range(different)] * 2
        assert counted(texts).distinct == pytest.approx(different, rel=0.06)

    def test_repeated_answers_do_not_change_the_estimate(self):
        texts = [f"answer {number}" for number in range(6_000)]
        assert counted(texts).distinct == counted(texts * 3).distinct

    def test_gives_the_same_each_time(self):
        texts = self.texts({"Berlin": 500}, unique=9_000)
        first, second = counted(texts), counted(texts)
        assert (first.distinct, first.most_frequent(9)) == (second.distinct, second.most_frequent(9))

    @pytest.mark.parametrize("seed", range(5))
    def test_every_answer_above_the_bound_is_found(self, seed):
        generator = random.Random(seed)
        texts = [str(int(generator.paretovariate(0.6))) for _ in range(20_000)]
        answers, exact = counted(texts, size=50), Counter(texts)
        found = dict(most_frequent(answers, 1_000))
        assert {text for text, count in exact.items() if count > 2 * answers.max_missed} <= found.keys()
        assert all(exact[text] - answers.max_missed <= count <= exact[text] for text, count in found.items())
