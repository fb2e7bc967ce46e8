"""
What Celery workers and triggerers take, and how many requests a second all slots together send.

    make .venvs/distributed/.made
    .venvs/distributed/bin/python benchmarks/distributed.py    (takes five minutes)

Runs the Airflow of the distributed tests, which needs PostgreSQL and Redis: two workers with three slots each
and two triggerers. Memory is the proportional set size of a component with all its processes.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402

from airflow_provider_cytechbot.sandbox.seed import built_in_seed  # noqa: E402
from airflow_provider_cytechbot.sandbox.server import SandboxServer  # noqa: E402
from tests.distributed.cluster import TRIGGERERS, WORKERS, Cluster  # noqa: E402
from tests.integration.airflow_services.processes import session_members  # noqa: E402

if TYPE_CHECKING:
    from tests.integration.airflow_services.runs import Run

EXPORTED_SUBSCRIBERS = 200_000
RATE = 5
SECONDS = 20


def main() -> None:
    """Measure all, and print the figures."""
    with running_server() as api, running_airflow(api) as airflow:
        for dag_id in ("memory_of_exports", "memory_of_waits", "rate_of_writes"):
            airflow.wait_until(lambda dag_id=dag_id: is_there(airflow, dag_id), 120, dag_id)
        time.sleep(10)  # until the starts are over
        for component in (WORKERS[0], TRIGGERERS[0]):
            print(f"{component}, idle: {memory(airflow, component):.0f} MiB", flush=True)
        print(f"{WORKERS[0]}, exports in each slot: {highest_of_exports(airflow):.0f} MiB", flush=True)
        print(f"{TRIGGERERS[0]}, 60 waits on both: {memory_of_waits(airflow):.0f} MiB", flush=True)
        print(f"{RATE} requests a second in six slots: {rate(airflow, api):.1f} a second were sent")


@contextmanager
def running_server() -> Iterator[SandboxServer]:
    """Serve a large campaign, and enough subscribers to label."""
    seed = built_in_seed()
    model = seed["subscribers"][0] | {"page_id": seed["pages"][0]["page_id"], "label_ids": []}
    seed["subscribers"] = [
        *seed["subscribers"],
        *(model | {"subscriber_id": f"2499454673500{number:04d}"} for number in range(6_000)),
    ]
    with SandboxServer(data=seed, subscribers=EXPORTED_SUBSCRIBERS) as server:
        yield server


@contextmanager
def running_airflow(api: SandboxServer) -> Iterator[Cluster]:
    """Start the distributed Airflow, in a folder that PostgreSQL's own user may enter."""
    with tempfile.TemporaryDirectory(prefix="distributed-airflow-") as name:
        home = Path(name)
        home.chmod(0o755)
        (home / "dags").mkdir()
        shutil.copy(ROOT / "benchmarks" / "dags" / "distributed.py", home / "dags")
        env = {
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT": api.connection_json(),
            "AIRFLOW_CONN_CYTECHBOT_LIMITED": api.connection_json(requests_per_second=RATE),
        }
        with Cluster(home / "dags", home, env) as cluster:
            yield cluster


def is_there(airflow: Cluster, dag_id: str) -> bool:
    """Return whether a DAG has been read."""
    return bool(airflow.query("SELECT 1 FROM serialized_dag WHERE dag_id = ?", dag_id))


def memory(airflow: Cluster, component: str) -> float:
    """Return the MiB of all processes of a component."""
    total = 0
    for pid in session_members(airflow.programs[component].process.pid):
        try:
            total += psutil.Process(pid).memory_full_info().pss
        except psutil.Error:  # it has just ended
            continue
    return total / 2**20


def running(run: Run) -> int:
    """Return how many tasks of a run are running."""
    return sum(state == "running" for state in run.states().values())


def highest_of_exports(airflow: Cluster) -> float:
    """Return the most that a worker takes while all its slots export."""
    run = airflow.trigger("memory_of_exports", {"folder": (airflow.home / "exports").as_uri()})
    highest = 0.0
    while run.state not in ("success", "failed"):
        highest = max(highest, memory(airflow, WORKERS[0]))
        time.sleep(0.3)
    assert run.state == "success"
    return highest


def memory_of_waits(airflow: Cluster) -> float:
    """Return what a triggerer takes with its share of the deferred waits."""
    run = airflow.trigger("memory_of_waits")
    airflow.wait_until(
        lambda: sum(state == "deferred" for state in run.states().values()) == 60, 600, "60 waits", run
    )
    time.sleep(20)
    return memory(airflow, TRIGGERERS[0])


def rate(airflow: Cluster, api: SandboxServer) -> float:
    """Return how many writes a second reach the server while all slots write."""
    run = airflow.trigger("rate_of_writes", {"label_id": next(iter(api.state.labels))})
    airflow.wait_until(lambda: running(run) == 6, 120, "six running tasks", run)
    before, started = api.journal.received("assign_label"), time.monotonic()
    time.sleep(SECONDS)
    assert running(run) == 6, run.states()
    return (api.journal.received("assign_label") - before) / (time.monotonic() - started)


if __name__ == "__main__":
    main()
