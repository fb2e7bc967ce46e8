"""
Runs bulk writes in processes that a test can kill, as a worker of Airflow would.

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
from pathlib import Path
from types import SimpleNamespace

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.bulk import job, owner, run_store, runner, stores  # noqa: F401 - before the fork
from airflow_provider_cytechbot.bulk.resource import Change, InvalidRowError, PlannedWrite, Settled, Written
from airflow_provider_cytechbot.operators.bulk_write import CyTechBotBulkOperator
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.operators.users import CyTechBotUpdateUsersOperator
from airflow_provider_cytechbot.transport import aiohttp_transport  # noqa: F401


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
    "create": CreateOperator,
    "update": CyTechBotUpdateUsersOperator,
}


def context_of(command: dict, pushed: dict) -> dict:
    """Return the context of a try as Airflow makes it."""
    if command["try"] is None:
        return {}
    retries = 20
    task_instance = SimpleNamespace(
        dag_id="d",
        task_id="t",
        run_id=command.get("run", "r"),
        map_index=command.get("map_index", -1),
        try_number=command["try"],
        max_tries=command.get("first_try", 1) - 1 + retries,
        task=SimpleNamespace(retries=retries),
        xcom_push=lambda key, value: pushed.update({key: value}),
    )
    return {"ti": task_instance}


def run_try(command: dict) -> None:
    """Run a try, and write what became of it."""
    os.environ["AIRFLOW_CONN_CYTECHBOT_DEFAULT"] = command["connection"]
    pushed: dict = {}
    result: dict = {}
    task = OPERATORS[command["operator"]](task_id="t", **command["fields"])
    signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    try:
        result["manifest"] = task.execute(context_of(command, pushed))
    except CyTechBotError as error:
        result |= {"error": type(error).__name__, "text": str(error), "manifest": pushed.get("return_value")}
    except BaseException:  # noqa: BLE001 - the test raises it
        result["crash"] = traceback.format_exc()
    Path(command["result"]).write_text(json.dumps(result))


def warm_up() -> None:
    """Import and connect what a try needs, so that it begins at once."""
    connection = {"conn_type": "cytechbot", "host": "http://127.0.0.1:9/api", "password": "1-some-key"}
    with tempfile.TemporaryDirectory() as folder:
        command = {"operator": "create", "fields": {"rows": [], "report_path": f"{folder}/report.csv"}}
        run_try({**command, "try": None, "result": f"{folder}/result", "connection": json.dumps(connection)})


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
