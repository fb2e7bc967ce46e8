from __future__ import annotations

import signal
import threading
import time
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAuthError,
    CyTechBotFieldError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotResponseError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.exports import profiles as module
from airflow_provider_cytechbot.exports.profiles import CONCURRENCY, Profiles


class Hook:
    transport = SimpleNamespace(session=None)

    def __init__(self):
        self.requested = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def get_subscriber(self, subscriber_id):
        with self.lock:
            self.requested.append(subscriber_id)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.01)
        with self.lock:
            self.at_once -= 1
        if subscriber_id == "not an id":
            raise CyTechBotFieldError("must be an id")
        if subscriber_id == "page":
            raise CyTechBotResponseError("a page of the web server")
        if subscriber_id == "unknown":
            raise CyTechBotNotFoundError("there is none")
        if subscriber_id == "refused":
            raise CyTechBotRequestError("the API refused, in words of its own")
        if subscriber_id == "key":
            raise CyTechBotAuthError("wrong key")
        if subscriber_id == "down":
            raise CyTechBotTransportError("no answer")
        return {"email": f"{subscriber_id}@example.com", "locale": None}


def batch(*subscriber_ids):
    return [(each, []) for each in subscriber_ids]


def test_returns_the_fields_of_each_subscriber_in_order():
    found = Profiles(Hook(), ["locale", "email"]).fetch(batch("2", "1", "2"))
    assert found == [(None, "2@example.com"), (None, "1@example.com"), (None, "2@example.com")]


def test_fields_of_unknown_subscribers_are_null_and_they_are_counted_once():
    profiles = Profiles(Hook(), ["locale", "email"])
    assert profiles.fetch(batch("unknown", "not an id", "unknown")) == [(None, None)] * 3
    profiles.fetch(batch("unknown"))
    assert profiles.unknown_subscribers == 2
    profiles.start_export()
    assert profiles.unknown_subscribers == 0
    profiles.fetch(batch("unknown", "1"))  # from the cache
    assert profiles.unknown_subscribers == 1


@pytest.mark.parametrize(
    ("subscriber_id", "error"),
    [
        ("refused", CyTechBotRequestError),
        ("key", CyTechBotAuthError),
        ("down", CyTechBotTransportError),
        ("page", CyTechBotResponseError),
    ],
)
def test_other_errors_are_not_read_as_an_unknown_subscriber(subscriber_id, error):
    with pytest.raises(error):
        Profiles(Hook(), ["email"]).fetch(batch("1", subscriber_id))


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, TimeoutError])
def test_an_interruption_does_not_wait_for_a_server_that_hangs(interruption):
    is_over = threading.Event()
    hook = Hook()
    hook.get_subscriber = lambda _: is_over.wait(60)

    def interrupt(*_):
        raise interruption("stop")

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        # Python ignores an exception in a callback of the garbage collector: a second signal follows.
        signal.setitimer(signal.ITIMER_REAL, 0.2, 2)
        started = time.monotonic()
        with pytest.raises(interruption, match="stop"):
            Profiles(hook, ["email"]).fetch(batch(*map(str, range(50))))
        assert time.monotonic() - started < 5
        assert all(each.daemon for each in threading.enumerate() if each.name.startswith("profiles"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        is_over.set()


def test_each_subscriber_is_fetched_once_and_few_at_a_time():
    hook = Hook()
    profiles = Profiles(hook, ["email"])
    ids = [str(each) for each in range(40)]
    profiles.fetch(batch(*ids, *ids))
    profiles.fetch(batch(*ids))
    assert sorted(hook.requested, key=int) == ids
    assert 1 < hook.most_at_once <= CONCURRENCY


def test_fetches_nothing_without_fields():
    hook = Hook()
    assert Profiles(hook, []).fetch(batch("1")) == []
    assert hook.requested == []


def test_an_error_stops_the_fetching():
    hook = Hook()
    with pytest.raises(CyTechBotTransportError):
        Profiles(hook, ["email"]).fetch(batch("down", *map(str, range(200))))
    assert len(hook.requested) < 100


def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "CACHE_SIZE", 3)
    profiles = Profiles(Hook(), ["email"])
    assert len(profiles.fetch(batch(*map(str, range(9))))) == 9
    assert len(profiles._cache) == 3
