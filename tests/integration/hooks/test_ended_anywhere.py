"""A signal such as that of `execution_timeout` is raised anywhere: no frame that is left shows a secret."""

from __future__ import annotations

import json
import sys
from itertools import count

import pytest

from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

from ...unit.frames import shown_by_error_trackers
from .key_forms import KEY, find_key

PASSWORD = "the-new-users-password"
#: At how many of its function calls, evenly spaced, a call of the hook is ended.
POINTS = 40


class EndedError(BaseException):
    """What a signal handler raises."""


CALLS = {
    "read": lambda hook: hook.get_contact("5"),
    "stream": lambda hook: list(hook.iter_flow_answers("5")),
    "create": lambda hook: hook.create_user(
        name="Ann", email="ann@example.com", password=PASSWORD, package_id=1, expired_date="2030-01-01"
    ),
    "test": lambda hook: hook.test_connection(),
}


def end_at(number, operation):
    """Run an operation, raise at its function call of this number; return how many it made, and the error."""
    counter, earlier = count(1), sys.gettrace()
    made = 0

    def trace(frame, event, argument):
        nonlocal made
        made = next(counter)
        if made == number:
            sys.settrace(None)
            raise EndedError

    failure = None
    sys.settrace(trace)
    try:
        operation()
    except BaseException as error:  # noqa: BLE001 - returned
        failure = error
    finally:
        sys.settrace(earlier)
    return made, failure


# Finalizers are ended, too.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CALLS)
def test_an_ended_call_shows_no_secret(name, fault_server, answers, connect):
    message = {"status": "error", "message": f"No {KEY}, {PASSWORD}!"}
    fault_server.will(answers.ok(json.dumps(message)))

    connect(fault_server.base_url, max_retries=0)

    def operation():
        CALLS[name](CyTechBotHook())

    end_at(0, operation)  # imports
    total, _ = end_at(0, operation)
    ended = 0
    for number in range(1, total, max(1, total // POINTS)):
        _, error = end_at(number, operation)
        ended += isinstance(error, EndedError)
        for line in shown_by_error_trackers(error) if error else ():
            assert not find_key(line), line
            assert PASSWORD not in line, line
    assert ended > POINTS / 2
