"""The code speaks the words of HTTP, Airflow and object storage: the words of its early dialect stay away."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.source_files import PACKAGE, ROOT, python_files

#: Names by which nothing is called, beside a better word. A leading underscore makes no difference.
NAMES = {
    "Pace pace_of": "RateLimiter, rate_limiter_for",
    "ask asked asks after_lost_answer": "send, request, is_resend",
    "said advice find_out": "reason, hint, how_to_check",
    "worth_repeating was_turned_away shown": "is_transient, was_rejected, loggable_fields",
    "told tells": "log, report, translate",
    "Place places_of": "StorageLocation, find_text",
    "Reading": "ReadContext, Decoder",
    "Wait Watch Census Tally Sighting Sightings Rhythm": "Waiter, PollResult, ProgressCounts, PollSchedule",
    "AnsweredHook": "CyTechBotBaseHook",
    "Earlier is_lasting undo": "PreviousTry, is_persistent, restore",
    "PIECES NEVER who whoever": "COMPONENTS, NO_TIMEOUT, process",
}
#: What comments, docstrings and messages do without.
PHRASES = (
    r"whoever",
    r"\bwho (asks?|wants?|clears|reads|waits)\b",
    r"\b(is|was|are|were|been|be) (told|asked)\b",
    r"\b(tells|told)\b",
    r"\b(so|as) many\b(?! as)",
    r"\bin the end\b",
    r"\bby then\b",
    r"\banew\b",
    r"\bput right\b",
    r"\bthat is no [a-z]+\b",
)
SOURCES = python_files(PACKAGE, "scripts", "benchmarks")

_NAMES = {name: better for names, better in NAMES.items() for name in names.split()}
_PHRASE = re.compile("|".join(PHRASES))


def old_words(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each word that has a plainer one."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            if (better := _NAMES.get(token.string.strip("_"))) is not None:
                yield token.start[0], f"{token.string}: better {better}"
        elif token.type in (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)):
            for match in _PHRASE.finditer(token.string):
                line = token.start[0] + token.string.count("\n", 0, match.start())
                yield line, match.group()


def test_code_has_plain_words():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in SOURCES
        for line, text in old_words(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("class Census: pass", ["Census"]),
        ("def _ask(): pass", ["_ask"]),
        ("error.said", ["said"]),
        ('"""One.\n\nWhoever asks; the hook is told.\n"""', ["is told"]),
        ("limit = 3  # at most so many", ["so many"]),
        ('f"{count} that is no list"', ["that is no list"]),
        ("task = request  # sends as many as it can", []),
    ],
)
def test_finds_old_words(source, found):
    assert [text.partition(":")[0] for _, text in old_words(source)] == found
