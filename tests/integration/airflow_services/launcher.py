"""The process that imports Airflow once and forks Airflow's components.

It never opens the database and starts no thread, so that a fork is as good as a new process.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .processes import end_session

IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
VERSIONS_SERVED = 3


class Launcher:
    """What runs in the process that imports Airflow once, and forks whatever needs it."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.components: dict[str, int] = {}
        self.exits: dict[int, int] = {}

    def serve(self) -> None:
        """Answer until the test has ended, in whatever way, and then leave no process behind."""
        from airflow.cli import cli_parser

        if not IS_AIRFLOW_2:
            self._import_components()
            self._serve_recent_clients_only()
        self.parser = cli_parser.get_parser()
        with self.channel.makefile("rw", encoding="utf-8") as lines:
            for line in lines:
                request = json.loads(line)
                try:
                    answer = getattr(self, "do_" + request.pop("do"))(**request)
                except Exception:  # noqa: BLE001 - the answer to the test
                    answer = {"error": traceback.format_exc()}
                lines.write(json.dumps(answer) + "\n")
                lines.flush()
        end_session(os.getsid(0))

    @staticmethod
    def _import_components() -> None:
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
        three two. The triggerer does the same when a trigger first reads a connection. (The newest alone
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

    def do_start(self, component: str, arguments: list[str], env: dict[str, str]) -> dict[str, Any]:
        """Start a component by its command line."""
        self._reap()
        if (running := self.components.get(component)) is not None and running not in self.exits:
            return {"error": f"the {component} is running"}

        def run() -> None:
            os.environ.update(env)
            self._command(arguments)

        self.components[component] = self._fork(run, Path("logs/components") / f"{component}.log")
        return {}

    def do_components(self) -> dict[str, Any]:
        """Which process each component is, and how it ended if it has."""
        self._reap()
        return {
            "components": {
                component: {"pid": pid, "exit": self.exits.get(pid)}
                for component, pid in self.components.items()
            }
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
            except Exception:  # noqa: BLE001 - the answer to the test
                answer = {"error": traceback.format_exc()}
            os.write(writer, json.dumps(answer).encode())

        self._fork(run, Path("logs/components/launcher.log"))
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


def main() -> None:
    """Serve the test at the other end of the socket whose descriptor is the first argument."""
    Launcher(socket.socket(fileno=int(sys.argv[1]))).serve()
