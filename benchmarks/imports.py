"""
What importing this provider costs a DAG file, beside the providers for HTTP, Slack and Amazon.

    python benchmarks/imports.py

One process imports what every DAG file does, `airflow.sdk`, and then forks a child for each import that is
measured, so that each begins with just that. The modules take turns, and the quickest of their runs counts:
what another takes longer is the machine's doing. For the same reason it is CPU time. A busy machine still
adds to it.
All is installed into .venvs/benchmark the first time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venvs" / "benchmark"
AIRFLOW = "3.3.2"
RUNS = 15
#: The task is to stay below this, in milliseconds.
LIMIT = 30
#: The Amazon provider comes with the extra s3.
COMPARED = ("apache-airflow-providers-http", "apache-airflow-providers-slack==9.11.1", "slack-sdk==3.47.0")
PROVIDERS = {
    "http": (
        "airflow.providers.http.hooks.http",
        "airflow.providers.http.operators.http",
        "airflow.providers.http.sensors.http",
    ),
    "slack": (
        "airflow.providers.slack.hooks.slack",
        "airflow.providers.slack.operators.slack",
        "airflow.providers.slack.operators.slack_webhook",
    ),
    "amazon": (
        "airflow.providers.amazon.aws.hooks.s3",
        "airflow.providers.amazon.aws.operators.s3",
        "airflow.providers.amazon.aws.sensors.s3",
        "airflow.providers.amazon.aws.transfers.http_to_s3",
    ),
}


def main() -> int:
    """Measure in the benchmark's environment, made if it is missing."""
    python = ENVIRONMENT / "bin" / "python"
    if Path(sys.prefix) == ENVIRONMENT:
        return measure()
    if not (ENVIRONMENT / "made").exists():
        print("Installing Airflow and the providers to compare with (two minutes, the first time only)")
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        constraints = [ROOT / "constraints" / name for name in (f"airflow-{AIRFLOW}.txt", "test-tools.txt")]
        pip = [python, "-m", "pip", "install", "-qq"]
        for path in constraints:
            pip += ["-c", path]
        subprocess.run([*pip, "--upgrade", "pip"], check=True)
        subprocess.run([*pip, f"apache-airflow=={AIRFLOW}", f"{ROOT}[s3]", *COMPARED], check=True)
        (ENVIRONMENT / "made").touch()
    # This clone's modules, not those that were installed with it.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    own |= {"PYTHONPATH": str(ROOT), "AIRFLOW_HOME": str(ENVIRONMENT / "airflow")}
    return subprocess.run([python, __file__], env=own, check=False).returncode


def measure() -> int:
    """Print the table of import times; the exit code is 0 if all of this provider's are below the limit."""
    from tests.provider_modules import DAG_FILE_MODULES

    started = time.process_time()
    from airflow.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator, task  # noqa: F401

    base = 1000 * (time.process_time() - started)
    modules = [*DAG_FILE_MODULES, *(module for group in PROVIDERS.values() for module in group)]
    times: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(RUNS):
        for module in modules:
            times[module].append(import_time(module))
    quickest = {module: min(runs) for module, runs in times.items()}

    heaviest = max(quickest[module] for module in DAG_FILE_MODULES)
    print(f"airflow.sdk itself: {base:.0f} ms. On top of it, the quickest of {RUNS} runs:\n")
    print(f"{'ms':>7}  {'ratio':>5}  module")
    for module, milliseconds in quickest.items():
        print(f"{milliseconds:7.1f}  {milliseconds / heaviest:5.1f}  {module}")
    print("\nThe ratio is to the heaviest module of this provider.")
    return int(heaviest >= LIMIT)


def import_time(module: str) -> float:
    """Return what the import of a module takes in a process that has airflow.sdk, in CPU milliseconds."""
    reader, writer = os.pipe()
    if not os.fork():
        code = 1
        try:
            started = time.process_time()
            __import__(module)
            taken = 1000 * (time.process_time() - started)
            os.write(writer, str(taken).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.wait()
    if not text:
        raise SystemExit(f"{module} could not be imported; remove {ENVIRONMENT} and try again")
    return float(text)


if __name__ == "__main__":
    sys.exit(main())
