"""PostgreSQL, Redis and other programs of a test, each in a session of its own on a free loopback port."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import redis

from tests.integration.airflow_services.processes import end_session, session_members
from tests.integration.airflow_services.services import free_port

from .needed_programs import POSTGRES_USER, find_program

START_SECONDS = 60


@dataclass
class Program:
    """
    A running program with all its children.

    :param name: Its name in messages.
    :param process: The process, the leader of its session.
    :param log: The file with its output.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> Program:
        """Start a program, which adds its output to the log."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if env is None else dict(env),
                cwd=cwd,
                user=user,
                start_new_session=True,
            )
        return cls(name, process, log)

    @property
    def is_running(self) -> bool:
        """Whether its first process lives."""
        return self.process.poll() is None

    def owns(self, pid: int) -> bool:
        """Return whether a process belongs to it."""
        with contextlib.suppress(ProcessLookupError):
            return os.getsid(pid) == self.process.pid
        return False

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to each of its processes."""
        for pid in session_members(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL all its processes. Until the first is waited for, the session's id stays reserved."""
        end_session(self.process.pid)
        self.process.wait()

    def output(self) -> str:
        """Return all of its output."""
        return self.log.read_text(errors="replace")

    def tail(self, lines: int = 25) -> str:
        """Return the end of its output."""
        return "\n".join(self.output().splitlines()[-lines:])


def wait_for_start(program: Program, is_up: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """
    Wait until a program serves.

    :param is_up: Returns whether it serves; an error counts as no.
    :raises RuntimeError: It ended, or the time was over; the message has the end of its output.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(Exception):
            if is_up():
                return
        if not program.is_running or time.monotonic() > deadline:
            raise RuntimeError(f"{program.name} did not start within {seconds} s:\n{program.tail()}")
        time.sleep(0.1)


class Postgres:
    """
    A PostgreSQL server with an empty database.

    :param folder: A new folder, to which its user has access.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "postgres.log"
        self.user = POSTGRES_USER if os.geteuid() == 0 else None
        self._initdb = find_program("initdb")
        self._postgres = find_program("postgres")
        self._dump = find_program("pg_dumpall")
        self.program: Program | None = None

    @property
    def url(self) -> str:
        """The database's URL, without a scheme."""
        return f"airflow@127.0.0.1:{self.port}/airflow"

    def start(self) -> None:
        """Make the database, and start the server."""
        data = self.folder / "postgres"
        data.mkdir(mode=0o700)
        if self.user:
            shutil.chown(data, self.user)
        options = ["-D", str(data), "-U", "airflow", "--auth=trust", "--encoding=UTF8", "--no-sync"]
        done = subprocess.run(
            [self._initdb, *options], user=self.user, cwd="/", capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stderr}")
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",
            "log_statement": "mod",  # the log then has all that was ever written
        }
        command = [self._postgres, "-D", str(data), "-p", str(self.port)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.program = Program.start("PostgreSQL", command, log=self.log, cwd=Path("/"), user=self.user)
        wait_for_start(self.program, self._make_database)

    def connect(self, database: str = "airflow") -> psycopg2.extensions.connection:
        """Open a connection that commits each statement."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user="airflow", dbname=database, connect_timeout=5
        )
        connection.autocommit = True
        return connection

    def dump(self) -> bytes:
        """Return all databases as SQL."""
        command = [self._dump, "-h", "127.0.0.1", "-p", str(self.port), "-U", "airflow"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def stop(self) -> None:
        """End the server. SIGINT first, so that it removes its shared memory."""
        if self.program:
            self.program.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.program.process.wait(10)
            self.program.kill()

    def _make_database(self) -> bool:
        connection = self.connect("postgres")
        try:
            connection.cursor().execute("CREATE DATABASE airflow")
        finally:
            connection.close()
        return True


class Redis:
    """
    A Redis server that keeps each message in its append-only file, as a deployment's does.

    :param folder: A new folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "redis.log"
        self._server = find_program("redis-server")
        self.program: Program | None = None

    @property
    def url(self) -> str:
        """The broker's URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server, with the messages that it kept."""
        data = self.folder / "redis"
        data.mkdir(exist_ok=True)
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": data,
            "save": "",
            "appendonly": "yes",
            "auto-aof-rewrite-percentage": 0,  # the file then has every message since the start
        }
        command = [
            self._server,
            *(part for name, value in options.items() for part in (f"--{name}", str(value))),
        ]
        self.program = Program.start("Redis", command, log=self.log)
        with self.connect() as client:
            wait_for_start(self.program, client.ping)

    def connect(self) -> redis.Redis:
        """Open a connection."""
        return redis.Redis(host="127.0.0.1", port=self.port)

    def stop(self) -> None:
        """End the server."""
        if self.program:
            self.program.kill()

    def messages(self) -> bytes:
        """Return all that was sent to the server."""
        return b"".join(path.read_bytes() for path in sorted((self.folder / "redis").rglob("*.aof")))
