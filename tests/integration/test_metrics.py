"""What a StatsD server receives from a real Airflow: tasks in workers, and a wait in the triggerer."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("statsd", reason="statsd is not installed")

from airflow_provider_cytechbot.sandbox.server import SandboxServer

from .airflow_services import NO_TIMEOUT, AirflowServices

DAGS = Path(__file__).parent / "dags" / "metrics"
ALL = "get_all_subscriber_flow_info"
LINE = re.compile(r"airflow\.cytechbot\.([\w.]+):([\d.]+)\|(c|ms)(?:\|#.*)?")

pytestmark = pytest.mark.slow


class StatsdServer(threading.Thread):
    """Receive the metrics of this provider over UDP."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.1)
        self.port = self.socket.getsockname()[1]
        self.lines: list[str] = []
        self.end = threading.Event()

    def run(self) -> None:
        while not self.end.is_set():
            try:
                received = self.socket.recv(65_536).decode()
            except TimeoutError:
                continue
            self.lines += [line for line in received.splitlines() if "cytechbot" in line]
        self.socket.close()

    @property
    def counts(self) -> Counter[str]:
        """How often each thing was counted: the sum of a counter, or the number of times of a timing."""
        counts: Counter[str] = Counter()
        for line in self.lines:
            name, value, kind = LINE.fullmatch(line).groups()
            counts[name] += int(value) if kind == "c" else 1
        return counts


@pytest.fixture(scope="module")
def statsd(tmp_path_factory):
    """The metrics of one run."""
    statsd = StatsdServer()
    statsd.start()
    with SandboxServer() as server:
        env = {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(statsd.port),
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT": server.connection_json(requests_per_second=5),
        }
        server.fault("status", "get_all_packages", status=429, retry_after=1)
        server.fault("status", "assign_label", status=503)
        home = tmp_path_factory.mktemp("airflow")
        with AirflowServices(DAGS, env=env, home=home, heartbeat_timeout=NO_TIMEOUT) as airflow:
            run = airflow.trigger("metrics_counted", conf={"folder": home.as_uri()})
            # The sensor's first check, and two polls of the trigger that takes over.
            deadline = time.monotonic() + 200
            while len(server.requests(ALL)) < 3 and time.monotonic() < deadline:
                time.sleep(0.1)
            server.answer("2", "24994546734902201", "51", "Yes")
            assert run.wait(200) == "success"
            statsd.secrets = [server.api_key, "24994546734902201", "2472856209402188"]
    time.sleep(0.5)
    statsd.end.set()
    statsd.join()
    return statsd


def test_calls_and_retries_are_counted_by_endpoint_and_outcome(statsd):
    counts = statsd.counts
    assert counts["calls.get_all_packages.rate_limited"] == 1
    assert counts["retries.get_all_packages"] == 1
    assert counts["calls.get_all_packages.answered"] == 1
    assert counts["calls.get_contact.refused"] == 1
    assert counts["calls.assign_label.answered"] == 2
    assert counts["calls.assign_label.failed"] == counts["retries.assign_label"] == 1
    assert counts["rate_limit_waits"] >= 1


def test_rows_are_counted_by_outcome(statsd):
    assert statsd.counts["rows.assign.succeeded"] == 2
    assert statsd.counts["rows.export.exported"] == 24


def test_polls_of_worker_and_triggerer_are_counted(statsd):
    assert statsd.counts["polls.worker.answered"] == 1
    assert statsd.counts["polls.triggerer.answered"] >= 2


def test_each_total_is_the_sum_of_its_parts(statsd):
    for name in ("calls", "retries", "polls", "rows"):
        parts = sum(count for part, count in statsd.counts.items() if part.startswith(f"{name}."))
        assert statsd.counts[name] == parts > 0


def test_times_are_those_of_real_calls(statsd):
    times = [
        float(value)
        for line in statsd.lines
        for _, value, kind in [LINE.fullmatch(line).groups()]
        if kind == "ms"
    ]
    assert times
    assert all(0 < each < 60_000 for each in times)


def test_no_metric_has_an_id_or_the_key(statsd):
    text = "\n".join(statsd.lines)
    assert all(each not in text for each in statsd.secrets)
    assert not re.search(r"\d{4}", re.sub(r":[\d.]+\|", "", text))
