"""What is there when tests begin, and what is left when they are ended from outside."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("airflow.providers.celery", reason="make test-distributed runs this")

from . import needed_programs
from .needed_programs import MissingProgramError, find_program, why_not

ROOT = Path(__file__).parents[2]
PATIENCE = 120


@pytest.fixture
def folder():
    """A folder for temporary files that PostgreSQL's own user may enter, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="interrupted-"))
    folder.chmod(0o755)
    yield folder
    for process in processes_in(folder):
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def processes_in(folder):
    """Return the living processes with a folder in their command line, or as working directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            places = [process.cwd(), *process.cmdline()]
            if any(str(folder) in each for each in places) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "termination"])
def test_an_end_from_outside_stops_all_servers(folder, number):
    output = folder / "output"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/distributed"]
    with output.open("wb") as stream:
        tests = subprocess.Popen(
            [*command, "-k", "example_dags", f"--basetemp={folder}/pytest"],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(folder)},
            stdout=stream,
            stderr=stream,
        )
    deadline = time.monotonic() + PATIENCE
    while not [*folder.glob("*/logs/migration.log")]:
        assert tests.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)
    names = {process.name() for process in processes_in(folder)}
    assert {"postgres", "redis-server", "weed"} <= names
    tests.send_signal(number)
    assert tests.wait(PATIENCE) == pytest.ExitCode.INTERRUPTED
    assert processes_in(folder) == []
    assert [*folder.glob("distributed-airflow-*")] == []


@pytest.fixture
def bare(monkeypatch):
    """A machine without any of the programs."""
    monkeypatch.setattr(needed_programs, "PROGRAMS", dict.fromkeys(needed_programs.PROGRAMS, "/nowhere"))
    monkeypatch.setenv("PATH", "")


def test_missing_programs_are_named(bare):
    assert why_not() == (
        "The distributed tests need programs that are missing: initdb, postgres, pg_dumpall, redis-server. "
        "On Debian and Ubuntu: apt-get install postgresql redis-server"
    )
    with pytest.raises(MissingProgramError, match="The program redis-server is missing"):
        find_program("redis-server")


def test_nothing_is_missing_here():
    assert why_not() is None
