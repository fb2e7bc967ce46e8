"""What the transport's unit tests share."""

from __future__ import annotations

import threading
import time

import pytest


@pytest.fixture
def waits(monkeypatch):
    """Return the seconds of each wait of the test's own thread, without waiting."""
    seconds = []
    sleep, own_thread = time.sleep, threading.current_thread()

    def fake(wait):
        if threading.current_thread() is not own_thread:
            sleep(wait)
        elif wait:
            seconds.append(wait)

    monkeypatch.setattr("time.sleep", fake)
    return seconds
