from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAuthError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.exports import profiles as module
from airflow_provider_cytechbot.exports.profiles import CONCURRENCY, Profiles


class Hook:
    transport = SimpleNamespace(session=None)

    def __init__(self):
        self.warned = []
        self.log = SimpleNamespace(warning=lambda text, *values: self.warned.append(text % values))
        self.request = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def get_subscriber(self, subscriber_id):
        with self.lock:
            self.request.append(subscriber_id)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.01)
        with self.lock:
            self.at_once -= 1
        if subscriber_id == "nobody":
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


def test_fields_of_each_subscriber_in_order():
    found = Profiles(Hook(), ["locale", "email"]).of(batch("2", "1", "2"))
    assert found == [(None, "2@example.com"), (None, "1@example.com"), (None, "2@example.com")]


def test_unknown_subscribers_have_none():
    hook = Hook()
    assert Profiles(hook, ["locale", "email"]).of(batch("nobody", "refused")) == [(None, None)] * 2
    assert len(hook.warned) == 1


def test_a_wrong_key_is_no_unknown_subscriber():
    with pytest.raises(CyTechBotAuthError):
        Profiles(Hook(), ["email"]).of(batch("key"))


def test_nobody_is_asked_for_twice_nor_too_many_at_once():
    hook = Hook()
    profiles = Profiles(hook, ["email"])
    ids = [str(each) for each in range(40)]
    profiles.of(batch(*ids, *ids))
    profiles.of(batch(*ids))
    assert sorted(hook.request, key=int) == ids
    assert 1 < hook.most_at_once <= CONCURRENCY


def test_without_fields_nobody_is_asked_for():
    hook = Hook()
    assert Profiles(hook, []).of(batch("1")) == []
    assert hook.request == []


def test_an_error_ends_it_and_not_all_are_asked_for():
    hook = Hook()
    with pytest.raises(CyTechBotTransportError):
        Profiles(hook, ["email"]).of(batch("down", *map(str, range(200))))
    assert len(hook.request) < 100


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 3)
    profiles = Profiles(Hook(), ["email"])
    assert len(profiles.of(batch(*map(str, range(9))))) == 9
    assert len(profiles._known) == 3
