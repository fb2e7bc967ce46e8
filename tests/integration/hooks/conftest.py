"""What the hook's integration tests share: a fault server of their own, and a hunt for the key."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path

import pytest

import airflow_provider_cytechbot
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.transport import retry

from . import answers as kinds_of_answers
from .fault_server import FaultServer
from .key_forms import KEY, find_key

PACKAGE = str(Path(airflow_provider_cytechbot.__file__).parent)


@pytest.fixture(scope="session")
def answers():
    """What a fault server can do."""
    return kinds_of_answers


@pytest.fixture
def fault_server():
    server = FaultServer()
    yield server
    server.stop()


@pytest.fixture
def start_server():
    """Start further servers, with TLS for instance."""
    servers = []

    def start(tls=None):
        servers.append(FaultServer(tls))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def key():
    return KEY


@pytest.fixture
def connect(monkeypatch):
    """Define a connection and return a hook for it."""

    def connect(host, password=KEY, **extra):
        extra = {"timeout": 5, "max_retries": 2, **extra}
        connection = {"conn_type": "cytechbot", "host": host, "password": password, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
        return CyTechBotHook()

    return connect


@pytest.fixture
def sandbox(cytechbot_sandbox):
    return cytechbot_sandbox


@pytest.fixture
def hook(sandbox, connect):
    """A hook whose connection leads to the sandbox."""
    return connect(sandbox.base_url, sandbox.api_key)


@pytest.fixture(autouse=True)
def hardly_any_waiting(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)


def chain(error: BaseException) -> list[BaseException]:
    found, waiting = [], [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__]
    return found


def locals_of_the_package(error: BaseException) -> list[str]:
    """Show what an error tracker would show: the variables of each of the provider's frames."""
    return [
        f"{frame.f_code.co_name}: {name} = {value!r}"
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename.startswith(PACKAGE)
        for name, value in frame.f_locals.items()
    ]


@pytest.fixture
def holds_no_key():
    """Return a check of an error and all that hangs on it."""

    def check(error: BaseException, *other_secrets: str) -> None:
        assert isinstance(error, CyTechBotError)
        for each in chain(error):
            module = type(each).__module__
            assert module.startswith("airflow"), f"{module} is in the chain: {each!r}"
            shown = [str(each), repr(each), repr(each.args), repr(vars(each)), *locals_of_the_package(each)]
            for text in [*shown, "".join(traceback.format_exception(each))]:
                assert not find_key(text), text
                assert not any(secret in text for secret in other_secrets), text
            assert "api_key=" not in str(each)
            assert "?" not in each.request

    return check


@pytest.fixture(autouse=True)
def no_log_shows_the_key(caplog, recwarn):
    """Look for the key in all that is logged, at DEBUG and by whomever, and warned of."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    yield
    for phase in ("setup", "call"):
        for record in caplog.get_records(phase):
            text = logging.Formatter().format(record)
            assert not find_key(text), text
            assert not find_key(repr(record.args)), record.args
    for warning in recwarn:
        assert not find_key(str(warning.message))
