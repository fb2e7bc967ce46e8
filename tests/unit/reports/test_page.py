from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from airflow_provider_cytechbot.reports.figures import FigureCollector
from airflow_provider_cytechbot.reports.history import EarlierQuestion, EarlierReport
from airflow_provider_cytechbot.reports.page import Subject, render_page
from tests.html_reading import read_html

NOT_KNOWN = "The API does not return this number, so there is no response rate."
NOW = datetime(2026, 11, 27, 6, 30, tzinfo=UTC)
QUESTIONS = ["Which bike do you ride?", "What should we do better?"]
HOSTILE = [
    "<script>document.title = 'owned'</script>",
    "</style></title></table><img src=//example.com/x onerror=alert(1)>",
    "\"><svg onload=alert(1)>' autofocus onfocus=alert(1) x='",
    "<!-- ",
    "]]></bdi></th></tr>",
    "&lt;script&gt;&#x3c;script&#x3e;",
    "{{ 7 * 7 }}{% raw %}{# x #}",
    "\u202egnp.exe\u2066\u2069\u200f",
    "nul \x00\x01\x1b[2J\x9b",
    "javascript:alert(1)",
    "A" * 1_000_000,
    "Z" + "\u0301" * 1_000,
    "\ud83d\ude00 \ud83d",
    "\u200b\u2060",
    "@import url(//example.com/x); } body { display: none",
]


def collected(*answers_of_subscribers, questions=QUESTIONS):
    collector = FigureCollector(questions)
    for answers in answers_of_subscribers:
        collector.add(
            [
                {"question_id": str(at), "question": questions[at], "answer": text}
                for at, text in enumerate(answers)
            ]
        )
    return collector.figures()


def render(figures, earlier=None, *, max_answers=10, flow_name="Product feedback"):
    subject = Subject("7", flow_name, "cytechbot.com", NOW.isoformat())
    return render_page(subject, figures, earlier, max_answers=max_answers)


def read(figures, earlier=None, **options):
    return read_html(render(figures, earlier, **options))


def earlier_report(days, answered, completed, *questions):
    return EarlierReport(
        "cytechbot://cytechbot.com/flow_campaigns/7",
        str(days),
        NOW - timedelta(days=days),
        answered,
        completed,
        [EarlierQuestion(*each) for each in questions],
    )


def sections(root):
    """Return the text of each section by its heading."""
    return {each.all("h2", "h3")[0].text: each.text for each in root.all("section")}


FEW = collected(["City bike", "Nothing"], ["City bike", "More colours"], ["E-bike"])


class TestContent:
    def test_shows_how_many_answered_and_completed_and_that_the_rest_is_unknown(self):
        root = read(FEW)
        stats = [each.text for each in root.all("dl")[0].all("div")]
        assert stats == [
            "People who answered 3 at least one of the 2 questions",
            "People who completed 2 67% of the people who answered",
            f"People it was sent to not known {NOT_KNOWN}",
        ]
        assert root.all("h1")[0].text == "Product feedback"
        assert "Campaign 7 on cytechbot.com , answers until 27 November 2026, 06:30 UTC" in root.text

    def test_shows_the_funnel_and_its_largest_loss(self):
        rows = [each.text for each in read(FEW).all("table")[0].all("tbody")[0].all("tr")]
        assert rows == ["1 Which bike do you ride? 3 100%", "2 What should we do better? 2 67%"]
        loss = "The largest loss is after question 1: 1 fewer people (33% of 3) answered the next one."
        assert loss in sections(read(FEW))["Question by question"]

    def test_shows_no_loss_where_there_is_none(self):
        assert "largest loss" not in read(collected(["a", "b"])).text

    def test_lists_the_answers_with_their_counts(self):
        found = sections(read(FEW))["1 Which bike do you ride?"]
        assert found.endswith(
            "3 answers, 2 different. All answers Answer Count Share City bike 2 67% E-bike 1 33%"
        )

    def test_counts_the_answers_that_are_not_listed(self):
        figures = collected(*[["a"]] * 3, *[["b"]] * 2, ["c"], ["d"], ["d"])
        found = sections(read(figures, max_answers=1))["1 Which bike do you ride?"]
        assert "The most frequent answers" in found
        assert found.endswith("a 3 38% 3 other answers were given 5 times.")

    def test_answers_that_all_differ_are_not_called_frequent(self):
        found = sections(read(collected(["a"], ["b"], ["c"]), max_answers=2))["1 Which bike do you ride?"]
        assert "3 answers, each of them different. Some of the answers" in found
        assert found.endswith("1 other answer was given once.")

    def test_lists_no_answers_on_demand(self):
        root = read(FEW, max_answers=0)
        assert "City bike" not in root.text
        assert "This report lists none." in root.text
        assert root.all("a") == []

    def test_approximate_counts_are_marked(self):
        figures = collected(*[["Berlin"]] * 500, *([f"town {number}"] for number in range(4_000)))
        (question, _) = figures.questions
        found = sections(read(figures))["1 Which bike do you ride?"]
        assert f"each is at most {question.answers.max_missed} too low" in found
        assert "4,500 in all" in found
        count = question.answers.most_frequent(1)[0][1]
        assert f"Berlin at least ≥ {count}" in found

    def test_answers_that_nearly_all_differ_are_not_listed(self):
        figures = collected(*([f"order {number}"] for number in range(4_000)))
        assert "Nearly every answer is different" in sections(read(figures))["1 Which bike do you ride?"]

    def test_questions_that_the_campaign_no_longer_lists_are_marked(self):
        collector = FigureCollector(["New?"])
        collector.add([{"question_id": "1", "question": "Old?", "answer": "a"}])
        rows = [each.text for each in read(collector.figures()).all("table")[0].all("tr")]
        assert rows[1:] == ["1 New? 0 0%", "2 Old? no longer in the campaign 1 100%"]

    def test_questions_beyond_the_limit_are_counted(self):
        questions = [f"Question {number}" for number in range(105)]
        text = read(collected(["a"] * 105, questions=questions)).text
        assert "This page has the first 100 questions; 5 more are left out." in text
        assert "5 answers to other questions are not counted here." in text

    @pytest.mark.parametrize("earlier", [None, []], ids=["no history", "first report"])
    @pytest.mark.parametrize("questions", [QUESTIONS, []])
    def test_campaign_that_nobody_answered(self, earlier, questions):
        root = read(collected(questions=questions), earlier)
        assert "Nobody has answered yet" in sections(root)
        assert ("Question by question" in sections(root)) == bool(questions)
        assert not any(each.text.startswith("Answer ") for each in root.all("table"))

    @pytest.mark.parametrize("name", [None, "", "\u200b"])
    def test_campaign_without_a_name_goes_by_its_id(self, name):
        root = read(FEW, flow_name=name)
        assert root.all("h1")[0].text == "Flow campaign 7"
        assert root.all("title")[0].text.startswith("Flow campaign 7: ")


EARLIER = [
    earlier_report(14, 1, 0, ("0", "Which bike do you ride?", 1)),
    earlier_report(7, 2, 2, ("0", "Which bike do you ride?", 2), ("1", "What should we do better?", 2)),
]


class TestHistory:
    def test_shows_the_change_since_the_report_before(self):
        root = read(FEW, EARLIER)
        stats = [each.text for each in root.all("dl")[0].all("div")]
        assert stats[0].startswith("People who answered 3 +1 since the report of 20 November 2026")
        assert stats[1].startswith("People who completed 2 ±0 since")
        funnel = root.all("table")[1].all("tbody")[0].all("tr")
        assert [each.all("td")[0].text.split()[1] for each in funnel] == ["+1", "±0"]

    def test_fewer_than_before_have_a_minus(self):
        stats = read(FEW, [earlier_report(7, 1_500, 2)]).all("dl")[0].all("div")
        assert stats[0].text.startswith("People who answered 3 \N{MINUS SIGN}1,497 since")

    def test_draws_a_line_that_a_table_and_a_label_repeat(self):
        section = next(each for each in read(FEW, EARLIER).all("section") if "Over time" in each.text)
        (plot,) = [each for each in section.all("div") if each.attributes.get("role") == "img"]
        assert plot.attributes["aria-label"] == (
            "People who answered: 1 on 13 November 2026, 3 on 27 November 2026. "
            "People who completed: 0, then 2."
        )
        answered, completed = (each.attributes["points"].split() for each in plot.all("polyline"))
        assert answered == ["0.00,66.67", "50.00,33.33", "100.00,0.00"]
        assert completed == ["0.00,100.00", "50.00,33.33", "100.00,33.33"]
        rows = [each.text for each in section.all("tbody")[0].all("tr")]
        assert rows[0] == "27 November 2026, 06:30 UTC 3 2"
        assert len(rows) == 3

    def test_first_report_announces_the_changes_of_the_next(self):
        assert "This is the first report" in sections(read(FEW, []))["Over time"]
        assert "Over time" not in sections(read(FEW))

    def test_long_history_shows_its_last_reports(self):
        root = read(FEW, [earlier_report(days, 1, 1) for days in range(500, 0, -1)])
        (points,) = {len(each.attributes["points"].split()) for each in root.all("polyline")}
        assert points == 60


class TestHostileText:
    @pytest.fixture(params=["answer", "question", "name"])
    def page(self, request):
        if request.param == "answer":
            return render(collected(*([each, each] for each in HOSTILE)), max_answers=50)
        if request.param == "question":
            return render(collected(["a"] * len(HOSTILE), questions=HOSTILE))
        return render(FEW, flow_name="".join(each[:500] for each in HOSTILE))

    def test_is_never_markup(self, page):
        root = read_html(page)
        tags = {each.tag for each in root.all()}
        assert not tags & {"script", "img", "iframe", "object", "embed", "form", "base"}
        assert len(root.all("style")) == len(root.all("title")) == 1
        attributes = {name for each in root.all() for name in each.attributes}
        assert not {name for name in attributes if name.startswith("on")}
        assert {each.attributes["href"][:1] for each in root.all("a")} <= {"#"}
        assert {each.attributes["href"] for each in root.all("link")} == {"data:,"}

    def test_stands_isolated_in_its_direction(self, page):
        text = page.decode()
        for character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u200b\u2060":
            assert character not in text
        assert not {each for each in text if ord(each) < 32} - {"\n"}

    def test_is_shown_as_it_was_typed(self):
        shown = [
            each.text for each in read(collected(*([each] for each in HOSTILE)), max_answers=50).all("bdi")
        ]
        for text in HOSTILE[:7]:
            assert text.strip() in shown

    def test_long_answer_is_cut_with_a_count(self):
        text = read(collected(["A" * 1_000_000])).text
        assert "A" * 160 + " … and 999,840 more characters" in text
        assert "A" * 161 not in text

    def test_invisible_answer_is_named(self):
        assert "no visible characters" in read(collected(["\u200b\x00"])).text

    def test_page_stays_small(self, page):
        assert len(page) < 300_000


@pytest.mark.parametrize(
    "text", ["<" * 500, '"' * 500, "👩\u200d👩\u200d👧" * 100, "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 500]
)
def test_page_of_the_most_questions_and_answers_is_below_a_megabyte(text):
    questions = [f"{number} {text}" for number in range(100)]
    page = render(
        collected(*([f"{at} {text}"] * 100 for at in range(20)), questions=questions), max_answers=50
    )
    assert len(page) < 1_000_000


@pytest.mark.parametrize("number", [1, 10, 20])
def test_page_of_an_ordinary_campaign_is_below_300_kilobytes(number):
    questions = [f"Question {at}: what do you think of it, and why?" for at in range(number)]
    answers = [[f"An answer of ordinary length, number {at}"] * number for at in range(50)]
    history = [earlier_report(days, 1, 1) for days in range(500, 0, -1)]
    assert len(render(collected(*answers, questions=questions), history)) < 300_000


class TestMarkup:
    @pytest.fixture
    def root(self):
        return read(FEW, EARLIER)

    def test_loads_nothing_and_runs_nothing(self, root):
        (policy,) = [
            each.attributes["content"]
            for each in root.all("meta")
            if each.attributes.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
        assert not any("src" in each.attributes for each in root.all())
        assert "url(" not in root.all("style")[0].children[0]

    def test_headings_have_an_order(self, root):
        levels = [int(each.tag[1]) for each in root.all("h1", "h2", "h3", "h4")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))

    def test_tables_have_captions_and_their_headers_a_scope(self, root):
        for table in root.all("table"):
            assert table.all("caption")[0].text
            assert {each.attributes.get("scope") for each in table.all("th")} <= {"col", "row"}
            assert all(row.all("th") for row in table.all("tr"))

    def test_labels_and_links_lead_somewhere(self, root):
        ids = [each.attributes["id"] for each in root.all() if "id" in each.attributes]
        assert len(ids) == len(set(ids))
        targets = [each.attributes["aria-labelledby"] for each in root.all("section")]
        targets += [each.attributes["href"].removeprefix("#") for each in root.all("a")]
        assert set(targets) <= set(ids)

    def test_language_and_title_are_named(self, root):
        assert root.all("html")[0].attributes["lang"] == "en"
        assert root.all("title")[0].text == "Product feedback: answers until 27 November 2026"


@pytest.mark.parametrize(
    ("answered", "of", "share"),
    [
        (0, 7, "0%"),
        (1, 1_000, "<1%"),
        (999, 1_000, ">99%"),
        (7, 7, "100%"),
        (1, 3, "33%"),
        (1, 200, "<1%"),
        (1, 100, "1%"),
    ],
)
def test_shares_are_exact_at_both_ends(answered, of, share):
    figures = collected(*[["a", "b"]] * answered, *[["a"]] * (of - answered))
    rows = [each.text for each in read(figures).all("table")[0].all("tbody")[0].all("tr")]
    assert rows[1].split()[-1] == share


def test_estimates_have_two_digits():
    figures = collected(*([f"order {number}"] for number in range(30_000)))
    found = sections(read(figures))["1 Which bike do you ride?"]
    distinct = figures.questions[0].answers.distinct
    assert f"About {round(distinct, -3):,} different answers" in found
