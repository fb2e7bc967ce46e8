"""
Tag many subscribers: this provider's operator beside scripts and mapped tasks that do the same.

    python benchmarks/bulk_labels.py [--delays 0.05 0.2] [--rows 2000] [--mapped 24] [--instant-rows 100000]
                                     [--state-rows 1000000]

Zero for a number leaves that part out. The server runs in a process of its own, and so does each measurement.
Times of loops and of mapped tasks, which send fewer rows, are scaled up; mapped tasks run under a real
scheduler with eight processes (needs apache-airflow-providers-http too). Processor and memory of the operator
are those of the whole process less the import of Airflow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from write_server import WriteServer, running_server

ROOT = Path(__file__).resolve().parent.parent
CONCURRENCY = 8
FIRST_ID = 24994546734900000


def _connection(url: str) -> str:
    return json.dumps({"conn_type": "cytechbot", "host": url, "password": "1-key"})


# What is measured, each in a process of its own.


def _operator(url: str, **fields: Any) -> Callable[[], Any]:
    from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator

    os.environ["AIRFLOW_CONN_CYTECHBOT_DEFAULT"] = _connection(url)
    task = CyTechBotAssignLabelsOperator(task_id="t", page_id="9", label_ids="5", **fields)
    return lambda: task.execute({})


def _operator_of_list(url: str, rows: int) -> Callable[[], Any]:
    return _operator(url, rows=_ids(rows))


def _operator_that_did_it_before(url: str, **fields: Any) -> Callable[[], Any]:
    """Write the state of a run, without sending anything: the calls are not what is measured."""
    from airflow_provider_cytechbot.api.records import WriteOutcome
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook

    async def call(*_: Any, **__: Any) -> WriteOutcome:
        return WriteOutcome(changed=True, message=None)

    CyTechBotAsyncHook.call = call
    return _operator(url, **fields)


def _aiohttp_alone(url: str, rows: int) -> Callable[[], Any]:
    import aiohttp

    async def send_all() -> None:
        ids = iter(_ids(rows))
        async with aiohttp.ClientSession() as session:

            async def work() -> None:
                for each in ids:
                    async with session.post(f"{url}/assign_label", data=_fields(each)) as answer:
                        await answer.read()

            await asyncio.gather(*(work() for _ in range(CONCURRENCY)))

    return lambda: asyncio.run(send_all())


def _threads(url: str, rows: int) -> Callable[[], Any]:
    import requests

    def send(part: int) -> None:
        with requests.Session() as session:
            for each in _ids(rows)[part::CONCURRENCY]:
                session.post(f"{url}/assign_label", data=_fields(each), timeout=60).raise_for_status()

    def send_all() -> None:
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            list(pool.map(send, range(CONCURRENCY)))

    return send_all


def _loop_with_session(url: str, rows: int) -> Callable[[], Any]:
    import requests

    def send_all() -> None:
        with requests.Session() as session:
            for each in _ids(rows):
                session.post(f"{url}/assign_label", data=_fields(each), timeout=60).raise_for_status()

    return send_all


def _loop(url: str, rows: int) -> Callable[[], Any]:
    import requests

    def send_all() -> None:
        for each in _ids(rows):
            requests.post(f"{url}/assign_label", data=_fields(each), timeout=60).raise_for_status()

    return send_all


MEASURED: dict[str, Callable[..., Callable[[], Any]]] = {
    each.__name__: each
    for each in (
        _operator,
        _operator_of_list,
        _operator_that_did_it_before,
        _aiohttp_alone,
        _threads,
        _loop_with_session,
        _loop,
    )
}


def _ids(rows: int) -> list[str]:
    return [str(FIRST_ID + each) for each in range(rows)]


def _fields(subscriber_id: str) -> dict[str, str]:
    return {"api_key": "1-key", "page_id": "9", "subscriber_id": subscriber_id, "label_ids": "5"}


def _measure(name: str, url: str, **parameters: Any) -> dict[str, float]:
    """Return seconds, seconds of the processor, and MB of memory that something takes in a new process."""
    order = json.dumps({"name": name, "url": url, **parameters})
    command = [sys.executable, __file__, "--measure", order]
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "AIRFLOW_HOME": home}
        output = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def _measured(order: dict[str, Any]) -> dict[str, float]:
    name = order.pop("name")
    if name.startswith("_operator"):
        import airflow.sdk  # noqa: F401 - not a part of what is measured

        logging.disable(logging.INFO)
    memory, processor = _memory(), time.process_time()
    do = MEASURED[name](**order)
    began = time.perf_counter()
    do()
    return {
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - processor,
        "memory": _memory() - memory,
    }


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _compare(server: WriteServer, rows: int, delay: float, mapped: int) -> None:
    ideal = rows * delay / CONCURRENCY
    print(f"\n{rows:,} assignments, {delay * 1000:.0f} ms of server delay; ideal: {ideal:.2f} s")
    url = f"{server.url}/{delay * 1000:.0f}"
    few = max(rows // 20, 20)
    ours = _measure("_operator_of_list", url, rows=rows)
    print(f"(the operator takes {ours['seconds'] / ideal - 1:.1%} more than the ideal)")

    def line(name: str, seconds: float, sent: int, processor: float | None = None) -> None:
        took = seconds * rows / sent
        scaled = f" (scaled from {sent:,})" if sent < rows else ""
        per_row = "" if processor is None else f", {processor / sent * 1000:.2f} ms of processor a row"
        print(f"{name:36} {took:9.2f} s{took / ours['seconds']:8.1f} x{per_row}{scaled}", flush=True)

    line("this operator, 8 calls at once", ours["seconds"], rows, ours["processor"])
    for title, name, sent in (
        ("aiohttp alone, 8 calls at once", "_aiohttp_alone", rows),
        ("8 threads, each a requests.Session", "_threads", rows),
        ("a loop, requests.Session", "_loop_with_session", few),
        ("a loop, requests.post", "_loop", few),
    ):
        figures = _measure(name, url, rows=sent)
        line(title, figures["seconds"], sent, figures["processor"])
    if mapped:
        for title, seconds, sent in _in_airflow(server, url, rows, mapped):
            line(title, seconds, sent)


def _in_airflow(server: WriteServer, url: str, rows: int, mapped: int) -> Iterable[tuple[str, float, int]]:
    """Yield what tasks take under a real scheduler, from the first queued to the last ended."""
    sys.path.insert(0, str(ROOT))
    from tests.integration.airflow_services import AirflowServices

    env = {
        "AIRFLOW_CONN_CYTECHBOT_DEFAULT": _connection(url),
        "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": server.url}),
        "AIRFLOW__CORE__PARALLELISM": str(CONCURRENCY),
        "BULK_LABELS_ROWS": str(rows),
        "BULK_LABELS_MAPPED": str(mapped),
        "BULK_LABELS_ENDPOINT": f"{url.rpartition('/')[2]}/assign_label",
    }
    components = ("api-server", "scheduler", "dag-processor")
    with AirflowServices(ROOT / "benchmarks" / "dags", env=env, components=components) as airflow:
        for dag_id, title, sent in (
            ("bulk_labels_one_task", "this operator, as a task", rows),
            ("bulk_labels_mapped", "mapped tasks of this operator", mapped),
            ("bulk_labels_http", "mapped HttpOperator tasks", mapped),
        ):
            state = airflow.trigger(dag_id, timeout=120).wait(timeout=600)
            if state != "success":
                raise RuntimeError(f"the run of {dag_id} ended in state {state}")
            ((first, last),) = airflow.query(
                "SELECT min(queued_dttm), max(end_date) FROM task_instance WHERE dag_id = ?", dag_id
            )
            yield title, (_moment(last) - _moment(first)).total_seconds(), sent


def _moment(value: Any) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _write_rows(path: Path, numbers: Iterable[int]) -> None:
    with path.open("w") as file:
        file.write("subscriber_id\n")
        file.writelines(f"{FIRST_ID + each}\n" for each in numbers)


def _instant(server: WriteServer, rows: int) -> None:
    """Tag the subscribers of a file, with a report, against a server that answers at once."""
    with tempfile.TemporaryDirectory() as folder:
        figures = {}
        for number in (1_000, rows):
            path = Path(folder, f"{number}.csv")
            _write_rows(path, range(number))
            figures[number] = _measure(
                "_operator", f"{server.url}/0", path=str(path), report_path=f"{folder}/{number}.jsonl"
            )
    many, few = figures[rows], figures[1_000]
    print(f"\n{rows:,} rows from CSV to a report as JSON Lines, answered at once")
    print(
        f"{'this operator':36} {many['seconds']:9.1f} s, {many['processor'] / rows * 1000:.2f} ms of"
        f" processor a row, {many['memory']:.0f} MB more than the import of Airflow"
        f" ({few['memory']:.0f} MB with 1,000 rows)",
        flush=True,
    )
    _print_others(server, rows, many["seconds"])


def _print_others(server: WriteServer, rows: int, seconds: float) -> None:
    """Measure what sends the same rows and keeps no outcome, answered at once."""
    for title, name, sent in (
        ("aiohttp alone, 8 calls at once", "_aiohttp_alone", rows),
        ("a loop, requests.post", "_loop", min(rows, 5_000)),
    ):
        figures = _measure(name, f"{server.url}/0", rows=sent)
        took = figures["seconds"] * rows / sent
        print(
            f"{title:36} {took:9.1f} s, {figures['processor'] / sent * 1000:.2f} ms of processor a row"
            f" ({took / seconds:.2f} x the operator{'' if sent == rows else f'; scaled from {sent:,}'})",
            flush=True,
        )


def _with_state(server: WriteServer, rows: int) -> None:
    """Tag the subscribers of a file of which a run before has tagged all but 1 %."""
    with tempfile.TemporaryDirectory() as folder:
        path, new = Path(folder, "rows.csv"), rows // 100
        fields = {"path": str(path), "state_path": f"{folder}/state"}
        _write_rows(path, range(rows - new))
        first = _measure("_operator_that_did_it_before", f"{server.url}/0", **fields)
        _write_rows(path, range(rows))
        server.calls()
        figures = _measure("_operator", f"{server.url}/0", report_path=f"{folder}/report.jsonl", **fields)
        sent, calls = server.calls()
        state = sum(each.stat().st_size for each in Path(folder, "state").rglob("*") if each.is_file())
    print(
        f"\n{rows:,} rows with a state, of which {sent:,} are new: {figures['seconds']:.1f} s"
        f" ({figures['processor']:.1f} s of processor), of which the calls {calls:.1f} s;"
        f" {figures['memory']:.0f} MB more than the import of Airflow; the state takes"
        f" {state / rows:.1f} bytes a row (the run that wrote it, without calls: {first['seconds']:.0f} s,"
        f" {first['memory']:.0f} MB)"
    )
    print("Without a state, all rows are sent again:")
    _print_others(server, rows, figures["seconds"])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--delays", type=float, nargs="*", default=[0.05, 0.2], help="Seconds of the server.")
    parser.add_argument("--mapped", type=int, default=24, help="How many mapped tasks are run of each kind.")
    parser.add_argument("--instant-rows", type=int, default=100_000)
    parser.add_argument("--state-rows", type=int, default=1_000_000)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measured(json.loads(options.measure))))
        return
    with running_server() as server:
        for delay in options.delays if options.rows else ():
            _compare(server, options.rows, delay, options.mapped)
        if options.instant_rows:
            _instant(server, options.instant_rows)
        if options.state_rows:
            _with_state(server, options.state_rows)


if __name__ == "__main__":
    main()
