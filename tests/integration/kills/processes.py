"""Tries of tasks in processes of their own, which a test can kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]


class Try:
    """A try of a task, in a process of its own."""

    def __init__(self, worker, result):
        self._worker, self._result = worker, result
        self._has_ended = False
        self.pid = self._read()["pid"]

    def _read(self):
        line = self._worker.stdout.readline()
        assert line, f"the worker ended: {self._worker.poll()}"
        return json.loads(line)

    def kill(self, how=signal.SIGKILL):
        if not self._has_ended:
            os.kill(self.pid, how)

    def has_result(self):
        return self._result.exists()

    def wait(self):
        """Wait for its end, and return what it left: nothing if it was killed."""
        if not self._has_ended:
            self._worker.stdin.write(json.dumps({"wait": self.pid}) + "\n")
            self._worker.stdin.flush()
            self._read()
            self._has_ended = True
        found = json.loads(self._result.read_text()) if self._result.exists() else {}
        assert "crash" not in found, found["crash"]
        return found


class Worker:
    """Begins tries of tasks."""

    def __init__(self, process, folder):
        self._process, self._folder = process, folder
        self._number = 0

    def begin(self, operator, try_number, fields, **more):
        """Begin a try; with ``None`` for its number, outside of a task."""
        self._number += 1
        result = self._folder / f"result-{self._number}.json"
        connections = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_CONN_")}
        command = {"operator": operator, "try": try_number, "fields": fields, "result": str(result), **more}
        command["connections"] = connections
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return Try(self._process, result)

    def run(self, *args, **more):
        """Run a try to its end."""
        return self.begin(*args, **more).wait()


@contextmanager
def worker_process(log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that has imported everything, in which tries begin at once."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.kills.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            cwd=ROOT,
        )
    yield process
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()
