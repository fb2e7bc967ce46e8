"""A server of contacts, and nights: runs of the sync with a context like that of Airflow."""

from __future__ import annotations

import csv
import json
import os
import threading
import traceback

import pytest

# What a task imports late is imported here, before the processes that are killed are forked.
import airflow_provider_cytechbot.bulk.job
import airflow_provider_cytechbot.operators.contact_sync
import airflow_provider_cytechbot.transport.aiohttp_transport
import airflow_provider_cytechbot.transport.retry  # noqa: F401
from airflow_provider_cytechbot.bulk import pause, runner
from airflow_provider_cytechbot.operators.contacts import CyTechBotSyncContactsOperator
from tests.task_instance import task_instance

from .contact_server import ContactServer


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(runner, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(pause, "FIRST_PAUSE", 0.02)


@pytest.fixture
def server(monkeypatch):
    with ContactServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        connection = {"conn_type": "cytechbot", "host": server.url, "password": "1-some-key"}
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
        yield server
        server.shutdown()


class Night:
    """
    What a try of the sync left.

    :param error: The error that the task raised; empty if it succeeded, `None` if its process was killed.
    :param manifest: The manifest.
    :param lines: The report's lines.
    """

    def __init__(self, error, manifest, lines):
        self.error = error
        self.manifest = manifest
        self.lines = lines

    @property
    def outcomes(self):
        """The outcome of each key."""
        return {line["key"]: line["outcome"] for line in self.lines}

    @property
    def reasons(self):
        return {line["key"]: line["reason"] for line in self.lines}

    @property
    def operations(self):
        """The operation of each key that something was done for."""
        return {line["key"]: line["operation"] for line in self.lines if line["operation"] != "none"}

    @property
    def ids(self):
        return {line["key"]: line["id"] for line in self.lines}

    @property
    def counts(self):
        return {outcome: number for outcome, number in self.manifest["counts"].items() if number}


class Nights:
    """Runs of one sync, each with another run id; a try after the first is a retry of the same run."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.number = 0
        self.try_number = self.first_try = 1
        self.fields = {"key": "id", "contact_type_id": "5", "state_path": str(folder / "state")}

    def run(self, rows, **fields):
        """Run the next night."""
        self.number += 1
        self.try_number = self.first_try = 1
        return self._try(rows, fields)

    def retry(self, rows, **fields):
        """Run the same night again, as a retry does."""
        self.try_number += 1
        return self._try(rows, fields)

    def clear(self, rows, **fields):
        """Run the same night again after a clear."""
        self.try_number += 1
        self.first_try = self.try_number
        return self._try(rows, fields)

    def run_in_process(self, rows, *, is_retry=False, **fields):
        """Run the next night, or a retry, in a process that the server can kill."""
        if is_retry:
            self.try_number += 1
        else:
            self.number += 1
            self.try_number = self.first_try = 1
        result = self.folder / "result.json"
        result.unlink(missing_ok=True)
        pid = os.fork()
        if not pid:
            try:
                night = self._try(rows, fields)
                result.write_text(json.dumps([night.error, night.manifest, night.lines]))
            except BaseException:  # noqa: BLE001 - shown by the test
                result.write_text(json.dumps([traceback.format_exc(), None, []]))
            finally:
                os._exit(0)
        self.server.victim = pid
        os.waitpid(pid, 0)
        self.server.victim = None
        return Night(*json.loads(result.read_text())) if result.exists() else Night(None, None, [])

    def _try(self, rows, fields):
        report = self.folder / f"report-{self.number}.csv"
        fields = {"report_path": str(report), **self.fields, **fields}
        fields = {name: value for name, value in fields.items() if value is not None}
        task = CyTechBotSyncContactsOperator(task_id="sync", rows=rows, **fields)
        pushed = {}
        error = ""
        try:
            pushed["return_value"] = task.execute(self._context(pushed))
        except Exception as raised:  # noqa: BLE001 - shown by the test
            error = f"{type(raised).__name__}: {raised}"
        lines = []
        if report.exists():
            with report.open(newline="") as file:
                lines = list(csv.DictReader(file))
        return Night(error, pushed.get("return_value"), lines)

    def _context(self, pushed):
        return {
            "ti": task_instance(
                pushed,
                dag_id="contacts",
                task_id="sync",
                run_id=f"night-{self.number}",
                try_number=self.try_number,
                first_try=self.first_try,
            )
        }


@pytest.fixture
def nights(server, tmp_path):
    return Nights(server, tmp_path)
