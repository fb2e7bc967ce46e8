"""What the transport's unit tests share."""

from __future__ import annotations

import pytest


@pytest.fixture
def waits(monkeypatch):
    """Return the seconds of each wait, without waiting."""
    seconds = []
    monkeypatch.setattr("time.sleep", lambda wait: seconds.append(wait) if wait else None)
    return seconds
