"""The components of a real Airflow, and the accidents that can happen to them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

import psutil  # type: ignore[import-untyped]

from .database import keep_as_template, template_path
from .processes import end_session, is_alive, is_member, session_members
from .runs import Run
from .settings import COMPONENTS, IS_AIRFLOW_2, JOB_TYPES, WEB_SERVERS, airflow_cfg, command

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[3]
#: Airflow must not find this repository, nor the working directory, on the launcher's path.
LAUNCH = f"""
import sys
sys.path[0] = sys.argv[2]
from {__package__}.launcher import main
sys.path.pop(0)
main()
"""
LINES_OF_A_TAIL = 30
#: Seconds that one look at a condition takes at most on a machine that runs.
LONGEST_ROUND = 1.0


class AirflowServicesError(AssertionError):
    """Airflow did not do what the test waits for; the message ends with what its logs end with."""


class AirflowServices:
    """Airflow's four components under a home of their own, from `with` to the end of it.

    `env` reaches all components and tasks: connections and variables (`AIRFLOW_CONN_…`), and any setting
    (`AIRFLOW__…`), over those that are set here. Nothing of the tests' own environment that concerns Airflow
    is passed on.

    `home` (such as a directory of pytest's) stays, with database and logs; without one, a temporary directory
    is taken, and kept only if the `with` ends in an error. `apps="all"` also serves REST API and UI at `url`,
    without a login, for six seconds more. `heartbeat_timeout` is how long a worker, or the scheduler, must be
    silent to be taken for dead: lower, and one that a busy machine holds up is taken for dead too. Where none
    is killed, `NO_TIMEOUT` lets a machine stand still for minutes.
    """

    def __init__(
        self,
        dags_folder: str | Path,
        *,
        env: Mapping[str, str] | None = None,
        home: Path | None = None,
        components: Sequence[str] = COMPONENTS,
        apps: Literal["execution", "all"] = "execution",
        heartbeat_timeout: int = 6,
        start_timeout: float = 90,
    ) -> None:
        self.dags_folder = Path(dags_folder).resolve()
        self.components = tuple(components)
        self.start_timeout = start_timeout
        self._temporary = home is None
        self.home = (home or Path(tempfile.mkdtemp(prefix="airflow-services-"))).resolve()
        self.database = self.home / "airflow.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._apps = apps
        self._env = dict(env or {})
        self._heartbeat_timeout = heartbeat_timeout
        self._launcher: subprocess.Popen[bytes] | None = None
        self._expected_dead: set[str] = set()
        self._lock = threading.Lock()
        self._checked = 0.0

    # Start and stop

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._temporary and kind is None:
            shutil.rmtree(self.home, ignore_errors=True)

    def _start(self) -> None:
        (self.home / "logs" / "components").mkdir(parents=True, exist_ok=True)
        (self.home / "airflow.cfg").write_text(
            airflow_cfg(self.dags_folder, self.database, self.port, self._heartbeat_timeout)
        )
        if IS_AIRFLOW_2:
            (self.home / "webserver_config.py").write_text('AUTH_TYPE, AUTH_ROLE_PUBLIC = 1, "Admin"\n')
        template = template_path()
        if template.exists():
            shutil.copyfile(template, self.database)
        mine, launchers = socket.socketpair()
        mine.settimeout(self.start_timeout)
        with mine:  # the file on top of it keeps it open
            self._channel = mine.makefile("rw", encoding="utf-8")
        with self._log_path("launcher").open("wb") as log, launchers:
            self._launcher = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(launchers.fileno()), str(ROOT)],
                env=self._environment(),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[launchers.fileno()],
                start_new_session=True,
            )
        if not template.exists():
            self._request(do="migrate")
            keep_as_template(self.database, template)
        before = self._newest_job()
        for component in self.components:
            self._request(
                do="start", component=component, arguments=command(component, self.port, self._apps), env={}
            )
        for component in self.components:
            self._wait_until_up(component, before)

    def stop(self) -> None:
        """End every process, in any state they are in. Safe to call again."""
        if self._launcher is None:
            return
        # As long as the launcher has not been waited for, its id, and so the session's, is nobody else's.
        end_session(self._launcher.pid)
        self._launcher.wait()
        self._launcher = None
        self._channel.close()

    def _environment(self) -> dict[str, str]:
        """The tests' environment without what would change Airflow, or take coverage of it."""
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("AIRFLOW_", "_AIRFLOW_", "COV_", "PYTEST_"))
        }
        return kept | {"AIRFLOW_HOME": str(self.home), "NO_PROXY": "127.0.0.1,localhost"} | self._env

    def _wait_until_up(self, component: str, before: int) -> None:
        if component in WEB_SERVERS:
            self.wait_until(
                self._web_answers, self.start_timeout, f"an answer of the {component}", every=0.05
            )
            return
        sql = "SELECT 1 FROM job WHERE job_type = ? AND state = 'running' AND id > ?"
        up = JOB_TYPES[component], before
        self.wait_until(
            lambda: bool(self.query(sql, *up)), self.start_timeout, f"the {component}'s first heartbeat"
        )

    def _web_answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/health" if IS_AIRFLOW_2 else "/execution/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _newest_job(self) -> int:
        ((newest,),) = self.query("SELECT coalesce(max(id), 0) FROM job")
        return int(newest)

    # DAG runs

    def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        logical_date: str | None = None,
        timeout: float = 30,
    ) -> Run:
        """Start a run as `airflow dags trigger` would, once the DAG has been read.

        With a `logical_date` (ISO 8601, with offset) templates have `ds` and the like.
        """
        self.wait_for_dag(dag_id, timeout)
        answer = self._request(do="trigger", dag_id=dag_id, conf=dict(conf or {}), logical_date=logical_date)
        return Run(self, dag_id, answer["run_id"])

    def wait_for_dag(self, dag_id: str, timeout: float = 30) -> None:
        """Wait until the DAG has been read; fail at once if the file that names it could not be."""

        def known() -> bool:
            if self.query("SELECT 1 FROM serialized_dag WHERE dag_id = ?", dag_id):
                return True
            for name, stacktrace in self._unreadable():
                if dag_id in (self.dags_folder / name).read_text(errors="replace"):
                    self._fail(f"{name} could not be read:\n{stacktrace}")
            return False

        self.wait_until(known, timeout, f"the DAG {dag_id} in {self.dags_folder}")

    def _unreadable(self) -> list[tuple[Any, ...]]:
        return self.query("SELECT filename, stacktrace FROM import_error")

    def runs(self, dag_id: str) -> list[Run]:
        """All runs of a DAG, the oldest first; those too that a schedule or an asset event has started."""
        rows = self.query("SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id", dag_id)
        return [Run(self, dag_id, run_id) for (run_id,) in rows]

    # Accidents

    def kill(self, component: str) -> None:
        """SIGKILL a component and its children, tasks under way too where it is the scheduler."""
        self._expected_dead.add(component)
        pid = self.component_pid(component)
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            self.wait_until(
                lambda: not any(map(is_alive, family)), 10, f"the end of the {component}", every=0.01
            )
        # A process counts as dead while its last threads end. Only then has the launcher heard of it.
        self.wait_until(
            lambda: self._processes()[component]["exit"] is not None,
            10,
            f"the exit of the {component}",
            every=0.01,
        )

    def start(self, component: str, *, env: Mapping[str, str] | None = None) -> None:
        """Start a component that was killed (or left out); `env` for this one alone."""
        before = self._newest_job()
        self._request(
            do="start",
            component=component,
            arguments=command(component, self.port, self._apps),
            env=dict(env or {}),
        )
        self._expected_dead.discard(component)
        self._wait_until_up(component, before)

    def restart(self, component: str, *, env: Mapping[str, str] | None = None) -> None:
        """SIGKILL a component, and start it again."""
        self.kill(component)
        self.start(component, env=env)

    def kill_process(self, pid: int, how: signal.Signals = signal.SIGKILL) -> None:
        """Signal one process, if it is ours; SIGKILL returns when it is dead."""
        if not self.owns(pid):
            raise ProcessLookupError(f"{pid} is not a process of this Airflow")
        os.kill(pid, how)
        if how is signal.SIGKILL:
            self.wait_until(lambda: not self.owns(pid), 10, f"the end of process {pid}", every=0.005)

    def owns(self, pid: int) -> bool:
        """Whether that process is alive and part of this Airflow."""
        return self._launcher is not None and is_member(pid, self._launcher.pid)

    def processes(self) -> list[psutil.Process]:
        """Every process of this Airflow."""
        if self._launcher is None:
            return []
        return [psutil.Process(pid) for pid in session_members(self._launcher.pid)]

    # What was written

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Query the metadata database."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=20)
        ) as connection:
            return connection.execute(sql, parameters).fetchall()

    def database_bytes(self) -> bytes:
        """The database as it is stored: all that was ever written and not yet overwritten."""
        files = sorted(self.home.glob("airflow.db*"))
        return b"".join(path.read_bytes() for path in files)

    def find_text(self, text: str | bytes) -> list[Path]:
        """The files, of database and logs, that hold the text. Encoded forms are other texts."""
        needle = text.encode() if isinstance(text, str) else text
        return [
            path for path in sorted(self.home.rglob("*")) if path.is_file() and needle in path.read_bytes()
        ]

    def component_log(self, component: str) -> str:
        """What a component has printed; the scheduler's holds its workers' share, so every task's log again.

        There Airflow (3.3.2) does not mask what a task prints, but only what it logs.
        """
        path = self._log_path(component)
        return path.read_text(errors="replace") if path.exists() else ""

    def _log_path(self, component: str) -> Path:
        return self.home / "logs" / "components" / f"{component}.log"

    # Waiting and failing

    def wait_until(
        self, done: Callable[[], bool], timeout: float, what: str, run: Run | None = None, every: float = 0.05
    ) -> None:
        """Wait until it is so; fail, with the logs' ends, when it takes too long or a component has died."""
        waited, start = 0.0, time.monotonic()
        while not done():
            self._check_components()
            if waited > timeout:
                self._fail(f"No {what} within {timeout} s.", run)
            time.sleep(every)
            # A round that takes longer was one of a machine that stood still, and Airflow with it.
            waited, start = waited + min(time.monotonic() - start, LONGEST_ROUND), time.monotonic()

    def _check_components(self) -> None:
        if time.monotonic() - self._checked < 0.5:
            return
        for component, found in self._processes().items():
            if found["exit"] is not None and component not in self._expected_dead:
                self._fail(f"The {component} has ended, with exit code {found['exit']}.")
        self._checked = time.monotonic()

    def component_pid(self, component: str) -> int:
        """Return the process id of a component."""
        return int(self._processes()[component]["pid"])

    def _processes(self) -> dict[str, Any]:
        """Return the process id of each component, and its exit code if it has ended."""
        return dict(self._request(do="components")["components"])

    def _request(self, **request: Any) -> dict[str, Any]:
        """Put a request to the launcher."""
        try:
            with self._lock:
                self._channel.write(json.dumps(request) + "\n")
                self._channel.flush()
                line = self._channel.readline()
        except OSError as error:
            line = ""
            reason = str(error)
        else:
            reason = "it has gone"
        if not line:
            self._fail(f"The launcher did not answer ({reason}).")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            self._fail(f"{request['do']} failed:\n{answer['error']}")
        return answer

    def _fail(self, message: str, run: Run | None = None) -> NoReturn:
        parts = [message, f"Everything is in {self.home}"]
        if run is not None:
            parts.append(f"{run.dag_id} is {run.state}; tasks: {run.states()}, tries: {run.tries()}")
            parts += [f"--- task {task}\n{_tail(run.log(task))}" for task in run.states()]
        if self.database.exists():
            parts += [f"--- {name} could not be read\n{trace}" for name, trace in self._unreadable()]
        parts += [
            f"--- {component}\n{_tail(self.component_log(component))}"
            for component in ("launcher", *self.components)
        ]
        raise AirflowServicesError("\n".join(parts))


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-LINES_OF_A_TAIL:])


def free_port() -> int:
    """A free port below those that the system assigns by itself, so that it stays free until it is used."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
