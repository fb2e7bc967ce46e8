"""A real Airflow for tests: api-server, scheduler with LocalExecutor, dag-processor, triggerer, as processes.

    with AirflowServices("example_dags", env={"AIRFLOW_CONN_CYTECHBOT_DEFAULT": uri}) as airflow:
        run = airflow.trigger("my_dag", conf={"page_id": 7})
        run.kill("create_user", who="both")  # the worker dies as if its machine had
        assert run.wait() == "success"
        assert run.tries() == {"create_user": 2}
        assert not airflow.places_of("the-api-key")

Importing Airflow takes three seconds of a core, and four pieces would do it four times over. So one process,
the launcher, imports it once and forks the pieces, each of which then runs the very command
(`airflow scheduler` …) that a deployment runs. The launcher itself never opens the database nor starts a
thread, so what it forks is as good as new.

All of it lives in one session of the operating system, which is what makes sure that nothing is left behind:
pieces move their children to process groups of their own and lose them when they are killed, but none leaves
the session.

The launcher is this same file, run as a script, hence no import of Airflow, nor of pytest, up here.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

import psutil  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from types import TracebackType

PIECES = ("api-server", "scheduler", "dag-processor", "triggerer")
#: What serves UI and REST API, since Airflow 3.0 and before. Of Airflow 2, nothing else is started here.
WEB_SERVERS = ("api-server", "webserver")
JOB_TYPES = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
FINISHED = ("success", "failed")
IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
VERSIONS_SERVED = 3
LINES_OF_A_TAIL = 30
#: Seconds of silence that no worker reaches who will speak again.
NEVER = 900
#: Seconds that one look at what is waited for takes at most on a machine that runs.
LONGEST_ROUND = 1.0

Who = Literal["runner", "supervisor", "both"]


class AirflowServicesError(AssertionError):
    """Airflow did not do what the test waits for; the message ends with what its logs end with."""


@dataclass(frozen=True)
class Run:
    """One DAG run, and all that can be asked about it. Tasks are named `task` or, where mapped, `task[0]`."""

    airflow: AirflowServices
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

    def kill(self, task: str, who: Who = "both", timeout: float = 30) -> int:
        """SIGKILL a running task (waiting until it runs), and return the process id that its code had.

        `runner` is the process that runs the task's code: its supervisor lives, and reports the failure at
        once. `both` is the whole worker, as when a machine goes: nobody reports anything, and the scheduler
        notices by the heartbeats that stay away. `supervisor` leaves the task's code running unsupervised, as
        long as it asks Airflow for nothing, while the scheduler already starts the next try.
        """
        runner = self.pid(task, timeout)
        supervisor = psutil.Process(runner).ppid()
        # The supervisor first: it must not live to see its child die.
        for pid in (supervisor,) * (who != "runner") + (runner,) * (who != "supervisor"):
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


class AirflowServices:
    """Airflow's four pieces under a home of their own, from `with` to the end of it.

    `env` reaches all pieces and tasks: connections and variables (`AIRFLOW_CONN_…`), and any setting
    (`AIRFLOW__…`), over those that are set here. Of the tests' own environment, nothing that concerns Airflow
    is passed on.

    `home` (a directory of pytest's, say) stays, with database and logs; without one, a temporary directory is
    taken, and kept only if the `with` ends in an error. `apps="all"` also serves REST API and UI at `url`, to
    anyone who asks, for six seconds more. `heartbeat_timeout` is how long a worker, or the scheduler, must be
    silent to be taken for dead: lower, and one that a busy machine holds up is taken for dead too. Where none
    is killed, `NEVER` lets a machine stand still for minutes.
    """

    def __init__(
        self,
        dags_folder: str | Path,
        *,
        env: Mapping[str, str] | None = None,
        home: Path | None = None,
        pieces: Sequence[str] = PIECES,
        apps: Literal["execution", "all"] = "execution",
        heartbeat_timeout: int = 6,
        start_timeout: float = 90,
    ) -> None:
        self.dags_folder = Path(dags_folder).resolve()
        self.pieces = tuple(pieces)
        self.start_timeout = start_timeout
        self._temporary = home is None
        self.home = (home or Path(tempfile.mkdtemp(prefix="airflow-services-"))).resolve()
        self.database = self.home / "airflow.db"
        self.port = _free_port()
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
        (self.home / "logs" / "pieces").mkdir(parents=True, exist_ok=True)
        (self.home / "airflow.cfg").write_text(self._settings())
        if IS_AIRFLOW_2:
            (self.home / "webserver_config.py").write_text('AUTH_TYPE, AUTH_ROLE_PUBLIC = 1, "Admin"\n')
        template = _template_path()
        if template.exists():
            shutil.copyfile(template, self.database)
        mine, launchers = socket.socketpair()
        mine.settimeout(self.start_timeout)
        with mine:  # the file on top of it keeps it open
            self._channel = mine.makefile("rw", encoding="utf-8")
        with self._log_path("launcher").open("wb") as log, launchers:
            self._launcher = subprocess.Popen(
                [sys.executable, __file__, str(launchers.fileno())],
                env=self._environment(),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[launchers.fileno()],
                start_new_session=True,
            )
        if not template.exists():
            self._ask(do="migrate")
            _keep_as_template(self.database, template)
        before = self._newest_job()
        for piece in self.pieces:
            self._ask(do="start", piece=piece, arguments=self._arguments(piece), env={})
        for piece in self.pieces:
            self._wait_until_up(piece, before)

    def stop(self) -> None:
        """End every process, in any state they are in. Safe to call again."""
        if self._launcher is None:
            return
        # As long as the launcher has not been waited for, its id, and so the session's, is nobody else's.
        _end_session(self._launcher.pid)
        self._launcher.wait()
        self._launcher = None
        self._channel.close()

    def _settings(self) -> str:
        """What `airflow.cfg` says, so that a shell with AIRFLOW_HOME set sees this Airflow too."""
        settings: dict[str, dict[str, object]] = {
            "core": {
                "dags_folder": self.dags_folder,
                "load_examples": False,
                # Airflow 2 wants no other with SQLite, even where nothing is executed.
                "executor": "SequentialExecutor" if IS_AIRFLOW_2 else "LocalExecutor",
                "parallelism": 4,  # each is a process
                "dags_are_paused_at_creation": False,
                "execution_api_server_url": f"{self.url}/execution/",
                "fernet_key": "",
                "simple_auth_manager_all_admins": True,
            },
            "database": {"sql_alchemy_conn": f"sqlite:///{self.database}", "check_migrations": False},
            "api": {
                "secret_key": secrets.token_hex(16),
                "host": "127.0.0.1",
                "port": self.port,
                "workers": 1,
                "auth_backends": "airflow.api.auth.backend.session",  # Airflow 2
            },
            "api_auth": {"jwt_secret": secrets.token_hex(32)},
            "scheduler": {
                "scheduler_idle_sleep_time": 0.2,
                "scheduler_heartbeat_sec": 1,
                "job_heartbeat_sec": 1,
                # A scheduler that was killed is believed dead this soon, and its tasks are taken over.
                "scheduler_health_check_threshold": self._heartbeat_timeout,
                "orphaned_tasks_check_interval": 2,
                "task_instance_heartbeat_timeout": self._heartbeat_timeout,
                "task_instance_heartbeat_timeout_detection_interval": 0.5,
                "trigger_timeout_check_interval": 1,
            },
            "workers": {
                "min_heartbeat_interval": 1,
                "execution_api_retry_wait_min": 0.2,
                "socket_cleanup_timeout": 5,
            },
            # The successor of a killed triggerer takes its triggers over when it is this long silent.
            "triggerer": {"job_heartbeat_sec": 1, "triggerer_health_check_threshold": 4},
            "dag_processor": {"refresh_interval": 2, "parsing_processes": 1, "min_file_process_interval": 60},
            "logging": {"colored_console_log": False},
            "usage_data_collection": {"enabled": False},
        }
        lines = []
        for section, options in settings.items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {str(value).replace('%', '%%')}" for name, value in options.items()]
        return "\n".join(lines) + "\n"

    def _environment(self) -> dict[str, str]:
        """The tests' environment without what would change Airflow, or take coverage of it."""
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("AIRFLOW_", "_AIRFLOW_", "COV_", "PYTEST_"))
        }
        return kept | {"AIRFLOW_HOME": str(self.home), "NO_PROXY": "127.0.0.1,localhost"} | self._env

    def _arguments(self, piece: str) -> list[str]:
        if piece == "api-server":
            return [
                piece,
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
                "--workers",
                "1",
                "--apps",
                self._apps,
            ]
        if piece == "webserver":
            return [piece, "--hostname", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        # Those that serve logs would do so on every interface.
        return [piece, "--skip-serve-logs"] if piece in ("scheduler", "triggerer") else [piece]

    def _wait_until_up(self, piece: str, before: int) -> None:
        if piece in WEB_SERVERS:
            self.wait_until(self._web_answers, self.start_timeout, f"an answer of the {piece}", every=0.05)
            return
        sql = "SELECT 1 FROM job WHERE job_type = ? AND state = 'running' AND id > ?"
        up = JOB_TYPES[piece], before
        self.wait_until(
            lambda: bool(self.query(sql, *up)), self.start_timeout, f"the {piece}'s first heartbeat"
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

        With a `logical_date` (ISO 8601, with offset) templates know `ds` and the like.
        """
        self.wait_for_dag(dag_id, timeout)
        answer = self._ask(do="trigger", dag_id=dag_id, conf=dict(conf or {}), logical_date=logical_date)
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

    def kill(self, piece: str) -> None:
        """SIGKILL a piece and its children, tasks under way too where it is the scheduler."""
        self._expected_dead.add(piece)
        pid = self._processes()[piece]["pid"]
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            self.wait_until(lambda: not any(map(_lives, family)), 10, f"the end of the {piece}", every=0.01)
        # A process counts as dead while its last threads end. Only then has the launcher heard of it.
        self.wait_until(
            lambda: self._processes()[piece]["exit"] is not None, 10, f"the exit of the {piece}", every=0.01
        )

    def start(self, piece: str, *, env: Mapping[str, str] | None = None) -> None:
        """Start a piece that was killed (or left out); `env` for this one alone."""
        before = self._newest_job()
        self._ask(do="start", piece=piece, arguments=self._arguments(piece), env=dict(env or {}))
        self._expected_dead.discard(piece)
        self._wait_until_up(piece, before)

    def restart(self, piece: str, *, env: Mapping[str, str] | None = None) -> None:
        """SIGKILL a piece, and start it anew."""
        self.kill(piece)
        self.start(piece, env=env)

    def kill_process(self, pid: int, how: signal.Signals = signal.SIGKILL) -> None:
        """Signal one process, if it is ours; SIGKILL returns when it is dead."""
        if not self.owns(pid):
            raise ProcessLookupError(f"{pid} is no process of this Airflow")
        os.kill(pid, how)
        if how is signal.SIGKILL:
            self.wait_until(lambda: not self.owns(pid), 10, f"the end of process {pid}", every=0.005)

    def owns(self, pid: int) -> bool:
        """Whether that process is alive and part of this Airflow."""
        return self._launcher is not None and _is_member(pid, self._launcher.pid)

    def processes(self) -> list[psutil.Process]:
        """Every process of this Airflow."""
        if self._launcher is None:
            return []
        return [psutil.Process(pid) for pid in _session_members(self._launcher.pid)]

    # What was written

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=20)
        ) as connection:
            return connection.execute(sql, parameters).fetchall()

    def database_bytes(self) -> bytes:
        """The database as it is stored: all that was ever written and not yet overwritten."""
        files = sorted(self.home.glob("airflow.db*"))
        return b"".join(path.read_bytes() for path in files)

    def places_of(self, text: str | bytes) -> list[Path]:
        """The files, of database and logs, that hold the text. Encoded forms are others: ask for each."""
        needle = text.encode() if isinstance(text, str) else text
        return [
            path for path in sorted(self.home.rglob("*")) if path.is_file() and needle in path.read_bytes()
        ]

    def piece_log(self, piece: str) -> str:
        """What a piece has printed; the scheduler's holds its workers' share, so every task's log again.

        There Airflow (3.3.2) does not mask what a task prints, but only what it logs.
        """
        path = self._log_path(piece)
        return path.read_text(errors="replace") if path.exists() else ""

    def _log_path(self, piece: str) -> Path:
        return self.home / "logs" / "pieces" / f"{piece}.log"

    # Waiting and failing

    def wait_until(
        self, done: Callable[[], bool], timeout: float, what: str, run: Run | None = None, every: float = 0.05
    ) -> None:
        """Wait until it is so; fail, with the logs' ends, when it takes too long or a piece has died."""
        waited, start = 0.0, time.monotonic()
        while not done():
            self._check_pieces()
            if waited > timeout:
                self._fail(f"Waited {timeout} s in vain for {what}.", run)
            time.sleep(every)
            # A round that takes longer was one of a machine that stood still, and Airflow with it.
            waited, start = waited + min(time.monotonic() - start, LONGEST_ROUND), time.monotonic()

    def _check_pieces(self) -> None:
        if time.monotonic() - self._checked < 0.5:
            return
        for piece, found in self._processes().items():
            if found["exit"] is not None and piece not in self._expected_dead:
                self._fail(f"The {piece} has ended, with exit code {found['exit']}.")
        self._checked = time.monotonic()

    def _processes(self) -> dict[str, Any]:
        """Return the process id of each piece, and its exit code if it has ended."""
        return dict(self._ask(do="pieces")["pieces"])

    def _ask(self, **question: Any) -> dict[str, Any]:
        """Put a question to the launcher."""
        try:
            with self._lock:
                self._channel.write(json.dumps(question) + "\n")
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
            self._fail(f"{question['do']} failed:\n{answer['error']}")
        return answer

    def _fail(self, message: str, run: Run | None = None) -> NoReturn:
        parts = [message, f"Everything is in {self.home}"]
        if run is not None:
            parts.append(f"{run.dag_id} is {run.state}; tasks: {run.states()}, tries: {run.tries()}")
            parts += [f"--- task {task}\n{_tail(run.log(task))}" for task in run.states()]
        if self.database.exists():
            parts += [f"--- {name} could not be read\n{trace}" for name, trace in self._unreadable()]
        parts += [f"--- {piece}\n{_tail(self.piece_log(piece))}" for piece in ("launcher", *self.pieces)]
        raise AirflowServicesError("\n".join(parts))


def _split(task: str) -> tuple[str, int]:
    """`task[3]` is the task's mapped instance 3, and `task` the unmapped one."""
    name, bracket, index = task.removesuffix("]").partition("[")
    return name, int(index) if bracket else -1


def _json(stored: Any) -> Any:
    """What a column of JSON holds: SQLite turns the text of a lone number into the number."""
    return json.loads(stored) if isinstance(stored, str) else stored


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-LINES_OF_A_TAIL:])


def _free_port() -> int:
    """A port below those that the system gives to whoever asks for any, lest it be gone before it is used."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _template_path() -> Path:
    """Where a freshly made database is kept for the next to copy: making one takes two seconds."""
    directory = Path(tempfile.gettempdir()) / f"airflow-services-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise PermissionError(f"{directory} belongs to somebody else")
    return directory / f"airflow-{version('apache-airflow')}.db"


def _keep_as_template(database: Path, template: Path) -> None:
    """Copy the database so that another process sees all of it or nothing."""
    draft = template.with_suffix(f".{os.getpid()}")
    with (
        contextlib.closing(sqlite3.connect(database)) as source,
        contextlib.closing(sqlite3.connect(draft)) as copy,
    ):
        source.backup(copy)
    draft.replace(template)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_member(pid: int, session: int) -> bool:
    try:
        return os.getsid(pid) == session and _lives(psutil.Process(pid))
    except (OSError, psutil.NoSuchProcess):
        return False


def _session_members(session: int) -> list[int]:
    """The living processes of a session, whatever group or parent they have got by now."""
    return [pid for pid in psutil.pids() if _is_member(pid, session)]


def _end_session(session: int, timeout: float = 20) -> None:
    """SIGKILL all of a session but the caller, until none is left: one may fork while it is being read."""
    deadline = time.monotonic() + timeout
    while members := [pid for pid in _session_members(session) if pid != os.getpid()]:
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise AirflowServicesError(f"These processes could not be killed: {members}")
        time.sleep(0.02)


# The launcher


class _Launcher:
    """What runs in the process that imports Airflow once, and forks whatever needs it."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.pieces: dict[str, int] = {}
        self.exits: dict[int, int] = {}

    def serve(self) -> None:
        """Answer until the test that asks has ended, in whatever way, and then leave nothing behind."""
        from airflow.cli import cli_parser

        if not IS_AIRFLOW_2:
            self._import_what_pieces_import()
            self._serve_recent_clients_only()
        self.parser = cli_parser.get_parser()
        with self.channel.makefile("rw", encoding="utf-8") as lines:
            for line in lines:
                question = json.loads(line)
                try:
                    answer = getattr(self, "do_" + question.pop("do"))(**question)
                except Exception:  # noqa: BLE001 - the test is told
                    answer = {"error": traceback.format_exc()}
                lines.write(json.dumps(answer) + "\n")
                lines.flush()
        _end_session(os.getsid(0))

    @staticmethod
    def _import_what_pieces_import() -> None:
        import uvicorn.protocols.http.auto  # noqa: F401
        from airflow.api.common import trigger_dag  # noqa: F401
        from airflow.api_fastapi.execution_api import app  # noqa: F401
        from airflow.cli.commands import (  # noqa: F401
            api_server_command,
            dag_processor_command,
            scheduler_command,
            triggerer_command,
        )
        from airflow.executors import local_executor  # noqa: F401
        from airflow.sdk.execution_time import supervisor, task_runner  # noqa: F401
        from sqlalchemy.orm import configure_mappers

        configure_mappers()

    @staticmethod
    def _serve_recent_clients_only() -> None:
        """Leave out the old versions of the execution API, for clients that are not there.

        The api-server makes each version's routes at the first request: nine take it seven seconds of a core,
        three two. The triggerer does the same when a trigger first asks for a connection. (The newest alone
        cannot be: one route is only for those that came before.)
        """
        from airflow.api_fastapi.execution_api import versions
        from cadwyn import HeadVersion, Version, VersionBundle

        known = versions.bundle.versions
        if len(known) > VERSIONS_SERVED:
            for change in (change for each in known for change in each.changes):
                change._bound_version_bundle = None  # else it may not be part of another bundle
            oldest = Version(known[VERSIONS_SERVED - 1].value)
            versions.bundle = VersionBundle(HeadVersion(), *known[: VERSIONS_SERVED - 1], oldest)

    def do_migrate(self) -> dict[str, Any]:
        """Make the database's tables."""
        return self._result(lambda: self._command(["db", "migrate"]))

    def do_start(self, piece: str, arguments: list[str], env: dict[str, str]) -> dict[str, Any]:
        """Start a piece by its command line."""
        self._reap()
        if (running := self.pieces.get(piece)) is not None and running not in self.exits:
            return {"error": f"the {piece} is running"}

        def run() -> None:
            os.environ.update(env)
            self._command(arguments)

        self.pieces[piece] = self._fork(run, Path("logs/pieces") / f"{piece}.log")
        return {}

    def do_pieces(self) -> dict[str, Any]:
        """Which process each piece is, and how it ended if it has."""
        self._reap()
        return {
            "pieces": {piece: {"pid": pid, "exit": self.exits.get(pid)} for piece, pid in self.pieces.items()}
        }

    def do_trigger(self, dag_id: str, conf: dict[str, Any], logical_date: str | None) -> dict[str, Any]:
        """Start a DAG run."""

        def run() -> dict[str, Any]:
            from airflow.api.common.trigger_dag import trigger_dag
            from airflow.utils.types import DagRunTriggeredByType

            started = trigger_dag(
                dag_id,
                triggered_by=DagRunTriggeredByType.CLI,
                conf=conf,
                logical_date=datetime.fromisoformat(logical_date) if logical_date else None,
                replace_microseconds=False,
            )
            if started is None:
                raise RuntimeError(f"no run of {dag_id} was made")
            return {"run_id": started.run_id}

        return self._result(run)

    def _command(self, arguments: list[str]) -> None:
        sys.argv = ["airflow", *arguments]
        parsed = self.parser.parse_args(arguments)
        parsed.func(parsed)

    def _result(self, work: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
        """What the work returns, done in a fork: the launcher must stay as it is."""
        reader, writer = os.pipe()

        def run() -> None:
            try:
                answer = work() or {}
            except Exception:  # noqa: BLE001 - the test is told
                answer = {"error": traceback.format_exc()}
            os.write(writer, json.dumps(answer).encode())

        self._fork(run, Path("logs/pieces/launcher.log"))
        os.close(writer)
        with open(reader, "rb") as pipe:  # noqa: PTH123 - a descriptor
            answer: dict[str, Any] = json.loads(pipe.read() or b'{"error": "it has died"}')
        self._reap()
        return answer

    def _fork(self, work: Callable[[], None], log: Path) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            self.channel.close()
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            work()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:  # noqa: BLE001 - nothing of the parent's may run in the child
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self.exits[ended[0]] = os.waitstatus_to_exitcode(ended[1])


if __name__ == "__main__":
    _Launcher(socket.socket(fileno=int(sys.argv[1]))).serve()
