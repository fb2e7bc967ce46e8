"""Layouts: the columns of an export, and its rows made from answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Literal

from airflow_provider_cytechbot.formats.table import Column, Same, Table

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch

LAYOUTS = ("long", "wide")

_FLOW_CAMPAIGN_ID = Column("flow_campaign_id", "Id of the flow campaign", "id")
_FLOW_NAME = Column("flow_name", "Name of the flow campaign")
_SUBSCRIBER_ID = Column("subscriber_id", "Id of the subscriber, digits that do not fit into a float", "id")
_QUESTION_ID = Column("question_id", "Id of the question", "id")
_QUESTION = Column("question", "Text of the question")
_ANSWER = Column("answer", "What the subscriber answered, as typed")
_EXTRACTED_AT = Column("extracted_at", "When the answers were requested, the same in all rows", kind="time")
_CHANGE = Column("change", "new, changed or gone since the export before")

#: The columns that come from the API's answer. Parameters add others.
COLUMNS_OF_AN_ANSWER = (_FLOW_CAMPAIGN_ID, _FLOW_NAME, _SUBSCRIBER_ID, _QUESTION_ID, _QUESTION, _ANSWER)

#: Fields of subscribers with digits that are not numbers.
_NUMBERS_OF_SUBSCRIBERS = frozenset({"page_id", "phone_number"})

#: The columns that the long and the wide layout give each row, whether it has an answer or not.
COLUMNS_OF_EACH_ROW = (_FLOW_CAMPAIGN_ID, _FLOW_NAME, _SUBSCRIBER_ID, _EXTRACTED_AT)

#: The largest number of cells in a table of the wide layout. With many questions it has fewer rows.
CELLS_OF_A_TABLE = 1_000_000

#: A question, by its id and text: either may be missing, and neither is unique.
Question = tuple[str | None, str | None]


@dataclass(frozen=True)
class Campaign:
    """
    The values that are the same in all rows of an export.

    :param flow_campaign_id: The campaign's id.
    :param flow_name: Its name.
    :param extracted_at: When its answers were requested.
    """

    flow_campaign_id: str
    flow_name: str | None
    extracted_at: str

    def columns(self) -> dict[str, Same]:
        """Return these columns by name."""
        return {
            _FLOW_CAMPAIGN_ID.name: Same(self.flow_campaign_id),
            _FLOW_NAME.name: Same(self.flow_name),
            _EXTRACTED_AT.name: Same(self.extracted_at),
        }


class LongLayout:
    """
    One row for each answer.

    :param subscriber_fields: The fields of the subscriber that are columns.
    :param has_changes: Whether there is a column with the kind of change since the export before.
    """

    def __init__(self, subscriber_fields: Sequence[str] = (), *, has_changes: bool = False) -> None:
        self._subscriber_fields = tuple(subscriber_fields)
        self.columns = [
            _FLOW_CAMPAIGN_ID,
            _FLOW_NAME,
            _SUBSCRIBER_ID,
            *map(_profile_column, subscriber_fields),
            _QUESTION_ID,
            _QUESTION,
            _ANSWER,
            _EXTRACTED_AT,
            *([_CHANGE] if has_changes else []),
        ]

    def table(
        self,
        campaign: Campaign,
        batch: Batch,
        profiles: Sequence[Sequence[str | None]] = (),
        changes: Sequence[str] = (),
    ) -> Table:
        """
        Return the rows of some subscribers.

        :param campaign: The values that are the same in all rows.
        :param batch: The subscribers with their answers.
        :param profiles: The values of each subscriber's fields.
        :param changes: The kind of change of each answer.
        """
        counts = [len(answers) for _, answers in batch]
        answers = [answer for _, answers in batch for answer in answers]
        of_subscribers = _subscriber_columns(batch, self._subscriber_fields, profiles)
        return Table(
            len(answers),
            {
                **campaign.columns(),
                **{
                    name: list(chain.from_iterable(map(repeat, values, counts)))
                    for name, values in of_subscribers.items()
                },
                _QUESTION_ID.name: [answer.question_id for answer in answers],
                _QUESTION.name: [answer.question for answer in answers],
                _ANSWER.name: [answer.answer for answer in answers],
                _CHANGE.name: changes,
            },
        )


class WideLayout:
    """
    One row for each subscriber, one column for each question.

    :param questions: Every question that has an answer, in the order in which they first occurred.
    :param order: The texts of the campaign's questions, in its order.
    :param subscriber_fields: The fields of the subscriber that are columns.
    """

    def __init__(
        self, questions: Sequence[Question], order: Sequence[str], subscriber_fields: Sequence[str] = ()
    ) -> None:
        self._subscriber_fields = tuple(subscriber_fields)
        before = [_FLOW_CAMPAIGN_ID, _FLOW_NAME, _SUBSCRIBER_ID, *map(_profile_column, subscriber_fields)]
        names = _question_names(questions, order, {column.name for column in (*before, _EXTRACTED_AT)})
        self._name_of = dict(names)
        # A question that nobody has answered has a column too, so that the file keeps its shape.
        described = {name: _description(question) for question, name in names}
        self.columns = [*before, *(Column(name, text) for name, text in described.items()), _EXTRACTED_AT]

    def cut(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """
        Yield batches that are small enough for one table, for :meth:`table`.

        :param batches: Some subscribers with their answers.
        """
        rows = max(1, CELLS_OF_A_TABLE // len(self.columns))
        for batch in batches:
            for at in range(0, len(batch), rows):
                yield batch[at : at + rows]

    def table(self, campaign: Campaign, batch: Batch, profiles: Sequence[Sequence[str | None]] = ()) -> Table:
        """
        Return the rows of some subscribers.

        :param campaign: The values that are the same in all rows.
        :param batch: The subscribers with their answers. The last of several answers to one question counts.
        :param profiles: The values of each subscriber's fields.
        """
        columns: dict[str, list[str | None]] = {name: [None] * len(batch) for name in self._name_of.values()}
        for row, (_, answers) in enumerate(batch):
            for answer in answers:
                columns[self._name_of[answer.question_id, answer.question]][row] = answer.answer
        of_subscribers = _subscriber_columns(batch, self._subscriber_fields, profiles)
        return Table(len(batch), {**campaign.columns(), **of_subscribers, **columns})


def _profile_column(name: str) -> Column:
    kind: Literal["id", "text"] = "id" if name in _NUMBERS_OF_SUBSCRIBERS else "text"
    return Column(name, f"The subscriber's {name}, as it was during the export", kind)


def _subscriber_columns(
    batch: Batch, fields: Sequence[str], profiles: Sequence[Sequence[str | None]]
) -> dict[str, Sequence[str | None]]:
    """Return the columns of subscribers, with one value for each subscriber."""
    values = zip(*profiles, strict=True) if profiles else repeat(())
    return {
        _SUBSCRIBER_ID.name: [subscriber_id for subscriber_id, _ in batch],
        **dict(zip(fields, values, strict=False)),
    }


def _question_names(
    questions: Sequence[Question], order: Sequence[str], taken: set[str]
) -> list[tuple[Question, str]]:
    """
    Return each question with the name of its column: its text, with its id if the text is not unique.

    The campaign's own questions come first, in its order, then those that only answers have: they were
    deleted or reworded since.
    """

    def text_of(question: Question) -> str:
        return " ".join((question[1] or "").split())

    def plain_name_of(question: Question) -> str:
        return text_of(question) or (f"question {question[0]}" if question[0] else "question")

    listed: list[Question] = [(None, text) for text in order]
    place = {text_of(question): at for at, question in reversed(list(enumerate(listed)))}
    answered = {text_of(question) for question in questions}
    unanswered = [question for question in listed if text_of(question) not in answered]
    everything = sorted(
        dict.fromkeys([*questions, *unanswered]), key=lambda each: place.get(text_of(each), len(order))
    )
    # Most databases ignore the case of column names.
    counts = Counter(plain_name_of(each).casefold() for each in everything)
    names: list[tuple[Question, str]] = []
    for question in everything:
        plain, question_id = plain_name_of(question), question[0]
        name = f"{plain} ({question_id})" if question_id and counts[plain.casefold()] > 1 else plain
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain} ({number})"
        taken.add(name.casefold())
        names.append((question, name))
    return names


def _description(question: Question) -> str:
    question_id, text = question
    which = f"question {question_id}" if question_id else "a question"
    return f"Answer to {which}: {text}" if text else f"Answer to {which} without a text"
