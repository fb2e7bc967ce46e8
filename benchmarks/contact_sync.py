"""
Keep contacts in step with a table: the sync beside a hand-written loop, and how long planning takes.

    python benchmarks/contact_sync.py [--contacts 50000] [--differences 1000] [--delay 0.05] [--plan 1000000]

The server runs in a process of its own and answers the sync at once. The loop is measured with a delay; it
sends fewer calls, and its time is scaled up. The differences are given to it: finding them
and storing the ids is not part of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any


class _Server(asyncio.Protocol):
    """Answers every write as done, after a delay that the path names in milliseconds, and counts them."""

    calls: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(body) < length:
            return
        self._received = body[length:]
        with self.calls.get_lock():
            self.calls.value += 1
            number = self.calls.value
        answer = b'{"status": "success", "new_contact_id": %d}' % number
        text = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
            answer
        )
        delay = int(head.split(b" ")[1].split(b"/")[1]) / 1000
        if delay:
            asyncio.get_running_loop().call_later(delay, self._transport.write, text + answer)
        else:
            self._transport.write(text + answer)


def _serve(ports: Any, calls: Any) -> None:
    async def serve() -> None:
        _Server.calls = calls
        server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


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


def _compare(port: int, calls: Any, contacts: int, differences: int, delay: float) -> None:
    import requests

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "people.csv")
        _use(f"http://127.0.0.1:{port}/0")
        _write_table(path, contacts)
        before, began = _memory(), time.perf_counter()
        _sync(path, folder)
        print(f"first night: {calls.value:,} calls in {time.perf_counter() - began:.1f} s, answered at once")
        _write_table(path, contacts, changed=differences)
        sent, began, processor = calls.value, time.perf_counter(), time.process_time()
        manifest = _sync(path, folder)
        seconds = time.perf_counter() - began
        print(
            f"second night: {calls.value - sent:,} calls for {differences:,} differences in {seconds:.1f} s,"
            f" answered at once; {time.process_time() - processor:.1f} s of processor,"
            f" {_memory() - before:.0f} MB more than before: {manifest['operations']}"
        )
        few = max(differences // 10, 20)
        began = time.perf_counter()
        with requests.Session() as session:
            for each in range(few):
                fields = {"api_key": "1-key", "first_name": "Renamed"}
                url = f"http://127.0.0.1:{port}/{delay * 1000:.0f}/update_contact/{each}"
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
    ports: Any = multiprocessing.Queue()
    calls = multiprocessing.Value("q", 0)
    server = multiprocessing.Process(target=_serve, args=(ports, calls), daemon=True)
    server.start()
    try:
        _compare(ports.get(), calls, options.contacts, options.differences, options.delay)
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
