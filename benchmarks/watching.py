"""What watching a campaign costs and misses: our event trigger beside HttpEventTrigger with two checks.

    python benchmarks/watching.py    (needs apache-airflow-providers-http too; takes some five minutes)

A real triggerer watches a campaign that a thousand subscribers have answered. Six more answer, one by one.
The triggerer is killed, three more answer, it is started again, and nobody answers any more. Then the asset's
events are read from Airflow's database: which subscribers do they name, and how many name no new one.
"""

from __future__ import annotations

import base64
import json
import os
import time
from urllib.parse import quote

from waiting import ENDPOINT, ROOT, cpu

from airflow_provider_cytechbot.sandbox.server import SandboxServer
from tests.integration.airflow_services import AirflowServices

INTERVAL = 5.0
BEFORE = [str(number) for number in range(1001, 2001)]
WHILE_IT_RUNS = [str(number) for number in range(2001, 2007)]
WHILE_IT_IS_DOWN = [str(number) for number in range(2007, 2010)]
QUESTIONS = [{"question_id": "1", "question": "How was it?"}]
KINDS = ("cytechbot", "more_have_answered", "someone_has_answered")


def main() -> None:
    """Measure each, and print the figures."""
    figures = {kind: measure(kind) for kind in KINDS}
    print(f"\n{'':38}" + "".join(f"{kind:>22}" for kind in KINDS))
    for name in figures["cytechbot"]:
        print(f"{name:38}" + "".join(f"{figures[kind][name]:22.1f}" for kind in KINDS))


def measure(kind: str) -> dict[str, float]:
    """Return what one kind of trigger costs and misses."""
    campaign = {"id": "1", "flow_name": "Feedback", "questions": QUESTIONS}
    with SandboxServer(data={"flow_campaigns": [campaign]}, quirks="all") as server:
        for subscriber in BEFORE:
            server.answer("1", subscriber, "1", f"The answer of {subscriber}, in a few words.")
        env = {
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT": server.connection_json(),
            "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": server.url}),
            "WATCHING": kind,
            "WATCHING_INTERVAL": str(INTERVAL),
            "WATCHING_ENDPOINT": f"api/{ENDPOINT}/?api_key={quote(server.api_key)}&flow_campaign_id=1",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT)]),
        }
        with AirflowServices(ROOT / "benchmarks" / "dags", env=env) as airflow:
            airflow.wait_until(lambda: server.journal.received(ENDPOINT), 120, "the first poll")
            time.sleep(INTERVAL)  # until the state is stored
            rss = max(each.memory_info().rss for each in triggerer(airflow)) / 2**20
            processes, requests, start = triggerer(airflow), server.journal.received(ENDPOINT), time.time()
            before = cpu(processes)
            for subscriber in WHILE_IT_RUNS:
                time.sleep(INTERVAL)
                server.answer("1", subscriber, "1", "Late")
            time.sleep(2 * INTERVAL)
            used, lasted = cpu(processes) - before, time.time() - start
            requests = server.journal.received(ENDPOINT) - requests
            rss = max(rss, *(each.memory_info().rss / 2**20 for each in processes))
            airflow.kill("triggerer")
            for subscriber in WHILE_IT_IS_DOWN:
                server.answer("1", subscriber, "1", "Meanwhile")
            polls = server.journal.received(ENDPOINT)
            time.sleep(1)  # the launcher must have noticed
            airflow.start("triggerer")
            airflow.wait_until(lambda: server.journal.received(ENDPOINT) >= polls + 3, 120, "it again")
            time.sleep(INTERVAL)
            events = [
                json.loads(extra) for (extra,) in airflow.query("SELECT extra FROM asset_event ORDER BY id")
            ]
            reported, repeated = read(events)
            return {
                "requests in a minute": 60 * requests / lasted,
                "CPU seconds in a minute": 60 * used / lasted,
                "memory, MiB": rss,
                "events": len(events),
                "events without a new subscriber": repeated,
                "KiB of an event in the database": sum(len(json.dumps(e)) for e in events)
                / 1024
                / max(1, len(events)),
                "of 6 while it ran, reported": len(reported & set(WHILE_IT_RUNS)),
                "of 3 during the restart, reported": len(reported & set(WHILE_IT_IS_DOWN)),
                "files with the API key": len(airflow.find_text(quote(server.api_key))),
            }


def triggerer(airflow: AirflowServices):
    """Return the processes of the triggerer, among those of all components."""
    pid = airflow.component_pid("triggerer")
    return [each for each in airflow.processes() if each.pid == pid or pid in [p.pid for p in each.parents()]]


def read(events: list[dict]) -> tuple[set[str], int]:
    """Return the new subscribers that the events name, and the number of events without a new one."""
    reported, repeated = set(BEFORE), 0
    for event in events:
        payload = event["payload"]
        new = set(subscribers(payload)) - reported
        repeated += not new
        reported |= new
    return reported - set(BEFORE), repeated


def subscribers(payload: dict) -> list[str]:
    """Return the subscribers in an event: the new ones in ours, all of them in the other."""
    if "subscriber_ids" in payload:
        return payload["subscriber_ids"]
    return list(json.loads(base64.b64decode(payload["response"]["content"]))["data"])


if __name__ == "__main__":
    main()
