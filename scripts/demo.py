"""`make demo`: a real Airflow DAG run exports a campaign's answers from a sandbox into files on this disk.

It starts the sandbox on a free port, gives Airflow a home of its own inside this clone, runs the example DAG
with `airflow dags test`, shows what was written, and stops what it started.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".airflow" / "demo"
EXPORTS = HOME / "exports"
AIRFLOW = Path(sys.executable).with_name("airflow")
DAG_ID = "cytechbot_export_flow_answers"
#: The generated campaign of the sandbox, and how many subscribers answered it.
CAMPAIGN, SUBSCRIBERS = "100", 10_000
ROWS_SHOWN = 5


class StepFailedError(Exception):
    """A step of the demo did not work; the message includes what to do."""


def main() -> int:
    """Run the demo and return its exit code."""
    started = time.monotonic()
    try:
        HOME.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(EXPORTS, ignore_errors=True)
        with sandbox() as api:
            report(f"A CyTechBot API with {SUBSCRIBERS:,} subscribers' answers is running at {api['url']}")
            environment = airflow_environment(api)
            prepare_airflow(environment)
            run_dag(environment)
        show_result()
    except StepFailedError as error:
        print(f"\nmake demo stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nmake demo stopped, and the sandbox with it.", file=sys.stderr)
        return 130
    report(f"Done in {time.monotonic() - started:.0f} s; the sandbox is stopped.")
    print(f"    The DAG:   {relative(ROOT / 'example_dags' / f'{DAG_ID}.py')}")
    print(f"    Its log:   {relative(HOME / 'dags-test.log')}")
    return 0


@contextlib.contextmanager
def sandbox() -> Iterator[dict[str, str]]:
    """Start the sandbox on a free port, and stop it whatever happens."""
    ready, log = HOME / "sandbox.json", HOME / "sandbox.log"
    ready.unlink(missing_ok=True)
    options = ["--port", "0", "--subscribers", str(SUBSCRIBERS), "--ready-file", str(ready)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_cytechbot.sandbox", *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise StepFailedError(
                        f"the sandbox did not start. Its output is in {relative(log)}; "
                        "if they name a missing module, run make clean and make demo again."
                    )
                time.sleep(0.05)
            yield json.loads(ready.read_text())
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def airflow_environment(api: dict[str, str]) -> dict[str, str]:
    """Return the environment of an Airflow that has the example DAGs and the sandbox, and nothing else."""
    connection = {"conn_type": "cytechbot", "host": api["url"], "password": api["api_key"]}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME / 'airflow.db'}",
        "AIRFLOW_CONN_CYTECHBOT_DEFAULT": json.dumps(connection),
        "PYTHONWARNINGS": "ignore",
    }


def prepare_airflow(environment: dict[str, str]) -> None:
    """Make Airflow's database, where this clone has none yet, or one of another Airflow."""
    made = HOME / f"airflow.db.made-{version('apache-airflow')}"
    if made.exists():
        return
    report("Preparing a database for Airflow (SQLite, the first time only)")
    run("airflow-db.log", environment, "db", "migrate")
    made.touch()


def run_dag(environment: dict[str, str]) -> None:
    """Run the example DAG as `airflow dags test` does, and show the lines that the export logged."""
    conf = {"flow_campaign_id": CAMPAIGN, "folder": f"file://{EXPORTS}"}
    report(f"Running the DAG {DAG_ID}: airflow dags test {DAG_ID} --conf '{json.dumps(conf)}'")
    log = run("dags-test.log", environment, "dags", "test", DAG_ID, "--conf", json.dumps(conf))
    for line in log.read_text().splitlines():
        if "CyTechBotFlowAnswersToObjectStorageOperator]" in line:
            print(f"    {line.split(']', 1)[1].split(' [airflow.task')[0].strip()}")


def run(log_name: str, environment: dict[str, str], *arguments: str) -> Path:
    """Run an Airflow command with its output in a log file, of which the end is shown if it fails."""
    log = HOME / log_name
    with log.open("w") as output:
        done = subprocess.run(
            [str(AIRFLOW), *arguments],
            env=environment,
            cwd=HOME,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        print("\n".join(log.read_text().splitlines()[-15:]), file=sys.stderr)
        raise StepFailedError(
            f"airflow {' '.join(arguments[:2])} failed. The whole log is {relative(log)}. "
            "If Airflow itself is at fault, remove .airflow and run make demo again."
        )
    return log


def show_result() -> None:
    """Show the files written, some rows, and the manifest that the task handed on."""
    files = sorted(path for path in EXPORTS.rglob("*") if path.is_file())
    if not files:
        raise StepFailedError(f"the DAG wrote no file. Its log is {relative(HOME / 'dags-test.log')}.")
    report("Written:")
    for path in files:
        print(f"    {relative(path)}  ({path.stat().st_size:,} bytes)")
    report(f"The first {ROWS_SHOWN} rows:")
    with gzip.open(files[0], "rt", encoding="utf-8") as lines:
        for line in islice(lines, ROWS_SHOWN):
            print(f"    {line.rstrip()}")
    report("The manifest, which the export task handed on as its XCom:")
    print("    " + json.dumps(manifest(), indent=2).replace("\n", "\n    "))


def manifest() -> dict[str, object]:
    """Return the newest return value of the export task, as Airflow's database holds it."""
    with contextlib.closing(sqlite3.connect(HOME / "airflow.db")) as database:
        row = database.execute(
            "SELECT value FROM xcom WHERE dag_id = ? AND task_id = 'export' AND key = 'return_value'"
            " ORDER BY timestamp DESC",
            [DAG_ID],
        ).fetchone()
    if row is None:
        raise StepFailedError(
            f"the export handed on no manifest. Its log is {relative(HOME / 'dags-test.log')}."
        )
    value = json.loads(row[0])
    return json.loads(value) if isinstance(value, str) else value


def report(text: str) -> None:
    """Print the headline of a step."""
    print(f"\n==> {text}", flush=True)


def relative(path: Path) -> Path:
    """Return a path as one would type it in this clone."""
    return path.relative_to(ROOT)


if __name__ == "__main__":
    sys.exit(main())
