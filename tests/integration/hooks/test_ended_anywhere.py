"""
A signal such as that of `execution_timeout` is raised anywhere: no frame that is left shows a secret.

Each call is ended in a process of its own: an exception between a lock and its release leaves the lock taken,
that of logging too, and then other threads wait for ever. The server is in the process of the test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from tests.integration.hooks.key_forms import KEY, find_key
from tests.unit.frames import shown_by_error_trackers

ROOT = Path(__file__).parents[3]
PASSWORD = "the-new-users-password"
#: At how many of its function calls, evenly spaced, a call of the hook is ended.
POINTS = 40
CALLS = {
    "read": lambda hook: hook.get_contact("5"),
    "stream": lambda hook: list(hook.iter_flow_answers("5")),
    "create": lambda hook: hook.create_user(
        name="Ann", email="ann@example.com", password=PASSWORD, package_id=1, expired_date="2030-01-01"
    ),
    "test": lambda hook: hook.test_connection(),
}


class EndedError(BaseException):
    """What a signal handler raises."""


@pytest.mark.parametrize("name", CALLS)
def test_an_ended_call_shows_no_secret(name, fault_server, answers, connect):
    repeated = f"{KEY}, {PASSWORD}" if name == "create" else KEY
    fault_server.will(answers.ok(json.dumps({"status": "error", "message": f"No {repeated}!"})))
    connect(fault_server.base_url, max_retries=0)
    done = subprocess.run(
        [sys.executable, __file__, name],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["shown"] == []
    assert result["ended"] > POINTS / 2


def end_at(number, operation):
    """Run an operation, raise at its function call of this number; return how many it made, and the error."""
    counter = count(1)
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
        sys.settrace(None)
    return made, failure


def main(name):
    """End a call at many points; return how often it ended, and the variables that show a secret."""

    def operation():
        CALLS[name](CyTechBotHook())

    end_at(0, operation)  # imports
    total, _ = end_at(0, operation)
    ended, shown = 0, []
    for number in range(1, total, max(1, total // POINTS)):
        _, error = end_at(number, operation)
        ended += isinstance(error, EndedError)
        lines = shown_by_error_trackers(error) if error else ()
        shown += [line for line in lines if find_key(line) or PASSWORD in line]
    return {"ended": ended, "shown": shown}


if __name__ == "__main__":
    sys.unraisablehook = lambda _: None  # finalizers are ended, too
    print(json.dumps(main(sys.argv[1])))
