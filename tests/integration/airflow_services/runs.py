"""DAG runs of a real Airflow, as its metadata database and its logs show them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import psutil  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FINISHED = ("success", "failed")

WorkerProcess = Literal["runner", "supervisor", "both"]


class Airflow(Protocol):
    """The Airflow of a run."""

    home: Path

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Query the metadata database."""
        ...

    def wait_until(self, done: Callable[[], bool], timeout: float, what: str, run: Run | None = None) -> None:
        """Wait for a condition."""
        ...

    def owns(self, pid: int) -> bool:
        """Whether that process is alive and part of this Airflow."""
        ...

    def kill_process(self, pid: int) -> None:
        """Kill one process."""
        ...


@dataclass(frozen=True)
class Run:
    """One DAG run, its tasks and what they left. Tasks are named `task` or, where mapped, `task[0]`."""

    airflow: Airflow
    dag_id: str
    run_id: str

    @property
    def state(self) -> str:
        """The run's state: `queued`, `running`, `success` or `failed`."""
        ((state,),) = self._query("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?")
        return str(state)

    def wait(self, timeout: float = 60) -> str:
        """Wait until the run is over, and return `success` or `failed`."""
        self.airflow.wait_until(
            lambda: self.state in FINISHED, timeout, f"the end of {self.dag_id} {self.run_id}", self
        )
        return self.state

    def wait_for(self, task: str, state: str, *, try_number: int | None = None, timeout: float = 60) -> None:
        """Wait until a task is in that state (in that try). One that passes in an instant may be missed."""

        def reached() -> bool:
            return self.states().get(task) == state and try_number in (None, self.tries()[task])

        self.airflow.wait_until(reached, timeout, f"{task} being {state}", self)

    def states(self) -> dict[str, str | None]:
        """The state of every task."""
        return {task: state for task, state, _ in self._tasks()}

    def tries(self) -> dict[str, int]:
        """How often each task was begun; resuming after a deferral is the same try."""
        return {task: try_number for task, _, try_number in self._tasks()}

    def xcom(self, task: str, key: str = "return_value") -> Any:
        """What the task left there, None if nothing. Only JSON's types come back as they were."""
        rows = self._query(
            "SELECT value FROM xcom"
            " WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ? AND key = ?",
            *_split(task),
            key,
        )
        return _json(rows[0][0]) if rows else None

    def rendered(self, task: str) -> dict[str, Any]:
        """The rendered templates that the UI would show."""
        rows = self._query(
            "SELECT rendered_fields FROM rendered_task_instance_fields"
            " WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ?",
            *_split(task),
        )
        fields: dict[str, Any] = _json(rows[0][0]) if rows else {}
        return fields

    def log(self, task: str, try_number: int | None = None) -> str:
        """The task's log files (a line of JSON each), the triggerer's share too; of all tries, or of one."""
        task_id, map_index = _split(task)
        directory = self.airflow.home / f"logs/dag_id={self.dag_id}/run_id={self.run_id}/task_id={task_id}"
        if map_index >= 0:
            directory /= f"map_index={map_index}"
        files = directory.glob(f"attempt={try_number or '*'}.log*")
        return "".join(path.read_text(errors="replace") for path in sorted(files))

    def pid(self, task: str, timeout: float = 30) -> int:
        """Wait until the task runs, and return the process that runs its code, the supervisor's child."""
        found: list[int] = []

        def running() -> bool:
            rows = self._query(
                "SELECT pid FROM task_instance"
                " WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ? AND state = 'running'",
                *_split(task),
            )
            found[:] = [pid for (pid,) in rows if pid and self.airflow.owns(pid)]
            return bool(found)

        self.airflow.wait_until(running, timeout, f"{task} running", self)
        return found[0]

    def kill(self, task: str, process: WorkerProcess = "both", timeout: float = 30) -> int:
        """SIGKILL a running task (waiting until it runs), and return the process id that its code had.

        `runner` is the process that runs the task's code: its supervisor lives, and reports the failure at
        once. `both` is the whole worker, as when a machine goes: nobody reports anything, and the scheduler
        notices by the heartbeats that stay away. `supervisor` leaves the task's code running unsupervised, as
        long as it sends Airflow no request, while the scheduler already starts the next try.
        """
        runner = self.pid(task, timeout)
        supervisor = psutil.Process(runner).ppid()
        # The supervisor first: it must not live to see its child die.
        for pid in (supervisor,) * (process != "runner") + (runner,) * (process != "supervisor"):
            self.airflow.kill_process(pid)
        return runner

    def _tasks(self) -> list[tuple[str, str | None, int]]:
        rows = self._query(
            "SELECT task_id, map_index, state, try_number FROM task_instance WHERE dag_id = ? AND run_id = ?"
            " ORDER BY task_id, map_index"
        )
        return [(task_id if i < 0 else f"{task_id}[{i}]", state, tries) for task_id, i, state, tries in rows]

    def _query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.airflow.query(sql, self.dag_id, self.run_id, *parameters)


def _split(task: str) -> tuple[str, int]:
    """`task[3]` is the task's mapped instance 3, and `task` the unmapped one."""
    name, bracket, index = task.removesuffix("]").partition("[")
    return name, int(index) if bracket else -1


def _json(stored: Any) -> Any:
    """What a column of JSON holds: SQLite turns the text of a lone number into the number."""
    return json.loads(stored) if isinstance(stored, str) else stored
