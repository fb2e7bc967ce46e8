"""
Tag many subscribers: this provider's operator beside scripts that do the same.

    python benchmarks/bulk_labels.py [--rows 2000] [--delay 0.05] [--instant-rows 100000]

The server runs in a process of its own and sends each answer in one piece: two sends and Nagle's algorithm
would cost 40 ms a call on kept-alive connections. The loops send fewer rows, and their times are scaled up.
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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_BODY = b'{"status": "success", "success": true}'
_LABELS = b'{"status": "success", "label_info": [{"id": "5", "label_id": "5", "label_name": "VIP"}]}'


class _Server(asyncio.Protocol):
    """Answers every request after a delay, which the path names in milliseconds."""

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
        path = head.split(b" ")[1]
        answer = _LABELS if b"get_all_labels" in path else _BODY
        text = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
            answer
        )
        delay = int(path.split(b"/")[1]) / 1000
        if delay and answer is _BODY:
            asyncio.get_running_loop().call_later(delay, self._transport.write, text + answer)
        else:
            self._transport.write(text + answer)


def _serve(ports: Any) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def _measured(do: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds and the processor's seconds that something takes."""
    began, processor = time.perf_counter(), time.process_time()
    do()
    return time.perf_counter() - began, time.process_time() - processor


def _operator(rows: Any, **fields: Any) -> Callable[[], Any]:
    from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator

    return lambda: CyTechBotAssignLabelsOperator(
        task_id="t", page_id="9", label_ids="5", rows=rows, **fields
    ).execute({})


def _fields(subscriber_id: str) -> dict[str, str]:
    return {"api_key": "1-key", "page_id": "9", "subscriber_id": subscriber_id, "label_ids": "5"}


def _compare(url: str, rows: int, delay: float) -> None:
    import requests

    ids = [str(24994546734900000 + each) for each in range(rows)]
    few = ids[: max(rows // 20, 20)]
    post = f"{url}/assign_label"

    def with_session() -> None:
        with requests.Session() as session:
            for each in few:
                session.post(post, data=_fields(each), timeout=60).raise_for_status()

    def without_session() -> None:
        for each in few:
            requests.post(post, data=_fields(each), timeout=60).raise_for_status()

    def with_threads() -> None:
        sessions = [requests.Session() for _ in range(8)]

        def send(part: int) -> None:
            for each in ids[part::8]:
                sessions[part].post(post, data=_fields(each), timeout=60).raise_for_status()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, range(8)))

    def line(name: str, seconds: float, processor: float, sent: int) -> None:
        scaled = f" (scaled from {sent:,})" if sent < rows else ""
        per_row = processor / sent * 1000
        print(f"{name:32} {seconds * rows / sent:8.2f} s, {per_row:.2f} ms of processor a row{scaled}")

    print(
        f"{rows:,} assignments, {delay * 1000:.0f} ms of server delay; ideal with 8: {rows * delay / 8:.2f} s"
    )
    line("this operator, 8 calls at once", *_measured(_operator(ids)), rows)
    line("eight threads, requests.Session", *_measured(with_threads), rows)
    line("a loop, requests.Session", *_measured(with_session), len(few))
    line("a loop, requests.post", *_measured(without_session), len(few))


def _many(rows: int) -> None:
    """Tag many subscribers of a file, with a report, against a server that answers at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        with path.open("w") as file:
            file.write("subscriber_id\n")
            file.writelines(f"{24994546734900000 + each}\n" for each in range(rows))
        _operator(["1"])()  # everything imported
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        do = _operator(None, path=str(path), report_path=f"{folder}/report.jsonl")
        seconds, processor = _measured(do)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(
            f"{rows:,} rows of a CSV file, answered at once: {seconds:.1f} s,"
            f" {processor / rows * 1000:.2f} ms of processor a row, {grown:.0f} MB more memory than one row"
        )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--delay", type=float, default=0.05, help="Seconds that the server takes.")
    parser.add_argument("--instant-rows", type=int, default=100_000)
    options = parser.parse_args()
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())
    logging.disable(logging.INFO)
    spawn = multiprocessing.get_context("spawn")
    ports = spawn.Queue()
    server = spawn.Process(target=_serve, args=(ports,), daemon=True)
    server.start()
    port = ports.get()

    def connect(delay: float) -> str:
        url = f"http://127.0.0.1:{port}/{delay * 1000:.0f}"
        connection = {"conn_type": "cytechbot", "host": url, "password": "1-key"}
        os.environ["AIRFLOW_CONN_CYTECHBOT_DEFAULT"] = json.dumps(connection)
        return url

    try:
        connect(0)
        if options.instant_rows:
            _many(options.instant_rows)
        if options.rows:
            _compare(connect(options.delay), options.rows, options.delay)
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
