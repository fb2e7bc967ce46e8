from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.exports.progress import Progress


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


def test_tells_every_five_seconds(progress, clock, lines, stream):
    progress.add(1, 5)
    clock.now += 4.9
    progress.add(1, 5)
    assert lines == []
    clock.now += 0.1
    stream.bytes_read = 25_000_000
    progress.add(2, 10)
    progress.add(1, 5)
    assert lines == [
        "Exporting flow campaign 7: 4 subscribers, 20 rows, 25.0 MB read in 5.0 s (5.0 MB/s)",
    ]
    clock.now += 5
    progress.add(1, 5)
    assert len(lines) == 2


def test_tells_the_sum_at_the_end(progress, clock, lines, stream):
    stream.bytes_read = 1_500_000
    progress.add(3, 12)
    clock.now += 1
    progress.finish()
    assert lines == ["Exported flow campaign 7: 3 subscribers, 12 rows, 1.5 MB read in 1.0 s (1.5 MB/s)"]


def test_needs_no_time_at_all(progress, lines):
    progress.finish()
    assert lines == ["Exported flow campaign 7: 0 subscribers, 0 rows, 0.0 MB read in 0.0 s (0.0 MB/s)"]
