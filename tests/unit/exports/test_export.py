from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.api.flow_answer_batches import Answer
from airflow_provider_cytechbot.exports.export import Progress


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def lines():
    return []


@pytest.fixture
def stream():
    return SimpleNamespace(flow_campaign_id="7", bytes_read=0)


@pytest.fixture
def progress(clock, lines, stream):
    return Progress(stream, lambda text, *values: lines.append(text % values))


def test_progress_is_logged_every_five_seconds(progress, clock, lines, stream):
    progress.add(subscribers=1, rows=5)
    clock.now += 4.9
    progress.add(subscribers=1, rows=5)
    assert lines == []
    clock.now += 0.1
    stream.bytes_read = 25_000_000
    progress.add(subscribers=2, rows=10)
    progress.add(subscribers=1, rows=5)
    assert lines == [
        "Exporting flow campaign 7: 4 subscribers, 20 rows, 25.0 MB read in 5.0 s (5.0 MB/s)",
    ]
    clock.now += 5
    progress.add(subscribers=1, rows=5)
    assert len(lines) == 2


def test_final_counts_are_logged(progress, clock, lines, stream):
    stream.bytes_read = 1_500_000
    progress.add(subscribers=3, rows=12)
    clock.now += 1
    progress.finish()
    assert lines == ["Exported flow campaign 7: 3 subscribers, 12 rows, 1.5 MB read in 1.0 s (1.5 MB/s)"]


def test_a_short_export_logs_no_speed(progress, lines):
    progress.finish()
    assert lines == ["Exported flow campaign 7: 0 subscribers, 0 rows"]


def answer(text):
    return Answer(question_id="45", question="Why?", answer=text)


def test_subscribers_and_answers_of_batches_are_counted(progress):
    batch = [("1", [answer("so"), answer(None)]), ("2", [])]
    assert list(progress.count([batch, batch])) == [batch, batch]
    assert (progress.subscribers, progress.answers, progress.rows) == (4, 4, 0)


@pytest.mark.parametrize(
    ("texts", "expected"), [([], False), ([None, ""], False), ([None, "0"], True), (["so", None], True)]
)
def test_only_answers_with_a_text_are_answers(progress, texts, expected):
    for _ in progress.count([[("1", [answer(each)])] for each in texts]):
        pass
    assert progress.has_answers is expected
