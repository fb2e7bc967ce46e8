"""The largest sizes, in one command: an export, a bulk write, an event trigger, and waits on many campaigns.

    python benchmarks/scale.py    (takes hours; --divide 100 shows in minutes whether all of it works)

Runs the other benchmarks of this folder at their largest sizes, one after the other, and measures what 1,000
waits on one campaign and on 100 campaigns cost: requests, CPU time and memory of the process that waits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

FOLDER = Path(__file__).resolve().parent
INTERVAL = 5.0


class CampaignServer(ThreadingHTTPServer):
    """Answers each campaign with nobody's answers until a moment, then with one subscriber's."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: Counter[str] = Counter()
        self.ends_at = 0.0


class Handler(BaseHTTPRequestHandler):
    """Answers requests for a campaign's answers."""

    protocol_version = "HTTP/1.1"
    server: CampaignServer

    def do_GET(self) -> None:
        """Answer with the answers of the campaign."""
        parts = urlsplit(self.path)
        campaign = parse_qs(parts.query)["flow_campaign_id"][0]
        self.server.received[parts.path.split("/")[2]] += 1
        question = {"question_id": "1", "question": "Why?", "answer": "Because"}
        data: object = {"10": [question]} if time.monotonic() > self.server.ends_at else []
        value: dict[str, object] = {"id": campaign, "flow_name": "F", "data": data}
        if "info" in parts.path and "subscriber" not in parts.path:
            value = {"id": campaign, "flow_name": "F", "questions": ["Why?"]}
        body = json.dumps(value).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def measure_waits(waits: int, campaigns: int, seconds: float) -> None:
    """Run the waits in a process of their own, and print what they cost."""
    with CampaignServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.ends_at = time.monotonic() + seconds
        host = f"http://127.0.0.1:{server.server_port}/api"
        connection = json.dumps({"conn_type": "cytechbot", "host": host, "password": "1-key"})
        command = [sys.executable, __file__, "--wait", str(waits), str(campaigns)]
        with tempfile.TemporaryDirectory() as home:
            environment = {**os.environ, "AIRFLOW_CONN_CYTECHBOT_DEFAULT": connection, "AIRFLOW_HOME": home}
            subprocess.run(command, env=environment, check=True)
        print(f"  requests: {dict(server.received)}", flush=True)
        server.shutdown()


async def wait_for_all(waits: int, campaigns: int) -> None:
    """Run triggers until all of them have fired."""
    from airflow_provider_cytechbot.triggers.flow_answers import CyTechBotFlowCampaignTrigger

    async def wait(number: int) -> None:
        trigger = CyTechBotFlowCampaignTrigger(
            min_subscribers=1,
            cytechbot_conn_id="cytechbot_default",
            flow_campaign_id=str(1 + number % campaigns),
            complete=False,
            poke_interval=INTERVAL,
            started_at=time.time(),
            timeout=3_600,
        )
        async for event in trigger.run():
            assert event.payload["status"] == "success", event.payload
            return

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, used = time.monotonic(), time.process_time()
    await asyncio.gather(*map(wait, range(waits)))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"{waits:,} waits on {campaigns:,} campaigns for {time.monotonic() - start:.0f} s: "
        f"{time.process_time() - used:.1f} CPU seconds, {memory / 1024:.0f} MiB",
        flush=True,
    )


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--divide", type=int, default=1, help="divides all sizes")
    parser.add_argument(
        "--only", choices=["export", "bulk", "event", "waits"], help="one of the measurements"
    )
    parser.add_argument("--wait", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.wait:
        asyncio.run(wait_for_all(*options.wait))
        return
    million = 1_000_000 // options.divide
    commands = {
        "export": ["export.py", "--sizes", str(5 * million), "--repeat", "1"],
        "bulk": ["bulk_labels.py", "--instant-rows", str(million), "--state-rows", str(million)],
        "event": ["large_poll.py", "--subscribers", str(million)],
    }
    for name, (program, *arguments) in commands.items():
        if options.only in (None, name):
            print(f"== {name}", flush=True)
            subprocess.run([sys.executable, FOLDER / program, *arguments], check=True)
    if options.only in (None, "waits"):
        print("== waits", flush=True)
        for campaigns in (1, 100):
            measure_waits(1_000 // options.divide or 1, campaigns, 120 / options.divide)


if __name__ == "__main__":
    main()
