"""
Many triggers on one campaign and on many, in one event loop, compared with the HTTP provider's sensor.

    python benchmarks/waits.py    (needs apache-airflow-providers-http too; takes ten minutes)

`waiting.py` measures a real triggerer with one campaign; here the loop alone is measured, so that what is
compared is the triggers. Each measurement is a process of its own, and so is the server. Nobody has answered
until the time is over; then all waits end.
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
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

INTERVAL = 5.0
KINDS = {"cytechbot": "CyTechBotFlowCampaignTrigger", "http": "HttpSensorTrigger"}
ENDPOINT = "get_all_subscriber_flow_info"


class CampaignServer(ThreadingHTTPServer):
    """
    Answers each campaign with nobody's answers until a moment, then with one subscriber's.

    :param seconds: Until that moment.
    :param early_status: The status of an answer before it: 404 is what the HTTP provider's sensor waits on.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, seconds: float, early_status: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received = 0
        self.lock = threading.Lock()
        self.seconds = seconds
        self.ends_at = float("inf")
        self.early_status = early_status

    def count(self) -> None:
        """Count a request; the time begins with the first."""
        with self.lock:
            if not self.received:
                self.ends_at = time.monotonic() + self.seconds
            self.received += 1


class Handler(BaseHTTPRequestHandler):
    """Answers requests for a campaign's answers."""

    protocol_version = "HTTP/1.1"
    server: CampaignServer

    def do_GET(self) -> None:
        """Answer with the answers of the campaign."""
        parts = urlsplit(self.path)
        if parts.path == "/received":
            return self._send(200, self.server.received)
        self.server.count()
        campaign = parse_qs(parts.query)["flow_campaign_id"][0]
        answer: dict[str, object] = {"id": campaign, "flow_name": "F"}
        if ENDPOINT not in parts.path:
            return self._send(200, answer | {"questions": ["Why?"]})
        question = {"question_id": "1", "question": "Why?", "answer": "Because"}
        if time.monotonic() > self.server.ends_at:
            return self._send(200, answer | {"data": {"10": [question]}})
        return self._send(self.server.early_status, answer | {"data": []})

    def _send(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.wfile.write(b"HTTP/1.1 %d .\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def main() -> None:
    """Run all measurements, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waits", type=int, default=1_000, help="default 1000")
    parser.add_argument("--campaigns", type=int, nargs="+", default=[1, 100], help="default 1 100")
    parser.add_argument("--seconds", type=float, default=120, help="until the answers are there, default 120")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        with CampaignServer(options.seconds, options.serve) as server:
            print(server.server_port, flush=True)
            server.serve_forever()
    elif options.kind:
        print(json.dumps(asyncio.run(wait_for_all(options.kind, options.waits, options.campaigns[0]))))
    else:
        print(f"{options.waits:,} waits, polled every {INTERVAL:g} s, for {options.seconds:g} s\n")
        print(f"{'':30}{'campaigns':>10}{'requests':>10}{'CPU s':>8}{'MiB':>6}")
        for campaigns in options.campaigns:
            for kind, name in KINDS.items():
                measured = measure(kind, options.waits, campaigns, options.seconds)
                print(
                    f"{name:30}{campaigns:10,}{measured['requests']:10,}"
                    f"{measured['processor']:8.1f}{measured['memory']:6.0f}",
                    flush=True,
                )


def measure(kind: str, waits: int, campaigns: int, seconds: float) -> dict[str, Any]:
    """Return what the waits take in a process of their own."""
    with running_server(kind, seconds) as url, tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "AIRFLOW_HOME": home,
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT": json.dumps(
                {"conn_type": "cytechbot", "host": f"{url}/api", "password": "1-key"}
            ),
            "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": url}),
        }
        command = [sys.executable, __file__, "--kind", kind, "--waits", str(waits)]
        command += ["--campaigns", str(campaigns)]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        with urllib.request.urlopen(f"{url}/received") as answer:
            return {"requests": json.load(answer), **json.loads(done.stdout.splitlines()[-1])}


@contextmanager
def running_server(kind: str, seconds: float) -> Iterator[str]:
    """Run the server in a process of its own, and yield its address."""
    status = "404" if kind == "http" else "200"
    command = [sys.executable, __file__, "--serve", status, "--seconds", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


async def wait_for_all(kind: str, waits: int, campaigns: int) -> dict[str, float]:
    """Run triggers until all of them have fired, and return what they took."""
    import airflow.triggers.base  # noqa: F401 - any triggerer has imported it

    logging.disable(logging.INFO)
    before, used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    runs = [run_trigger(kind, str(1 + number % campaigns)) for number in range(waits)]
    events = await asyncio.gather(*(anext(each) for each in runs))
    for event in events:
        assert event.payload is True or event.payload["status"] == "success", event.payload
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"processor": time.process_time() - used, "memory": memory / 1024}


def run_trigger(kind: str, campaign: str) -> AsyncIterator[Any]:
    """Return the events of a new trigger."""
    if kind == "http":
        from airflow.providers.http.triggers.http import HttpSensorTrigger

        endpoint = f"api/{ENDPOINT}/?api_key=1-key&flow_campaign_id={campaign}"
        return HttpSensorTrigger(endpoint=endpoint, poke_interval=INTERVAL).run()
    from airflow_provider_cytechbot.triggers.flow_answers import CyTechBotFlowCampaignTrigger

    return CyTechBotFlowCampaignTrigger(
        min_subscribers=1,
        cytechbot_conn_id="cytechbot_default",
        flow_campaign_id=campaign,
        complete=False,
        poke_interval=INTERVAL,
        started_at=time.time(),
        timeout=3_600,
    ).run()


if __name__ == "__main__":
    main()
