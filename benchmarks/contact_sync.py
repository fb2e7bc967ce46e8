"""
Keep contacts in step with a table: the sync beside a hand-written loop, and how long planning takes.

    python benchmarks/contact_sync.py [--contacts 50000] [--differences 1000] [--delay 0.05] [--plan 1000000]

The server runs in a process of its own and answers the sync at once. The loop is measured with a delay; it
sends fewer calls, and its time is scaled up. The differences are given to it: finding them and storing the
ids is not part of it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from write_server import WriteServer, running_server


def _write_table(path: Path, people: int, *, changed: int = 0) -> None:
    """Write a table of people. Some of them are renamed, new or gone."""
    renamed, new, gone = changed // 2, changed // 4, changed // 4
    with path.open("w") as file:
        file.write("id,email,phone_number,first_name,last_name\n")
        for each in range(gone, people + new):
            name = "Renamed" if gone <= each < gone + renamed else f"First {each % 5_000}"
            file.write(f"{each},person{each}@shop.example,+49151{each:08},{name},Last {each % 9_000}\n")


def _sync(path: Path, folder: str, **fields: Any) -> dict[str, Any]:
    from airflow_provider_cytechbot.operators.contacts import CyTechBotSyncContactsOperator

    return CyTechBotSyncContactsOperator(
        task_id="t",
        path=str(path),
        key="id",
        contact_type_id="5",
        sync_mode="mirror",
        state_path=f"{folder}/state",
        **fields,
    ).execute({})


def _use(url: str) -> None:
    connection = {"conn_type": "cytechbot", "host": url, "password": "1-key"}
    os.environ["AIRFLOW_CONN_CYTECHBOT_DEFAULT"] = json.dumps(connection)


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _compare(server: WriteServer, contacts: int, differences: int, delay: float) -> None:
    import requests

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "people.csv")
        _use(f"{server.url}/0")
        _write_table(path, contacts)
        before, began = _memory(), time.perf_counter()
        _sync(path, folder)
        sent, _ = server.calls()
        print(f"first night: {sent:,} calls in {time.perf_counter() - began:.1f} s, answered at once")
        _write_table(path, contacts, changed=differences)
        began, processor = time.perf_counter(), time.process_time()
        manifest = _sync(path, folder)
        seconds, (sent, _) = time.perf_counter() - began, server.calls()
        print(
            f"second night: {sent:,} calls for {differences:,} differences in {seconds:.1f} s,"
            f" answered at once; {time.process_time() - processor:.1f} s of processor,"
            f" {_memory() - before:.0f} MB more than before: {manifest['operations']}"
        )
        few = max(differences // 10, 20)
        began = time.perf_counter()
        with requests.Session() as session:
            for each in range(few):
                fields = {"api_key": "1-key", "first_name": "Renamed"}
                url = f"{server.url}/{delay * 1000:.0f}/update_contact/{each}"
                session.post(url, data=fields, timeout=60).raise_for_status()
        seconds = (time.perf_counter() - began) * differences / few
        print(
            f"a loop over {differences:,} known differences, requests.Session,"
            f" {delay * 1000:.0f} ms of delay: {seconds:.1f} s (scaled from {few})"
        )


def _plan(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "people.csv")
        _use("http://127.0.0.1:9/api")
        _write_table(path, 1)
        _sync(path, folder, plan_only=True)  # everything imported
        _write_table(path, rows)
        before, began, processor = _memory(), time.perf_counter(), time.process_time()
        manifest = _sync(path, folder, plan_only=True)
        print(
            f"plan of {manifest['rows']:,} rows: {time.perf_counter() - began:.1f} s,"
            f" {time.process_time() - processor:.1f} s of processor,"
            f" {_memory() - before:.0f} MB more than for one row"
        )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contacts", type=int, default=50_000)
    parser.add_argument("--differences", type=int, default=1_000)
    parser.add_argument(
        "--delay", type=float, default=0.05, help="Seconds that the server takes for the loop."
    )
    parser.add_argument("--plan", type=int, default=0, help="Plan this many rows, and nothing else.")
    options = parser.parse_args()
    logging.disable()
    if options.plan:
        _plan(options.plan)
        return
    with running_server() as server:
        _compare(server, options.contacts, options.differences, options.delay)


if __name__ == "__main__":
    main()
