"""Rows for the tests of file formats, and texts that formats trip over."""

from __future__ import annotations

from airflow_provider_cytechbot.exports.layouts import LongLayout
from airflow_provider_cytechbot.formats.table import Same, Table

COLUMNS = LongLayout().columns
NAMES = [column.name for column in COLUMNS]

ODD_ANSWERS = [
    "plain",
    "",
    "a,b;c\td",
    'She wrote "never", he wrote ""again""',
    '"',
    "two\nlines",
    "two\r\nlines",
    "only\rreturn",
    "\n",
    " spaces around ",
    '=HYPERLINK("http://example.com","thanks")',
    "+1",
    "-",
    "@home",
    "👍🏽 自転車 Größe",
    "\u2028\u2029\x85\x0b\x0c",  # ends of lines, to str.splitlines
    "null",
    "\\n \\",
    "\ufeff",
    "\x00\x1f",
    "None",
]


def row(**changes):
    return {
        "flow_campaign_id": "1",
        "flow_name": "Product feedback",
        "subscriber_id": "24994546734902201",
        "question_id": "45",
        "question": "Why?",
        "answer": "Because",
        "extracted_at": "2026-11-22T15:14:40+00:00",
    } | changes


def rows_of(answers):
    return [row(answer=answer, subscriber_id=str(10**16 + i)) for i, answer in enumerate(answers)]


def table(rows):
    """Return rows as a table in which a column of one value is a constant, as layouts make it."""
    columns = {name: [each[name] for each in rows] for name in NAMES}
    same = (
        {"flow_campaign_id", "flow_name", "extracted_at"}
        if len({each["flow_name"] for each in rows}) == 1
        else set()
    )
    return Table(
        len(rows), {name: Same(values[0]) if name in same else values for name, values in columns.items()}
    )
