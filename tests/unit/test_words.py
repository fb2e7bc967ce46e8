"""Names and sentences keep to the words of HTTP, Airflow and object storage, and to plain English."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.source_files import ROOT

#: Folders and files with words of this project. The vendor's page and lists of packages have their own.
WORDED = (
    "airflow_provider_cytechbot",
    "benchmarks",
    "docs",
    "example_dags",
    "scripts",
    "tests",
    ".ci",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "hatch_build.py",
    "pyproject.toml",
)
SUFFIXES = {"", ".j2", ".json", ".md", ".py", ".rst", ".toml", ".yaml"}
#: Folders that tools make.
BUILT = {"_build", "__pycache__"}
#: Itself, which has all the words.
THIS = Path(__file__).resolve()


def word(*forms: str) -> str:
    """Return a pattern for words, also within a name such as `tell_all`, in lower case or capitalised."""
    first = "|".join(f"[{form[0].upper()}{form[0]}]{form[1:]}" for form in forms)
    return rf"(?<![A-Za-z])(?:{first})(?![A-Za-z])"


#: By pattern: what to write instead.
PATTERNS = {
    # Names
    word(
        "pace", "census", "tally", "sighting", "sightings", "rhythm"
    ): "RateLimiter, PollResult, PollSchedule",
    r"\bAnsweredHook\b|\bEarlier\b|\bclass (?:Place|Reading|Reader|Wait|Watch)\b": "StorageLocation, Decoder",
    r"\b_settled\b|\bis_lasting\b|\bworth_repeating\b|\bwas_turned_away\b|\bfind_out\b": "is_transient",
    r"\bPIECES\b|\bplaces_of\b|\bNEVER\b|\bwho=|\bafter_lost_answer\b|\badvice\b": "COMPONENTS, find_text",
    # A program is not a person
    word("tell", "tells", "telling", "told"): "log, report, list, distinguish",
    word("ask", "asks", "asking", "asked"): "send, request, call",
    word("know", "knows", "knew", "knowing", "knowingly"): "has, supports, finds, detects",
    word("say", "says", "saying", "said"): "names, explains, states, reports",
    word("bear", "bears", "bearing"): "has",
    # People without a noun
    word("whoever", "whom"): "the user, the subscriber, the caller",
    r"\b(?:all|anybody|everybody|he|nobody|one|ones|somebody|those|two) who\b": "the noun",
    r"(?:^|[.;:] |\"\"\"|# )Who (?![^.\n]*\?)": "the noun",
    # Order and idioms
    r"(?:^|[.;:] |\"\"\"|# )Of (?!course)[a-z][^.]{0,80}?,": "the subject first",
    r"\b(?:[sS]o|as) many\b": "at most this many, the number of",
    r"\b(?:that|which|it) (?:is|are|was) no (?!longer|more|other)[a-z]": "is not a",
    r"\b(?:anew|by then|in the end|put right|by now)\b": "again, already, at the end, fix",
}
#: What such a pattern finds though it is fine: methods of files, code of the standard library, data.
FINE = re.compile(
    r"\.tell\(\)|def tell\(self\)"
    r"|like to tell us\?|we should know\?|she said \"|he said \"|Facebook said: ",
    re.IGNORECASE,
)


def texts() -> dict[Path, str]:
    """Return the texts of this project by their path."""
    found = [path for name in WORDED for path in (ROOT / name, *(ROOT / name).rglob("*"))]
    return {
        path.relative_to(ROOT): path.read_text()
        for path in found
        if path.is_file() and path.suffix in SUFFIXES and not BUILT.intersection(path.parts) and path != THIS
    }


def prose(text: str) -> str:
    """Return a text without indents and the marks of comments: a sentence may go on in the next line."""
    return re.sub(r"^[ \t]*(?:#:? )?", "", FINE.sub("~", text), flags=re.MULTILINE)


def places(pattern: str, text: str) -> list[str]:
    """Return the lines of a prose in which a pattern begins, each with its number."""
    starts = [match.start() for match in re.finditer(pattern, text, re.MULTILINE)]
    lines = text.splitlines()
    numbers = sorted({text.count("\n", 0, start) for start in starts})
    return [f"{number + 1}: {lines[number]}" for number in numbers]


PROSE = {path: prose(text) for path, text in texts().items()}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_texts_use_plain_words(pattern):
    found = [f"{path}:{place}" for path, text in PROSE.items() for place in places(pattern, text)]
    assert not found, f"{len(found)} places; better: {PATTERNS[pattern]}\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "def tell(): ...",
        "_tell_all()",
        "# The task is told to stop.",
        "The storage was asked for it.",
        "Whoever clears the task",
        "There are two who want it.",
        "Who asks seldom waits.",
        '"""Of two labels with one name, the older."""',
        "# It is there. Of the files\n# that are left, one counts.",
        "Up to so many subscribers",
        "a sequence that is no list",
        "class Census:",
        "        the page\n        by then",
    ],
)
def test_the_old_words_are_found(text):
    assert any(places(pattern, prose(text)) for pattern in PATTERNS)


@pytest.mark.parametrize(
    "text",
    [
        "unknown ids, known users",
        "file.tell()",
        "Subscribers who have answered",
        "basket, task, soothsayer",
        "What is it? Who has it?",
        "a run that is no longer there",
        "a page of labels, of which the first counts",
    ],
)
def test_plain_words_are_not_found(text):
    assert not any(places(pattern, prose(text)) for pattern in PATTERNS)


def test_all_parts_of_the_repository_are_read():
    assert {path.parts[0] for path in PROSE} == set(WORDED)
