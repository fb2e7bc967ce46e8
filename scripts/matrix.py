"""`make test-matrix`: the unit tests and real DAG runs on each Airflow that is supported, side by side.

Each version gets an environment of its own in .venvs, installed from what constraints/ pins for it. The unit
tests run there, then the example DAGs against the sandbox, as whole Airflow DAG runs. The newest pre-release
is tried as well, unpinned, and may fail. What the commands print goes to .venvs/VERSION.log.

    make test-matrix VERSIONS="2.11.2 3.3.2"
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from junit_reports import count, in_words

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venvs"
TEST_TOOLS = ROOT / "constraints" / "test-tools.txt"
#: The Pythons to run a version with, the best first: from the oldest to the newest that are supported, over
#: the whole table. Airflow has no Python 3.13 before 3.1.
PYTHONS = {
    "2.11.2": ("3.11", "3.12"),
    "3.0.6": ("3.12", "3.11"),
    "3.1.8": ("3.13", "3.12", "3.11"),
    "3.2.2": ("3.12", "3.13", "3.11"),
    "3.3.2": ("3.13", "3.12", "3.11"),
    "3.4.0b2": ("3.13", "3.12", "3.11"),
}
#: Stands for the newest pre-release that the package index has, if it is newer than those above.
PRE_RELEASE = "pre"
PYTHONS_OF_PRE_RELEASE = ("3.14", "3.13", "3.12", "3.11")
AT_A_TIME = 2
#: What runs on each: the unit tests; whole DAG runs, of the examples and of sensors that have to be deferred.
UNIT_TESTS = ("tests/unit",)
DAG_RUNS = ("tests/integration/test_example_dags.py", "tests/integration/sensors")
#: pip's own settings and what pytest and Airflow read belong to the caller, not to the tests.
FOREIGN = ("AIRFLOW", "COV_", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PYTEST_", "PYTHON", "VIRTUAL_ENV")
LINES_OF_A_TAIL = 25


class StepFailedError(Exception):
    """A step did not work; the message includes what to do."""


@dataclass
class Row:
    """What is known of one version: a row of the table."""

    name: str
    version: str = ""
    python: str = "-"
    unit_tests: str = "-"
    dag_runs: str = "-"
    seconds: float = 0
    problems: list[str] = field(default_factory=list)
    may_fail: bool = False

    @property
    def log(self) -> Path:
        """Where all is written that the commands print."""
        return ENVIRONMENTS / f"{self.name}.log"


def main(versions: list[str]) -> int:
    """Try the versions, print the table and return the exit code."""
    unknown = [each for each in versions if each not in (*PYTHONS, PRE_RELEASE)]
    if unknown:
        print(
            f"No version {', '.join(unknown)} in the matrix: {', '.join((*PYTHONS, PRE_RELEASE))}",
            file=sys.stderr,
        )
        return 2
    ENVIRONMENTS.mkdir(exist_ok=True)
    rows = [
        Row(each, version=each, may_fail=each == PRE_RELEASE) for each in versions or (*PYTHONS, PRE_RELEASE)
    ]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        try:
            list(pool.map(try_version, rows))
        except KeyboardInterrupt:
            # The terminal has interrupted the commands as well.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for row in rows:
        for problem in row.problems:
            print(f"\n==> {row.version}: {problem}")
    print_table(rows)
    return int(any(row.problems and not row.may_fail for row in rows))


def try_version(row: Row) -> None:
    """Fill in the row of a version, whatever happens."""
    started = time.monotonic()
    row.log.write_text("")
    try:
        python = environment(row)
        row.unit_tests = test(row, python, "unit", *UNIT_TESTS)
        row.dag_runs = test(row, python, "dag-runs", *DAG_RUNS)
    except StepFailedError as error:
        row.problems.append(str(error))
    row.seconds = time.monotonic() - started
    print_state(row, "failed" if row.problems else "passed")


def environment(row: Row) -> Path:
    """Make the environment, if it is not there as it should be, and return its Python."""
    if row.version == PRE_RELEASE:
        row.version = newest_pre_release(row)
        constraints, pythons = [TEST_TOOLS], PYTHONS_OF_PRE_RELEASE
    else:
        constraints, pythons = constraints_of(row.version), PYTHONS[row.version]
    command, row.python = find_python(pythons)
    home = ENVIRONMENTS / row.version
    python = home / "bin" / "python"
    made_from = fingerprint(row.python, constraints)
    stamp = home / "made-from"
    if stamp.exists() and stamp.read_text() == made_from:
        return python
    print_state(row, f"installing on Python {row.python}")
    shutil.rmtree(home, ignore_errors=True)
    run(row, command, "-m", "venv", str(home))
    pip = [str(python), "-m", "pip", "install", "--no-input", "--no-compile", "--no-build-isolation", "-qq"]
    for path in constraints:
        pip += ["-c", str(path)]
    # What builds packages comes first, for without isolation they are built with what is there.
    run(row, *pip, "--upgrade", "pip")
    run(row, *pip, "--upgrade", "editables", "hatchling", "setuptools", "wheel")
    run(row, *pip, f"apache-airflow=={row.version}", "-e", ".[test-matrix]")
    run(row, str(python), "-m", "pip", "check")
    if not row.may_fail:
        require_pins(row, python, constraints)
    stamp.write_text(made_from)
    return python


def constraints_of(version: str) -> list[Path]:
    """Return the files that pin what a version of Airflow is tested with."""
    return [ROOT / "constraints" / f"airflow-{version}.txt", TEST_TOOLS]


def fingerprint(python: str, constraints: list[Path]) -> str:
    """Return what an environment is made from, as short text that changes with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [project["dependencies"], project["optional-dependencies"], python]
    pins = [path.read_text() for path in constraints]
    return hashlib.sha256(json.dumps([wanted, pins]).encode()).hexdigest()


def newest_pre_release(row: Row) -> str:
    """Return the newest version of Airflow on the package index, if it is a pre-release without a row."""
    answer = run(row, sys.executable, "-m", "pip", "index", "versions", "--pre", "apache-airflow")
    found = re.search(r"apache-airflow \((\S+)\)", answer)
    if not found or found[1] in PYTHONS or not re.search(r"[a-z]", found[1]):
        raise StepFailedError("there is no pre-release that is newer than what is pinned.")
    return found[1]


def find_python(versions: tuple[str, ...]) -> tuple[str, str]:
    """Return the command and the full version of the first Python of these that is there."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in versions:
        # A command on PATH may be a leftover of a version manager that only prints "not installed".
        for command in (f"python{version}", *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))):
            program = "import ensurepip, platform, sqlite3, ssl, venv; print(platform.python_version())"
            try:
                done = subprocess.run([command, "-c", program], capture_output=True, text=True, check=False)
            except OSError:
                continue
            if done.returncode == 0 and done.stdout.startswith(f"{version}."):
                return command, done.stdout.strip()
    raise StepFailedError(f"it needs Python {' or '.join(versions)}, on PATH or from pyenv; none is there.")


def require_pins(row: Row, python: Path, constraints: list[Path]) -> None:
    """Fail where something was installed of which no version is pinned: it would change from day to day."""
    pinned = {
        normal(line.partition("==")[0])
        for path in constraints
        for line in path.read_text().splitlines()
        if "==" in line
    }
    known = pinned | {"airflow-provider-cytechbot"}
    installed = json.loads(run(row, str(python), "-m", "pip", "list", "--format", "json"))
    missing = sorted(
        f"{each['name']}=={each['version']}" for each in installed if normal(each["name"]) not in known
    )
    if missing:
        raise StepFailedError(f"not pinned in constraints: {' '.join(missing)}")


def normal(name: str) -> str:
    """Return a distribution's name in the one spelling that counts."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test(row: Row, python: Path, kind: str, *tests: str) -> str:
    """Run some of the tests and return what came of them, in the words of the table."""
    print_state(row, f"running {' '.join(tests)}")
    report = ENVIRONMENTS / f"{row.name}-{kind}.xml"
    report.unlink(missing_ok=True)
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    try:
        run(row, str(python), "-m", "pytest", *options)
    except StepFailedError as error:
        row.problems.append(f"{' '.join(tests)}: {error}")
    return in_words(count(report)) if report.exists() else "none ran"


def run(row: Row, *command: str) -> str:
    """Run a command, add what it prints to the version's log, and return it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    own |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONNOUSERSITE": "1"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    with row.log.open("a") as log:
        log.write(f"$ {' '.join(command)}\n{done.stdout}\n")
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-LINES_OF_A_TAIL:])
        raise StepFailedError(
            f"a command failed; {row.log.relative_to(ROOT)} has all of its output; this is the end:\n{tail}"
        )
    return done.stdout


def print_state(row: Row, text: str) -> None:
    """Print the state of a version."""
    print(f"{row.version}: {text}", flush=True)


def print_table(rows: list[Row]) -> None:
    """Print what came of each version."""
    table = [("Airflow", "Python", "unit tests", "DAG runs", "seconds", "")]
    for row in rows:
        verdict = "ok" if not row.problems else "failed, as it may" if row.may_fail else "FAILED"
        table.append((row.version, row.python, row.unit_tests, row.dag_runs, f"{row.seconds:.0f}", verdict))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print()
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
