"""Pages of reports for the browser: an ordinary campaign with a history, and one with hostile answers."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from airflow_provider_cytechbot.reports.figures import FigureCollector, Figures
from airflow_provider_cytechbot.reports.history import EarlierReport, as_earlier_report
from airflow_provider_cytechbot.reports.page import Subject, render_page

NOW = datetime(2026, 11, 27, 6, 0, tzinfo=UTC)
CAMPAIGN = "cytechbot://cytechbot.com/flow_campaigns/1"
QUESTIONS = {
    "Which bike do you ride?": (
        "City bike",
        "Touring bike",
        "E-bike",
        "Cargo bike",
        "Folding bike",
        "None so far",
    ),
    "How often do you ride to work?": (
        "Every day",
        "Two or three times a week",
        "Only in summer",
        "Never",
    ),
    "What should we do better?": (
        "Longer opening hours",
        "Nothing, all good!",
        "More colours",
        "Delivery was late.\nThe bike is great!",
        "Open on Sundays, please",
        "No, <b>all good</b> & thanks",
    ),
    "Would you recommend us to a friend?": ("Yes", "Maybe", "No"),
    "Which city do you live in?": ("Berlin", "Lyon", "São Paulo", "Wien", "Gdańsk", "Kraków"),
}
#: Each would set the title to "owned", load something, or break the layout.
HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "</style></title></table><img src='https://example.com/x.png' onerror=\"document.title = 'owned'\">",
    '"><svg onload="document.title = \'owned\'">',
    "<iframe src=https://example.com></iframe><link rel=stylesheet href=https://example.com/x.css>",
    "<meta http-equiv=refresh content='0;url=https://example.com'>",
    "@import url(https://example.com/x.css); } body { display: none } {",
    "\u202egnp.exe \u2066turned\u2069",
    "nul \x00 \x1b[2J",
    "A" * 1_000_000,
    "W" * 159,
    "Z" + "\u0301" * 1_000 + "algo",
    "مرحبا بالعالم، هذا جواب",
    "\u200b\u2060",
    "{{ 7 * 7 }}",
)


def _ordinary_figures(subscribers: int) -> Figures:
    generator = random.Random(1)
    collector = FigureCollector(QUESTIONS)
    for _ in range(subscribers):
        answers = []
        for number, (question, texts) in enumerate(QUESTIONS.items()):
            if generator.random() < (0.24 if number == 2 else 0.1):
                break
            text = texts[min(int(generator.expovariate(0.7)), len(texts) - 1)]
            if number == 2 and generator.random() < 0.4:
                text = f"A bell that rings louder ({generator.randrange(300)})"
            answers.append({"question_id": str(45 + number), "question": question, "answer": text})
        collector.add(answers)
    return collector.figures()


def ordinary_page() -> bytes:
    """Return the page of an ordinary campaign after twelve weeks."""
    earlier: list[EarlierReport] = []
    for weeks in range(11, 0, -1):
        figures = _ordinary_figures(int(1_500 * (1 - weeks**2 / 160)))
        time = NOW - timedelta(weeks=weeks)
        earlier.append(as_earlier_report(figures, CAMPAIGN, str(weeks), time.isoformat()))
    subject = Subject("1", "Product feedback", "cytechbot.com", NOW.isoformat())
    return render_page(subject, _ordinary_figures(1_500), earlier, max_answers=8)


def hostile_page() -> bytes:
    """Return a page whose every text is hostile."""
    questions = [*HOSTILE[:3], "W" * 3_000]
    collector = FigureCollector(questions)
    for text in HOSTILE:
        collector.add(
            [{"question_id": str(at), "question": each, "answer": text} for at, each in enumerate(questions)]
        )
    for number in range(3_000):
        collector.add(
            [{"question_id": "9", "question": "\u202eOld", "answer": f"{HOSTILE[number % 3]} {number}"}]
        )
    subject = Subject("1", "".join(HOSTILE[:3]), "cytechbot.com", NOW.isoformat())
    return render_page(subject, collector.figures(), [], max_answers=20)


def empty_page() -> bytes:
    """Return the page of a campaign that nobody has answered."""
    subject = Subject("2", "Spring ride: sign up", "cytechbot.com", NOW.isoformat())
    return render_page(subject, FigureCollector(["Will you join?"]).figures(), None, max_answers=10)


PAGES = {"ordinary": ordinary_page, "hostile": hostile_page, "empty": empty_page}
