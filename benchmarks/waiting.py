"""What 1,000 deferred sensors on one campaign cost server and triggerer, beside the deferrable HttpSensor.

    python benchmarks/waiting.py    (needs apache-airflow-providers-http too; takes some six minutes)

A real triggerer runs the 1,000 triggers against a sandbox in a process of its own, first those of
CyTechBotFlowCampaignSensor, then those of the HTTP provider's HttpSensor. The tasks are deferred by writing
to Airflow's database what a worker would have written: 1,000 workers would take an hour and are not what is
measured. HttpSensor, deferred, distinguishes 404 from any other status and nothing else; so the server
answers it with the same body and the status 404.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tests.integration.airflow_services import AirflowServices  # noqa: E402

if TYPE_CHECKING:
    import psutil

ENDPOINT = "get_all_subscriber_flow_info"
INTERVAL = 30.0
SENSORS = 1000


def main() -> None:
    """Measure both, and print figures and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000, help="how many have answered (default 1000)")
    parser.add_argument("--seconds", type=float, default=120, help="how long to measure (default 120)")
    parser.add_argument("--defer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.defer:
        defer(json.loads(options.defer))
        return
    figures = {}
    for kind in ("cytechbot", "http"):
        figures[kind] = measure(kind, options.subscribers, options.seconds)
        print(kind, figures[kind], flush=True)
    print(f"\n{SENSORS} deferred sensors on one campaign of {options.subscribers:,} subscribers,")
    print(f"poke_interval {INTERVAL:g} s, over {options.seconds:g} s\n")
    print(f"{'':34}{'CyTechBot':>12}{'HttpSensor':>12}{'ratio':>9}")
    for name in figures["cytechbot"]:
        ours, theirs = figures["cytechbot"][name], figures["http"][name]
        ratio = f"{theirs / ours:9.1f}" if ours else f"{'-':>9}"
        print(f"{name:34}{ours:12.1f}{theirs:12.1f}{ratio}")


def measure(kind: str, subscribers: int, seconds: float) -> dict[str, float]:
    """Return what one kind of sensor costs."""
    with tempfile.TemporaryDirectory() as folder, sandbox(Path(folder), subscribers) as api:
        url = api["url"].removesuffix("/api")
        env = {
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT": json.dumps(
                {"conn_type": "cytechbot", "host": api["url"], "password": api["api_key"]}
            ),
            "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": url}),
            "AIRFLOW__CORE__MAX_MAP_LENGTH": str(SENSORS),
        }
        query = f"api_key={quote(api['api_key'])}&flow_campaign_id=100"
        with AirflowServices(ROOT / "benchmarks" / "dags", env=env, components=PREPARING) as airflow:
            run = airflow.trigger("waiting", timeout=60)
            airflow.wait_until(lambda: scheduled(airflow) == SENSORS, 120, "the tasks", run)
            for component in PREPARING:
                airflow.kill(component)
            if kind == "http":
                with urllib.request.urlopen(f"{api['url']}/{ENDPOINT}/?{query}") as answer:
                    body = answer.read().decode()
                fault = {"kind": "body", "endpoint": ENDPOINT, "times": -1, "status": 404, "body": body}
                get_json(f"{url}/_sandbox/faults", json.dumps(fault).encode())
            order = json.dumps({"kind": kind, "endpoint": f"api/{ENDPOINT}/?{query}"})
            subprocess.run(
                [sys.executable, __file__, "--defer", order],
                env={**os.environ, **env, "AIRFLOW_HOME": str(airflow.home)},
                check=True,
            )
            airflow.start("triggerer")
            airflow.wait_until(lambda: started(airflow) >= SENSORS, 120, "the triggers")
            time.sleep(INTERVAL + 10)  # the first polls after a start come sooner than later ones
            processes = family(airflow)
            before, requests = cpu(processes), received(url)
            rss, end = 0.0, time.monotonic() + seconds
            while (rest := end - time.monotonic()) > 0:
                rss = max(rss, sum(each.memory_info().rss for each in processes) / 2**20)
                time.sleep(min(1, rest))
            return {
                "requests to the server": received(url) - requests,
                "CPU seconds of the triggerer": cpu(processes) - before,
                "memory of the triggerer, MiB": rss,
            }


PREPARING = ("api-server", "scheduler", "dag-processor")


@contextmanager
def sandbox(folder: Path, subscribers: int):
    """Run a sandbox in a process of its own."""
    ready = folder / "sandbox.json"
    command = [sys.executable, "-m", "airflow_provider_cytechbot.sandbox", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--subscribers", str(subscribers), "--ready-file", str(ready)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.1)
        yield json.loads(ready.read_text())
    finally:
        process.terminate()
        process.wait()


def get_json(url: str, data: bytes | None = None) -> dict:
    """Send a request to the sandbox's own endpoints."""
    with urllib.request.urlopen(url, data) as answer:
        return json.load(answer)


def received(url: str) -> int:
    """Return how many requests the server has counted."""
    counts = get_json(f"{url}/_sandbox/requests?endpoint=none")["counts"]
    return sum(each["received"] for each in counts.values())


def scheduled(airflow: AirflowServices) -> int:
    """Return how many tasks are there."""
    return airflow.query("SELECT count(*) FROM task_instance WHERE map_index >= 0 AND state = 'scheduled'")[
        0
    ][0]


def started(airflow: AirflowServices) -> int:
    """Return how many triggers the triggerer has begun to run."""
    logs = (airflow.home / "logs" / "dag_id=waiting").rglob("*.log.trigger.*")
    return sum(1 for _ in logs)


def family(airflow: AirflowServices) -> list[psutil.Process]:
    """Return the triggerer's processes: all but the one that started it."""
    started_it = min(airflow.processes(), key=lambda process: process.create_time())
    return [process for process in airflow.processes() if process != started_it]


def cpu(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds that processes have used."""
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def defer(order: dict) -> None:
    """Write to the database what 1,000 workers would have: their tasks deferred, each with a trigger."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    if order["kind"] == "http":
        from airflow.providers.http.triggers.http import HttpSensorTrigger

        trigger = HttpSensorTrigger(endpoint=order["endpoint"], poke_interval=INTERVAL)
    else:
        from airflow_provider_cytechbot.triggers.flow_answers import CyTechBotFlowCampaignTrigger

        trigger = CyTechBotFlowCampaignTrigger(
            min_subscribers=10**9,
            cytechbot_conn_id="cytechbot_default",
            flow_campaign_id="100",
            complete=True,
            poke_interval=INTERVAL,
            started_at=time.time(),
            timeout=86_400,
        )
    with create_session() as session:
        for task in session.scalars(select(TaskInstance).where(TaskInstance.map_index >= 0)):
            row = Trigger.from_object(trigger)
            session.add(row)
            session.flush()
            task.trigger_id, task.state = row.id, TaskInstanceState.DEFERRED
            task.try_number = 1


if __name__ == "__main__":
    main()
