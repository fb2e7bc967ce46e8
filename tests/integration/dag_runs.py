"""
Real DAG runs for tests: each is a whole `airflow dags test` in a process, database and folder of its own.

    run = run_dag("cytechbot_export_flow_answers", conf={"flow_campaign_id": "1"})
    assert run.states == {"export": "success", "count_answers": "success"}
    assert run.tasks["export"].result["rows"] == 24
    assert "Exported flow campaign 1" in run.log
    assert not run.find_text(api_key)

Starting Airflow takes ten seconds and more, most of it for imports and for its execution API. So one process,
the stem, does that once, and forks a child for each run, which takes one or two. The stem never opens the
database nor starts a thread, so a child is as good as a process started from a shell.

The stem is this same file, run as a script, hence no import of Airflow, nor of pytest, up here.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import os
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "example_dags"
#: Reads DAGs in YAML, which Airflow 3.4 and newer can, if they are configured to.
YAML_IMPORTER = "airflow.sdk.importers.yaml_importer.YamlDagImporter"
#: Seconds within which the stem is ready, and within which a run ends.
START_TIMEOUT = 180
RUN_TIMEOUT = 300


@dataclass(frozen=True)
class TaskRun:
    """What became of one task, or of one task of a mapped group."""

    state: str | None
    tries: int
    xcoms: dict[str, Any]
    #: The template fields, as the UI shows them.
    rendered: dict[str, Any]

    @property
    def result(self) -> Any:
        """What the task returned."""
        return self.xcoms.get("return_value")


@dataclass(frozen=True)
class DagRun:
    """
    The results of a DAG run.

    `tasks` goes by task id, that of a mapped task with its index: `export[0]`. `state` is None where there
    was no run, because the DAG could not be read for instance: `log` has the reason.
    """

    state: str | None
    tasks: dict[str, TaskRun]
    #: All that the command wrote. It masks no secret, other than a task log of a deployment.
    log: str
    exit_code: int
    #: The files that Airflow kept, its database before all, as bytes by name.
    files: dict[str, bytes] = field(repr=False)

    @property
    def states(self) -> dict[str, str | None]:
        """The states of the tasks."""
        return {name: task.state for name, task in self.tasks.items()}

    def find_text(self, secret: str) -> list[str]:
        """Return where the run left a secret, in whichever form it travels: `log`, or the name of a file."""
        assert len(secret) >= 4, "too short to be distinguished from other text"
        percent = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
        forms = {secret, json.dumps(secret)[1:-1], *percent, *(quote(form, safe="") for form in percent)}
        wanted = [form.encode().lower() for form in forms]
        log = self.log
        if version("apache-airflow").startswith("3.0."):
            # It shows there, unmasked, what its own processes send each other: even what is to be masked.
            log = re.sub(
                r"^.*\[debug +\] (Sending request|Received message from task runner) .*",
                "",
                log,
                flags=re.MULTILINE,
            )
        texts = {"log": log.encode(), **self.files}
        return [name for name, text in texts.items() if any(form in text.lower() for form in wanted)]


class DagRunner:
    """
    Runs DAGs, one after the other. A context manager; making one costs the wait for the stem.

    :param home: An empty folder, for Airflow.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._dags = home / "dags"
        self._database = home / "airflow.db"
        self._migrated = home / "migrated.db"
        self._log = home / "command.log"
        self._dags.mkdir(parents=True)
        outside = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        #: What makes an Airflow command one of this home.
        self.env = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DAG_PROCESSOR__DAG_IMPORTER_CONFIGS": json.dumps([{"classpath": YAML_IMPORTER}]),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._database}",
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        }
        with (home / "stem.log").open("wb") as log:
            self._stem = subprocess.Popen(
                [sys.executable, __file__],
                env=outside | self.env,
                cwd=home,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
            )

    def __enter__(self) -> DagRunner:
        try:
            self._hear(START_TIMEOUT)
            exit_code = self.airflow("db", "migrate")
            assert exit_code == 0, f"the database could not be made:\n{self._log.read_text()}"
            with closing(sqlite3.connect(self._database)) as connection:
                connection.execute("VACUUM INTO ?", [str(self._migrated)])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stem.stdin.close()
        try:
            self._stem.wait(5)
        except subprocess.TimeoutExpired:
            self._stem.kill()
            self._stem.wait()
        self._stem.stdout.close()

    def airflow(
        self, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = RUN_TIMEOUT
    ) -> int:
        """Run an Airflow command, with its output in the log, and return its exit code."""
        return self.command("airflow", *arguments, env=env, timeout=timeout)

    def command(
        self, *command: str, env: Mapping[str, str] | None = None, timeout: float = RUN_TIMEOUT
    ) -> int:
        """Run `airflow`, or `pytest` where Airflow is imported already, and return its exit code."""
        request = {"command": command, "env": dict(env or {}), "log": str(self._log)}
        self._stem.stdin.write(json.dumps(request).encode() + b"\n")
        child = self._hear(10)
        try:
            return self._hear(timeout)
        except TimeoutError:
            os.killpg(child, signal.SIGKILL)
            self._hear(10)
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            raise AssertionError(f"{' '.join(command)} took more than {timeout} s:\n{tail}") from None

    def run(
        self,
        dag: str | Path,
        *,
        dag_id: str | None = None,
        conf: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = RUN_TIMEOUT,
    ) -> DagRun:
        """
        Run a DAG in a new database and return what it left, whether it succeeded or failed.

        :param dag: The name of an example DAG in Python, or the path of a file.
        :param dag_id: The DAG's id, where it is not the file's name.
        :param conf: The run's conf.
        :param env: Environment variables of the run, such as connections.
        :param timeout: Seconds after which it is killed, and the test failed.
        """
        file = dag if isinstance(dag, Path) else EXAMPLES / f"{dag}.py"
        self.reset()
        shutil.copy(file, self._dags)
        arguments = ["dags", "test", dag_id or file.stem, "--conf", json.dumps(dict(conf or {}))]
        exit_code = self.airflow(*arguments, env=env, timeout=timeout)
        files = {str(path.relative_to(self.home)): path.read_bytes() for path in self._kept()}
        return DagRun(**_read(self._database), log=self.log, exit_code=exit_code, files=files)

    def reset(self) -> None:
        """Forget all that was run: a new database, no DAG files."""
        self._clear()
        shutil.copy(self._migrated, self._database)

    @property
    def log(self) -> str:
        """What the last command wrote."""
        return self._log.read_text(errors="replace")

    def _kept(self) -> list[Path]:
        """Return the files that a run may have left in the home."""
        own = {self._migrated, self._log, self.home / "stem.log", self.home / "airflow.cfg"}
        files = {path for path in self.home.rglob("*") if path.is_file() and self._dags not in path.parents}
        return sorted(files - own)

    def _clear(self) -> None:
        # The folder as a whole: compiled files would outlive the DAG file of the same name.
        shutil.rmtree(self._dags)
        self._dags.mkdir()
        for path in self._kept():
            path.unlink()

    def _hear(self, timeout: float) -> int:
        """Return the next number that the stem writes."""
        if not select.select([self._stem.stdout], [], [], timeout)[0]:
            raise TimeoutError
        line = self._stem.stdout.readline()
        assert line, f"Airflow did not start:\n{(self.home / 'stem.log').read_text(errors='replace')}"
        return int(line)


def _read(database: Path) -> dict[str, Any]:
    """Return state and tasks of the only run in a database."""
    with closing(sqlite3.connect(database)) as connection:

        def rows(columns: str, table: str) -> list[tuple[Any, ...]]:
            return connection.execute(f"SELECT {columns} FROM {table}").fetchall()

        index, xcom, rendered_fields = "map_index", "xcom", "rendered_task_instance_fields"
        if not rows("name", "sqlite_master WHERE name = 'xcom'"):  # Airflow 3.4 and newer
            of_task = "JOIN task_instance ON task_instance.id = task_instance_id"
            index, xcom, rendered_fields = "region_index", f"xcom_v2 {of_task}", f"rtif_v2 {of_task}"
        xcoms: dict[tuple[str, int], dict[str, Any]] = {}
        for task_id, map_index, key, value in rows(f"task_id, {index}, key, value", xcom):
            xcoms.setdefault((task_id, map_index), {})[key] = _xcom(value)
        rendered = {
            (task_id, map_index): json.loads(fields)
            for task_id, map_index, fields in rows(f"task_id, {index}, rendered_fields", rendered_fields)
        }
        tasks = {
            task_id if map_index < 0 else f"{task_id}[{map_index}]": TaskRun(
                state,
                tries,
                xcoms.get((task_id, map_index), {}),
                rendered.get((task_id, map_index), {}),
            )
            for task_id, map_index, state, tries in rows(
                f"task_id, {index}, state, try_number", f"task_instance ORDER BY start_date, {index}"
            )
        }
        state = connection.execute("SELECT state FROM dag_run").fetchone()
    return {"state": state and state[0], "tasks": tasks}


def _xcom(value: Any) -> Any:
    # SQLite makes a number of what looks like one to it.
    return json.loads(value) if isinstance(value, str | bytes) else value


# From here on: the stem.


def main() -> None:
    """Get Airflow ready; then fork for each request, and write the child's process id and its exit code."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    _warm_up()
    gc.freeze()  # or each child would look through all that Airflow is made of
    print(0, file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            answers.close()
            _run(request)
        print(child, file=answers)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers)
    os._exit(0)


def _warm_up() -> None:
    """Do what each run would do again: only what it saves is lost where another Airflow lacks any of this."""
    import importlib

    for module in (
        "airflow.__main__",
        "airflow.cli.commands.dag_command",
        "airflow.dag_processing.bundles.manager",
        "airflow.dag_processing.dagbag",
        "airflow.jobs.triggerer_job_runner",
        "airflow.providers.standard.decorators.python",
        "airflow.sdk.execution_time.task_runner",
        "alembic.command",
        "fastapi.testclient",
        "requests",
    ):
        try:
            importlib.import_module(module)
        except ImportError:
            traceback.print_exc()
    try:
        import httpx
        from airflow.sdk.execution_time.supervisor import in_process_api_server
    except ImportError:
        return

    async def send_first_request() -> None:
        # The first request is what makes the API build its routes. This leaves no thread behind.
        transport = in_process_api_server().atransport
        async with httpx.AsyncClient(transport=transport, base_url="http://in-process") as client:
            await client.get("/health")

    try:
        asyncio.run(send_first_request())
    except Exception:  # noqa: BLE001 - each run then makes them itself
        traceback.print_exc()


def _run(request: dict[str, Any]) -> NoReturn:
    """Become a command."""
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(request["env"])
    sys.argv = request["command"]
    exit_code = 1
    try:
        exit_code = int(_main_of(sys.argv[0])() or 0)
    except SystemExit as end:
        exit_code = end.code if isinstance(end.code, int) else int(bool(end.code))
        if isinstance(end.code, str):
            print(end.code)
    except BaseException:  # noqa: BLE001 - as the interpreter does at its end
        traceback.print_exc()
    threading._shutdown()  # ends pools of processes, such as OpenLineage's: the next line waits for them
    atexit._run_exitfuncs()  # closes the database, as at every end of Airflow
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)  # taking the interpreter apart would take as long as the run


def _main_of(program: str) -> Callable[[], int | None]:
    """Return the function that a command calls."""
    if program == "pytest":
        import pytest

        return pytest.main
    from airflow.__main__ import main as airflow

    return airflow


if __name__ == "__main__":
    main()
