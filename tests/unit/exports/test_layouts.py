from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.flow_answer_batches import Answer
from airflow_provider_cytechbot.exports import layouts as module
from airflow_provider_cytechbot.exports.layouts import Campaign, LongLayout, WideLayout
from airflow_provider_cytechbot.formats.table import Same

CAMPAIGN = Campaign("7", "Feedback", "2026-11-22T15:14:40+00:00")
BATCH = [
    ("24994546734902201", [Answer("1", "Why?", "So"), Answer("2", "How?", None)]),
    ("24994546734902202", []),
    ("24994546734902203", [Answer("2", "How?", "")]),
]


def rows(layout, *arguments):
    table = layout.table(CAMPAIGN, *arguments)
    columns = [
        [values.value] * table.rows if isinstance(values, Same) else list(values)
        for values in (table.columns[column.name] for column in layout.columns)
    ]
    return [tuple(row) for row in zip(*columns, strict=True)]


class TestLong:
    def test_one_row_an_answer(self):
        before, after = ("7", "Feedback"), ("2026-11-22T15:14:40+00:00",)
        assert rows(LongLayout(), BATCH) == [
            (*before, "24994546734902201", "1", "Why?", "So", *after),
            (*before, "24994546734902201", "2", "How?", None, *after),
            (*before, "24994546734902203", "2", "How?", "", *after),
        ]

    def test_profile_columns_follow_the_subscriber_id(self):
        layout = LongLayout(["email", "locale"])
        profiles = [("a@b", "en"), (None, None), ("c@d", None)]
        assert [row[2:5] for row in rows(layout, BATCH, profiles)] == [
            ("24994546734902201", "a@b", "en"),
            ("24994546734902201", "a@b", "en"),
            ("24994546734902203", "c@d", None),
        ]
        assert [column.name for column in layout.columns][3:5] == ["email", "locale"]

    def test_changes_stand_last(self):
        layout = LongLayout(has_changes=True)
        assert [row[-1] for row in rows(layout, BATCH, (), ["new", "gone", "changed"])] == [
            "new",
            "gone",
            "changed",
        ]


class TestWide:
    @staticmethod
    def names(questions, order):
        layout = WideLayout(questions, order)
        return [column.name for column in layout.columns][3:-1]

    def test_one_row_a_subscriber_with_its_questions_in_the_order_of_the_campaign(self):
        layout = WideLayout([("1", "Why?"), ("2", "How?")], ["How?", "Why?"])
        assert [column.name for column in layout.columns][2:-1] == ["subscriber_id", "How?", "Why?"]
        assert [row[2:-1] for row in rows(layout, BATCH)] == [
            ("24994546734902201", None, "So"),
            ("24994546734902202", None, None),
            ("24994546734902203", "", None),
        ]

    @pytest.mark.parametrize(
        ("questions", "order", "expected"),
        [
            ([], [], []),
            ([], ["Why?"], ["Why?"]),  # without an answer
            ([("1", "Old"), ("2", "Why?")], ["Why?"], ["Why?", "Old"]),  # only in answers
            ([("1", "Why?"), ("2", "Why?")], ["Why?"], ["Why? (1)", "Why? (2)"]),
            ([("1", "Why?"), ("2", "why?")], ["Why?"], ["Why? (1)", "why? (2)"]),
            ([("1", "Extracted_At")], ["Extracted_At"], ["Extracted_At (2)"]),
            ([("1", "Why? "), ("2", "How\n?")], ["How ?", "Why?"], ["How ?", "Why?"]),
            ([("1", "flow_name")], ["flow_name"], ["flow_name (2)"]),
            ([("1", None), ("2", "")], [], ["question 1", "question 2"]),
            ([(None, None), ("", ""), ("1", "question")], [], ["question", "question (2)", "question (1)"]),
        ],
    )
    def test_names_of_columns(self, questions, order, expected):
        assert self.names(questions, order) == expected

    def test_columns_have_the_question_in_their_name(self):
        layout = WideLayout([("1", "Why?"), ("2", None), (None, "How?"), (None, None)], [])
        assert [column.description for column in layout.columns][3:-1] == [
            "Answer to question 1: Why?",
            "Answer to question 2 without a text",
            "Answer to a question: How?",
            "Answer to a question without a text",
        ]

    def test_of_many_questions_a_table_has_fewer_rows(self, monkeypatch):
        layout = WideLayout([("1", "Why?"), ("2", "How?")], [])
        assert list(layout.cut([BATCH, BATCH[:1]])) == [BATCH, BATCH[:1]]
        monkeypatch.setattr(module, "CELLS_OF_A_TABLE", 2 * len(layout.columns) + 1)
        assert list(layout.cut([BATCH, BATCH[:1]])) == [BATCH[:2], BATCH[2:], BATCH[:1]]
        monkeypatch.setattr(module, "CELLS_OF_A_TABLE", 1)
        assert list(layout.cut([BATCH])) == [[each] for each in BATCH]

    def test_names_are_never_twice(self):
        questions = [("1", "A"), ("2", "A"), ("3", "A (1)"), ("3", "A (1) "), (None, "subscriber_id")]
        names = self.names(questions, ["A", "A (1)", "A"])
        assert len(set(names)) == len(names) == 5
        assert "subscriber_id" not in names
