"""
Runs tasks in processes that a test can kill, as a worker of Airflow would.

Imports everything once and forks a process for each try. A line of JSON on the standard input is a try, whose
process id is printed, or the process id of a try to wait for.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from datetime import datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, io

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.bulk import job, owner, run_store, runner, stores  # noqa: F401 - before the fork
from airflow_provider_cytechbot.bulk.resource import Change, InvalidRowError, PlannedWrite, Settled, Written
from airflow_provider_cytechbot.exports import changes, export  # noqa: F401
from airflow_provider_cytechbot.operators import contact_sync  # noqa: F401
from airflow_provider_cytechbot.operators.bulk_write import CyTechBotBulkOperator
from airflow_provider_cytechbot.operators.contact_groups import CyTechBotCreateContactGroupOperator
from airflow_provider_cytechbot.operators.contacts import (
    CyTechBotCreateContactOperator,
    CyTechBotSyncContactsOperator,
)
from airflow_provider_cytechbot.operators.labels import (
    CyTechBotAssignLabelsOperator,
    CyTechBotCreateLabelOperator,
)
from airflow_provider_cytechbot.operators.users import (
    CyTechBotCreateUserOperator,
    CyTechBotUpdateUsersOperator,
)
from airflow_provider_cytechbot.reports import flow_report  # noqa: F401
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)
from airflow_provider_cytechbot.transfers.flow_report import CyTechBotFlowReportOperator
from airflow_provider_cytechbot.transport import aiohttp_transport  # noqa: F401
from tests.task_instance import task_instance


class Creates:
    """Creates a contact for each row. A create must never be sent twice."""

    identity = {"operation": "create", "group": "7"}  # noqa: RUF012
    key_field = "name"
    fields = ("name",)
    finds_gone_keys = False

    def open_state(self, state):
        pass

    def plan(self, values):
        if not values.get("name"):
            raise InvalidRowError("no name")
        return PlannedWrite(str(values["name"]), "", "name")

    def merge(self, payload, other):
        raise InvalidRowError("The key occurs twice.")

    def compare(self, write, entry):
        if entry.step is not None:
            return Settled("ambiguous", "The create may have happened.", "create")
        if entry.value is not None:
            return Settled("unchanged", "It was created before.", id=entry.value.decode())
        return Change("create", write.payload, write.fields, is_repeatable=False, step=b"create")

    def gone(self, key, entry):
        pass

    def describe(self, payload):
        return payload

    def check(self, figures, *, plan_only):
        pass

    def prepare(self, *, plan_only):
        pass

    async def write(self, hook, call, steps):
        new_id = await hook.call(
            endpoints.CREATE_CONTACT,
            max_retries=0,
            contact_type_id="7",
            email=f"{call.key}@example.com",
            first_name=call.key,
        )
        return Written(True, "", new_id, new_id.encode())


class CreateOperator(CyTechBotBulkOperator):
    """Creates contacts."""

    def execute(self, context):
        return self.write_rows(Creates(), context)


OPERATORS = {
    "assign": CyTechBotAssignLabelsOperator,
    "contact": CyTechBotCreateContactOperator,
    "contact_group": CyTechBotCreateContactGroupOperator,
    "create": CreateOperator,
    "export": CyTechBotFlowAnswersToObjectStorageOperator,
    "label": CyTechBotCreateLabelOperator,
    "report": CyTechBotFlowReportOperator,
    "sync": CyTechBotSyncContactsOperator,
    "update": CyTechBotUpdateUsersOperator,
    "user": CyTechBotCreateUserOperator,
}


class FileStore:
    """
    A task state store in a file, which outlives the process.

    :param path: The file.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def get(self, key: str):
        return json.loads(self._path.read_text()).get(key) if self._path.exists() else None

    def set(self, key: str, value) -> None:
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps({key: value}))
        part.replace(self._path)

    def delete(self, key: str) -> None:
        self._path.unlink(missing_ok=True)


def context_of(command: dict, pushed: dict) -> dict:
    """Return the context of a try as Airflow makes it."""
    context = {}
    if "interval" in command:
        context["data_interval_end"] = datetime.fromisoformat(command["interval"])
    if "store" in command:
        context["task_state_store"] = FileStore(command["store"])
    if command["try"] is None:
        return context
    context["ti"] = task_instance(
        pushed,
        run_id=command.get("run", "r"),
        map_index=command.get("map_index", -1),
        try_number=command["try"],
        first_try=command.get("first_try", 1),
        retries=20,
    )
    return context


def handle_signals(task, command: dict) -> None:
    """Do on SIGTERM and after ``execution_timeout`` what Airflow does in a task's process."""

    def stop(*_):
        task.on_kill()
        if command.get("raises"):  # as Airflow 2
            raise KeyboardInterrupt

    def end_time(*_):
        raise AirflowTaskTimeout

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, end_time)
    if "timeout" in command:
        signal.setitimer(signal.ITIMER_REAL, command["timeout"])


def run_try(command: dict) -> None:
    """Run a try, and write what became of it."""
    os.environ.update(command["connections"])
    pushed: dict = {}
    result: dict = {}
    task = OPERATORS[command["operator"]](task_id="t", **command["fields"])
    handle_signals(task, command)
    try:
        result["manifest"] = task.execute(context_of(command, pushed))
    except CyTechBotError as error:
        result |= {"error": type(error).__name__, "text": str(error), "manifest": pushed.get("return_value")}
    except (KeyboardInterrupt, AirflowTaskTimeout) as error:
        result |= {"error": type(error).__name__, "text": "", "manifest": pushed.get("return_value")}
    except BaseException:  # noqa: BLE001 - the test raises it
        result["crash"] = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    part = Path(command["result"]).with_suffix(".part")
    part.write_text(json.dumps(result))
    part.rename(command["result"])


def warm_up() -> None:
    """Import and connect what a try needs, so that it begins at once."""
    connection = {"conn_type": "cytechbot", "host": "http://127.0.0.1:9/api", "password": "1-some-key"}
    io.has_fs("s3")  # looks once for all filesystems there are
    with tempfile.TemporaryDirectory() as folder:
        fields = {
            "create": {"rows": [], "report_path": f"{folder}/report.csv"},
            "export": {"flow_campaign_id": "1", "path": f"{folder}/a.jsonl"},
        }
        for operator, each in fields.items():
            command = {"operator": operator, "fields": each, "try": None, "result": f"{folder}/{operator}"}
            run_try({**command, "connections": {"AIRFLOW_CONN_CYTECHBOT_DEFAULT": json.dumps(connection)}})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def main() -> None:
    """Run tries until the standard input ends."""
    pipe = os.dup(1)
    os.dup2(2, 1)  # logs
    warm_up()
    os.dup2(pipe, 1)
    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            os.waitpid(command["wait"], 0)  # not before: a test may still send it signals
            print("{}", flush=True)
            continue
        pid = os.fork()
        if not pid:
            os.dup2(2, 1)  # logs
            run_try(command)
            os._exit(0)
        print(json.dumps({"pid": pid}), flush=True)


if __name__ == "__main__":
    main()
