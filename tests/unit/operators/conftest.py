"""Fixtures of the operators' unit tests: a hook with scripted answers, and the context of a try."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.api.records import WriteOutcome
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators import task_memory
from airflow_provider_cytechbot.operators.base import CyTechBotBaseOperator
from tests.task_instance import task_instance


class ScriptedHook(CyTechBotHook):
    """Checks each call like the real hook, records it, and returns the test's answer."""

    settings = SimpleNamespace(base_url="https://cytechbot.com/api")

    def __init__(self):
        super().__init__("cytechbot_default")
        self.calls = []
        #: By endpoint: an answer or an error, or a tuple of them, of which the last stays.
        self.answers = {}

    def call(self, endpoint, **fields):
        try:
            call = build(endpoint, **fields)
        except CyTechBotError as error:
            failure = error
        else:
            self.calls.append((endpoint.name, call.fields))
            answer = self.answers.get(endpoint.name, WriteOutcome(changed=True, message=None))
            if type(answer) is tuple:
                self.answers[endpoint.name] = answer[1:] if len(answer) > 1 else answer
                answer = answer[0]
            if callable(answer):
                answer = answer(call.fields)
            if not isinstance(answer, BaseException):
                return answer
            if not isinstance(answer, CyTechBotError):
                raise answer
            answer.request = call.request
            failure = answer
        raise self.task_error(failure)

    def count(self, endpoint):
        return sum(name == endpoint for name, _ in self.calls)


class StateStore:
    """Like Airflow's: a value that was set is there in the next try."""

    def __init__(self):
        self.entries = {}
        self.failing = ()

    def _check(self, verb):
        if verb in self.failing:
            raise RuntimeError("the API server is gone")

    def get(self, key, default=None):
        self._check("get")
        return self.entries.get(key, default)

    def set(self, key, value, *, retention=None):
        self._check("set")
        assert value is not None
        self.entries[key] = value

    def delete(self, key):
        self._check("delete")
        self.entries.pop(key, None)


class Tries:
    """The tries of one task: `context()` returns the first one's, `retry()` and `clear()` start another."""

    def __init__(self, retries, store):
        self.retries = retries
        self.store = store
        self.xcoms = {}
        self.ti = task_instance(self.xcoms, retries=retries)

    def context(self):
        return {"ti": self.ti} | ({"task_state_store": self.store} if self.store else {})

    def retry(self):
        self.ti.try_number += 1
        return self.context()

    def clear(self):
        self.ti.max_tries = (
            self.ti.try_number + self.retries
        )  # airflow.models.taskinstance.clear_task_instances
        self.ti.try_number += 1
        return self.context()


@pytest.fixture(autouse=True)
def log(monkeypatch):
    """Send the operators' log to pytest, as before Airflow 3."""
    logger = logging.getLogger("operator")
    logger.setLevel(logging.INFO)
    monkeypatch.setattr(CyTechBotBaseOperator, "log", logger, raising=False)


@pytest.fixture(autouse=True)
def no_settle_time(monkeypatch):
    """Let no other run write an entry, so that none has to be waited for."""
    monkeypatch.setattr(task_memory, "time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def hook():
    return ScriptedHook()


@pytest.fixture
def tries():
    """The tries of a task on Airflow 3.3."""
    return Tries(2, StateStore())


@pytest.fixture
def tries_without_store():
    """The tries of a task before Airflow 3.3."""
    return Tries(2, None)


@pytest.fixture
def run(hook, tries):
    """Execute an operator with the scripted hook, by default in the first try."""

    def run(operator, context=None):
        operator.__dict__["hook"] = hook
        return operator.execute(context or tries.context())

    return run


@pytest.fixture
def lost():
    """Make the error of a create whose answer was lost."""
    return lambda: CyTechBotAmbiguousWriteError("the answer was lost.")


@pytest.fixture
def not_sent():
    """Make the error of a server that was not reached."""
    return lambda: CyTechBotTransportError("no connection could be made.", was_sent=False)
