from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_cytechbot.bulk import progress
from airflow_provider_cytechbot.bulk.progress import Progress, _duration


def test_a_line_has_rows_rate_outcomes_and_time_left(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    caplog.set_level("INFO")
    found = Progress(Counter(invalid=10), 2_010)
    now[0] = 10.0
    found.log()
    assert "10 of 2,010 rows, 0.0 a second: 10 invalid; no row was answered yet." in caplog.text
    found.add("succeeded", 900)
    found.add("refused", 100)
    found.log()
    expected = "1,010 of 2,010 rows, 100.0 a second: 900 succeeded, 100 refused, 10 invalid; about 10 s left."
    assert expected in caplog.text
    found.add("succeeded", 1_000)
    found.log()
    assert "2,010 of 2,010 rows, 200.0 a second: 1,900 succeeded, 100 refused, 10 invalid.\n" in caplog.text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3_725, "1 h 2 min")]
)
def test_durations(seconds, text):
    assert _duration(seconds) == text
