"""A generated flow campaign with any number of subscribers, written in pieces to need no memory."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.sandbox.php_json import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE_CAMPAIGN_ID = "100"
MAX_SUBSCRIBERS = 1_000_000

# A subscriber's id is a block's number and three digits: seventeen digits, which a float cannot hold. The
# texts of two blocks differ in that number only, so a block is written by one join of prepared pieces.
_BLOCK = 1000
_FIRST_BLOCK = 24_994_546_734_000
_MARK = "@@"

_QUESTIONS = {
    "451": "What do you like to do?",
    "452": "Which of our products do you use, and what for?",
    "453": "What is your order number?",
    "454": "Anything else you would like to tell us?",
    "455": "Which country do you live in?",
}
_HOBBIES = ("Reading, Traveling, Watching Movies", "Cycling", "Cooking \U0001f35c", 'Playing "Go"', "Fußball")
_PRODUCTS = (
    "The city bike, for my way to work and the shopping on Saturdays",
    "None so far",
    "Helmet/lights/lock",
    "",
    "Le vélo cargo, pour les enfants",
    "自転車 (the folding one)",
    "The touring bike: two weeks along the Danube last summer, not one flat tyre",
)
_REMARKS = (
    "No",
    "Delivery was late.\nThe bike is great!",
    '=HYPERLINK("http://example.com","thanks")',
    "",
    "Call me after 6 p.m., please",
    "\U0001f44d\U0001f3fd",
    "+1",
    'She said "never again", he said "again"',
    "a\\b\tc",
    "Great service, will come back and bring my friends along",
    "-",
)
_COUNTRIES = ("France", "Germany", "Côte d'Ivoire", "日本", "Brazil", "Tonga")


def _answer_texts(index: int, block: str) -> tuple[str, ...]:
    # The lengths of these lists have no common divisor, so that combinations of answers do not repeat soon.
    return (
        _HOBBIES[index % len(_HOBBIES)],
        _PRODUCTS[index % len(_PRODUCTS)],
        f"CT-{block}-{index:03d}",
        _REMARKS[index % len(_REMARKS)],
        _COUNTRIES[index % len(_COUNTRIES)],
    )


class LargeCampaign:
    """
    A campaign in which every subscriber answered all of five questions.

    :param subscribers: the number of subscribers, 1 to 1,000,000
    :raises ValueError: for any other number
    """

    def __init__(self, subscribers: int) -> None:
        if not 1 <= subscribers <= MAX_SUBSCRIBERS:
            raise ValueError(f"subscribers: must be 1 to {MAX_SUBSCRIBERS:,}, not {subscribers}")
        self.id = LARGE_CAMPAIGN_ID
        self.flow_name = "Large campaign"
        self.subscribers = subscribers
        self.questions = dict(_QUESTIONS)

    def subscriber_id(self, index: int) -> str:
        """Return the id of the subscriber at an index."""
        block, rest = divmod(index, _BLOCK)
        return f"{_FIRST_BLOCK + block}{rest:03d}"

    def answers_of(self, subscriber_id: str) -> dict[str, str] | None:
        """Return a subscriber's answers by question id, None for an id outside this campaign."""
        if len(subscriber_id) != 17 or not subscriber_id.isdecimal():
            return None
        number = int(subscriber_id) - _FIRST_BLOCK * _BLOCK
        if not 0 <= number < self.subscribers:
            return None
        texts = _answer_texts(number % _BLOCK, subscriber_id[:-3])
        return dict(zip(_QUESTIONS, texts, strict=True))

    def chunks(self, question_id_field: str) -> Iterator[bytes]:
        """
        Write the campaign's whole answer to `get_all_subscriber_flow_info`, a piece at a time.

        :param question_id_field: the name of the field with a question's id
        """
        head, tail = self._frame()
        yield head
        pieces = _block_pieces(question_id_field, _BLOCK)
        full, rest = divmod(self.subscribers, _BLOCK)
        for block in range(full):
            if block:
                yield b","
            yield str(_FIRST_BLOCK + block).encode().join(pieces)
        if rest:
            if full:
                yield b","
            yield str(_FIRST_BLOCK + full).encode().join(_block_pieces(question_id_field, rest))
        yield tail

    def length(self, question_id_field: str) -> int:
        """Return the number of bytes that `chunks` yields."""
        head, tail = self._frame()
        full, rest = divmod(self.subscribers, _BLOCK)
        blocks = full * _block_length(question_id_field, _BLOCK)
        commas = full - 1
        if rest:
            blocks += _block_length(question_id_field, rest)
            commas += 1
        return len(head) + blocks + commas + len(tail)

    def _frame(self) -> tuple[bytes, bytes]:
        return encode({"id": self.id, "flow_name": self.flow_name, "data": {}})[:-2], b"}}"


@cache
def _block_pieces(question_id_field: str, size: int) -> tuple[bytes, ...]:
    data = {
        f"{_MARK}{index:03d}": [
            {question_id_field: question_id, "question": question, "answer": answer}
            for (question_id, question), answer in zip(
                _QUESTIONS.items(), _answer_texts(index, _MARK), strict=True
            )
        ]
        for index in range(size)
    }
    return tuple(encode(data)[1:-1].split(_MARK.encode()))


def _block_length(question_id_field: str, size: int) -> int:
    pieces = _block_pieces(question_id_field, size)
    return sum(map(len, pieces)) + (len(pieces) - 1) * len(str(_FIRST_BLOCK))
