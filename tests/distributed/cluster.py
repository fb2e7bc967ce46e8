"""
Airflow on CeleryExecutor, Redis and PostgreSQL: two workers, two triggerers, and their accidents.

    with Cluster("dags", home, env={"AIRFLOW_CONN_CYTECHBOT_DEFAULT": uri}) as airflow:
        run = airflow.trigger("my_dag")
        airflow.kill(airflow.component_of(run.pid("export")))
        assert run.wait() == "success"
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg2.extras
import requests

from tests.integration.airflow_services.runs import Run
from tests.integration.airflow_services.services import free_port

from .programs import Postgres, Program, Redis, wait_for_start

WORKERS = ("worker-1", "worker-2")
TRIGGERERS = ("triggerer-1", "triggerer-2")
JOB_TYPES = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
#: Airflow's queue of messages, a list in Redis.
QUEUE = "default"
#: Seconds without a heartbeat after which a task counts as lost. With fewer, a busy machine loses tasks.
HEARTBEAT_TIMEOUT = 40
#: Seconds after which a task is queued again that a worker had received, but not begun when it was killed.
QUEUED_TIMEOUT = 150
#: Seconds without a heartbeat after which another triggerer takes the triggers over.
TRIGGERER_TIMEOUT = 30
#: Triggers that one triggerer takes: fewer than the tests have waits, so that both have some.
TRIGGERER_CAPACITY = 50
START_SECONDS = 240


class ClusterError(AssertionError):
    """Airflow did not do what the test waits for; the message has the end of its logs."""


class Cluster:
    """
    A distributed Airflow from `with` to the end of it.

    :param dags_folder: The folder with its DAGs.
    :param home: A new folder for all that it writes, to which PostgreSQL's user has access.
    :param env: Connections, variables and further settings of all its components.
    :param slots: The number of tasks that a worker runs at once.
    """

    def __init__(self, dags_folder: Path, home: Path, env: Mapping[str, str], slots: int = 3) -> None:
        self.home = home
        self.slots = slots
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.postgres = Postgres(home)
        self.redis = Redis(home)
        self.programs: dict[str, Program] = {}
        self._dags_folder = dags_folder
        self._env = dict(env)
        self._stopped: set[str] = set()
        self._jobs: dict[str, int] = {}
        self._session = requests.Session()

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

    def _start(self) -> None:
        if not importlib.util.find_spec("airflow.providers.celery"):
            raise ClusterError("The Celery provider is not installed. make test-distributed installs it.")
        (self.home / "logs").mkdir()
        self.postgres.start()
        self.redis.start()
        self._settings = self._environment()
        migration = self.programs["migration"] = self._run("migration", "db", "migrate")
        self._stopped.add("migration")  # it may end
        if migration.process.wait(START_SECONDS * 2):
            raise ClusterError(f"The database could not be made:\n{migration.tail()}")
        self._database = self.postgres.connect()
        psycopg2.extras.register_default_json(self._database, loads=lambda text: text)
        psycopg2.extras.register_default_jsonb(self._database, loads=lambda text: text)
        self.start("api-server")
        self.start("scheduler", "dag-processor", *WORKERS, TRIGGERERS[0])
        self.start(TRIGGERERS[1])  # by itself: a row of the table of jobs does not name its component
        self._session.headers["Authorization"] = f"Bearer {self._token()}"

    def start(self, *components: str) -> None:
        """Start components, all at once, and wait until each works."""
        before = self._newest_job()
        for component in components:
            self.programs[component] = self._run(component, *self._arguments(component))
            self._stopped.discard(component)
        for component in components:
            wait_for_start(
                self.programs[component], lambda of=component: self._is_up(of, before), START_SECONDS
            )

    def stop(self) -> None:
        """End every process."""
        for program in reversed(self.programs.values()):
            program.kill()
        self.redis.stop()
        self.postgres.stop()

    def _run(self, name: str, *arguments: str) -> Program:
        command = [sys.executable, "-m", "airflow", *arguments]
        log = self.home / "logs" / f"{name}.log"
        return Program.start(name, command, log=log, env=self._settings, cwd=self.home)

    def _environment(self) -> dict[str, str]:
        settings: dict[str, dict[str, object]] = {
            "core": {
                "dags_folder": self._dags_folder,
                "load_examples": False,
                "executor": "CeleryExecutor",
                "dags_are_paused_at_creation": False,
                "execution_api_server_url": f"{self.url}/execution/",
                "fernet_key": "Y3l0ZWNoYm90LWRpc3RyaWJ1dGVkLXRlc3RzLWtleTE=",
                "simple_auth_manager_all_admins": True,
                "mp_start_method": "fork",
            },
            "database": {"sql_alchemy_conn": f"postgresql+psycopg2://{self.postgres.url}"},
            "celery": {
                "broker_url": self.redis.url,
                "result_backend": f"db+postgresql://{self.postgres.url}",
                "worker_concurrency": self.slots,
                "worker_enable_remote_control": False,
            },
            "api": {"secret_key": secrets.token_hex(16), "host": "127.0.0.1", "port": self.port},
            "api_auth": {"jwt_secret": secrets.token_hex(32)},
            "scheduler": {
                "scheduler_idle_sleep_time": 0.5,
                "scheduler_heartbeat_sec": 2,
                "task_instance_heartbeat_timeout": HEARTBEAT_TIMEOUT,
                "task_instance_heartbeat_timeout_detection_interval": 2,
                "trigger_timeout_check_interval": 2,
                "task_queued_timeout": QUEUED_TIMEOUT,
                "task_queued_timeout_check_interval": 5,
            },
            # On a busy machine the API server takes long for its first answers.
            "workers": {"execution_api_timeout": 60, "execution_api_retries": 8},
            "triggerer": {
                "job_heartbeat_sec": 2,
                "triggerer_health_check_threshold": TRIGGERER_TIMEOUT,
                "capacity": TRIGGERER_CAPACITY,
            },
            "dag_processor": {"refresh_interval": 5, "parsing_processes": 1, "min_file_process_interval": 60},
            "logging": {
                "base_log_folder": self.home / "logs",
                "colored_console_log": False,
                "logging_level": "DEBUG",
                "celery_logging_level": "DEBUG",
            },
            "usage_data_collection": {"enabled": False},
        }
        own = {
            f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
            for section, options in settings.items()
            for name, value in options.items()
        }
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW_", "_AIRFLOW_", "COV_", "PYTEST_"))
        }
        return kept | {"AIRFLOW_HOME": str(self.home), "NO_PROXY": "127.0.0.1,localhost"} | own | self._env

    def _arguments(self, component: str) -> Sequence[str]:
        if component == "api-server":
            return (component, "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1")
        if component in WORKERS:
            return (
                *(
                    "celery",
                    "worker",
                    "--concurrency",
                    str(self.slots),
                    "--celery-hostname",
                    f"{component}@tests",
                ),
                *("--skip-serve-logs", "--without-mingle", "--without-gossip"),
                *("--pid", str(self.home / f"{component}.pid")),
            )
        if component in TRIGGERERS:
            return ("triggerer", "--skip-serve-logs", "--pid", str(self.home / f"{component}.pid"))
        return (component, "--skip-serve-logs") if component == "scheduler" else (component,)

    def _is_up(self, component: str, before: int) -> bool:
        if component == "api-server":
            return requests.get(f"{self.url}/api/v2/version", timeout=5).status_code == 200
        if component in WORKERS:
            return f"{component}@tests ready" in self.programs[component].tail(400)
        kind = "triggerer" if component in TRIGGERERS else component
        ((self._jobs[component],),) = self.query(
            "SELECT id FROM job WHERE job_type = ? AND state = 'running' AND id > ?", JOB_TYPES[kind], before
        )
        return True

    def _newest_job(self) -> int:
        try:
            ((newest,),) = self.query("SELECT coalesce(max(id), 0) FROM job")
        except psycopg2.Error:
            return 0
        return int(newest)

    def _token(self) -> str:
        answer = requests.get(f"{self.url}/auth/token", timeout=30)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    # DAG runs

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, timeout: float = 300) -> Run:
        """Start a run, once the DAG has been read."""
        self.wait_until(
            lambda: bool(self.query("SELECT 1 FROM serialized_dag WHERE dag_id = ?", dag_id)), timeout, dag_id
        )
        answer = self._session.post(
            f"{self.url}/api/v2/dags/{dag_id}/dagRuns",
            json={"logical_date": None, "conf": dict(conf or {})},
            timeout=60,
        )
        if answer.status_code != 200:
            raise ClusterError(f"{dag_id} could not be started: {answer.text}")
        return Run(self, dag_id, answer.json()["dag_run_id"])

    def runs(self, dag_id: str) -> list[Run]:
        """Return all runs of a DAG, the oldest first."""
        rows = self.query("SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id", dag_id)
        return [Run(self, dag_id, run_id) for (run_id,) in rows]

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Query the metadata database."""
        with self._database.cursor() as cursor:
            cursor.execute(sql.replace("?", "%s"), parameters)
            return list(cursor.fetchall())

    # Accidents

    def component_of(self, pid: int) -> str:
        """Return the component that a process belongs to."""
        return next(name for name, program in self.programs.items() if program.owns(pid))

    def component_of_job(self, job_id: int) -> str:
        """Return the component with a row in the table of jobs."""
        return next(name for name, each in self._jobs.items() if each == job_id)

    def owns(self, pid: int) -> bool:
        """Return whether a process is alive and part of this Airflow."""
        try:
            is_alive = psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        return is_alive and any(program.owns(pid) for program in self.programs.values())

    def kill_process(self, pid: int) -> None:
        """SIGKILL one process of this Airflow."""
        if not self.owns(pid):
            raise ProcessLookupError(f"{pid} is not a process of this Airflow")
        os.kill(pid, signal.SIGKILL)
        self.wait_until(lambda: not self.owns(pid), 10, f"the end of process {pid}")

    def kill(self, component: str) -> None:
        """SIGKILL a component with all its processes, as if its machine had lost power."""
        self._stopped.add(component)
        self.programs[component].kill()
        with contextlib.suppress(FileNotFoundError):
            (self.home / f"{component}.pid").unlink()

    def pause(self, component: str) -> None:
        """Stop a component's processes, as a machine that hangs does."""
        self.programs[component].send_signal(signal.SIGSTOP)

    def resume(self, component: str) -> None:
        """Let a paused component go on."""
        self.programs[component].send_signal(signal.SIGCONT)

    def restart_redis(self) -> None:
        """Kill Redis, and start it with the messages that it kept."""
        self.redis.stop()
        time.sleep(2)
        self.redis.start()

    def repair(self) -> None:
        """Start what a failed test has left dead, and resume what it has left paused."""
        if not (self.redis.program and self.redis.program.is_running):
            self.redis.start()
        for component, program in list(self.programs.items()):
            if program.is_running:
                program.send_signal(signal.SIGCONT)
            elif component != "migration":
                self.start(component)

    # What was written

    def written(self) -> dict[str, bytes]:
        """Return the database as SQL, all Redis messages, and each file of logs and home."""
        skipped = {self.home / "postgres", self.home / "redis"}
        files = {
            str(path.relative_to(self.home)): path.read_bytes()
            for path in self.home.rglob("*")
            if not skipped.intersection(path.parents) and path.is_file()
        }
        return {"the database": self.postgres.dump(), "Redis": self.redis.messages(), **files}

    # Waiting

    def wait_until(self, done: Callable[[], bool], timeout: float, what: str, run: Run | None = None) -> None:
        """
        Wait for a condition.

        :raises ClusterError: It did not become true, or a component has ended.
        """
        deadline = time.monotonic() + timeout
        while not done():
            ended = [
                name
                for name, program in self.programs.items()
                if name not in self._stopped and not program.is_running
            ]
            if ended or time.monotonic() > deadline:
                reason = f"{', '.join(ended)} ended" if ended else f"{timeout} s were not enough"
                raise ClusterError(f"Waiting for {what}: {reason}.\n{self._state_of(run, ended)}")
            time.sleep(0.3)

    def _state_of(self, run: Run | None, ended: Sequence[str]) -> str:
        parts = [
            f"--- {name}\n{self.programs[name].tail()}" for name in ended or ("scheduler", "dag-processor")
        ]
        if run is not None:
            parts.append(f"{run.dag_id} is {run.state}; tasks: {run.states()}, tries: {run.tries()}")
            unfinished = [task for task, state in run.states().items() if state != "success"]
            parts += [f"--- {task}\n{run.log(task)[-3000:]}" for task in unfinished[:3]]
        return "\n".join(parts)
