"""The owner of a state: a task instance in a process."""

from __future__ import annotations

import os
import socket
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

#: Seconds without a heartbeat after which an owner counts as dead.
SILENCE = 30.0


class Owner(msgspec.Struct, frozen=True):
    """
    A task instance in a process.

    :param dag_id: The DAG; empty outside of a task.
    :param task_id: The task.
    :param run_id: The DAG run.
    :param map_index: The index of a mapped task, or -1.
    :param try_number: The number of the try.
    :param first_try: The number of the first try since the task was cleared.
    :param host: The name of the machine.
    :param pid: The process.
    :param process_start: When it began, as the system counts; empty where that is not known.
    """

    dag_id: str = ""
    task_id: str = ""
    run_id: str = ""
    map_index: int = -1
    try_number: int = 1
    first_try: int = 1
    host: str = ""
    pid: int = 0
    process_start: str = ""

    @property
    def is_task(self) -> bool:
        """Whether there is a task instance."""
        return bool(self.dag_id)

    @property
    def digest(self) -> str:
        """A digest of the task instance, the same in each of its tries."""
        parts = (self.dag_id, self.task_id, self.run_id, str(self.map_index))
        return blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()

    def is_same_task(self, other: Owner) -> bool:
        """Return whether both are tries of one task instance."""
        return self.is_task and self.digest == other.digest

    def is_dead(self) -> bool:
        """Return whether the process has ended; false where this machine cannot find out."""
        return self.host == socket.gethostname() and not _is_running(self.pid, self.process_start)

    def __str__(self) -> str:
        where = f"process {self.pid} on {self.host}"
        if not self.is_task:
            return where
        index = f" [{self.map_index}]" if self.map_index >= 0 else ""
        return f"task {self.task_id}{index} of DAG {self.dag_id}, run {self.run_id}, {where}"


def owner_of(task_instance: Any, first_try: int) -> Owner:
    """
    Return this process as an owner.

    :param task_instance: The task instance of the context; anything else outside of a task.
    :param first_try: The number of the first try since the task was cleared.
    """
    pid = os.getpid()
    here = Owner(host=socket.gethostname(), pid=pid, process_start=_process_start(pid))
    if not isinstance(getattr(task_instance, "dag_id", None), str):
        return here
    return msgspec.structs.replace(
        here,
        dag_id=task_instance.dag_id,
        task_id=str(task_instance.task_id),
        run_id=str(task_instance.run_id),
        map_index=int(getattr(task_instance, "map_index", -1)),
        try_number=int(getattr(task_instance, "try_number", 1)),
        first_try=first_try,
    )


def _is_running(pid: int, process_start: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs as another user
        pass
    found = _process_start(pid)
    return found == process_start if found and process_start else True


def _process_start(pid: int) -> str:
    """Return when a process began, so that another one of the same number is not taken for it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The name in parentheses can hold anything; field 22 follows it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    is_zombie = fields[0] == "Z"
    return "ended" if is_zombie else f"{boot[:8]}-{fields[19]}"
