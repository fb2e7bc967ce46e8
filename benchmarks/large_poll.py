"""What one poll of a large campaign costs a triggerer: time, memory, and how long it blocks the loop.

    python benchmarks/large_poll.py [--subscribers 100000]    (needs apache-airflow-providers-http too)

The first poll is for a sensor's trigger, the second for an event trigger, which needs each subscriber's
progress, the third by the HTTP provider's event trigger, whose check counts the subscribers. Blocking is
measured as the CPU time of the loop's thread between two turns of the loop, which does not depend on other
load. Each measurement is a process of its own.
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
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from waiting import ENDPOINT, ROOT, sandbox

#: Subscribers who are new to the event trigger: the others are in its state.
NEW = 3
#: The file in place of Airflow's state store.
STATE = Path(os.environ.get("STATE", ""))
PREPARATION = "preparation"


def main() -> None:
    """Measure all three, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subscribers", type=int, default=100_000, help="default 100000")
    parser.add_argument("--measure", choices=MEASURED, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        asyncio.run(measured(options.measure, options.subscribers))
        return
    with tempfile.TemporaryDirectory() as folder, sandbox(Path(folder), options.subscribers) as api:
        environment = {
            **os.environ,
            "AIRFLOW_HOME": folder,
            "STATE": f"{folder}/state.json",
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT": json.dumps(
                {"conn_type": "cytechbot", "host": api["url"], "password": api["api_key"]}
            ),
            "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": api["url"]}),
            "KEY": api["api_key"],
            "PYTHONPATH": os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT)]),
        }
        for name in MEASURED:
            command = [sys.executable, __file__, "--measure", name, "--subscribers", str(options.subscribers)]
            subprocess.run(command, env=environment, check=True)


async def count(subscribers: int) -> None:
    """Wait, as a sensor's trigger does, for all subscribers."""
    from airflow_provider_cytechbot.triggers.flow_answers import CyTechBotFlowCampaignTrigger

    trigger = CyTechBotFlowCampaignTrigger(
        min_subscribers=subscribers,
        cytechbot_conn_id="cytechbot_default",
        flow_campaign_id="100",
        complete=False,
        poke_interval=1,
        started_at=time.time(),
        timeout=3_600,
    )
    event = await anext(trigger.run())
    assert event.payload["result"]["answered"] == subscribers


async def prepare_state(subscribers: int) -> None:
    """Write the state of an event trigger to which all but a few subscribers are known."""
    from airflow_provider_cytechbot.api.flow_progress import Progress
    from airflow_provider_cytechbot.triggers.campaign_poll import joined_poll
    from airflow_provider_cytechbot.triggers.seen_subscribers import SeenSubscribers
    from airflow_provider_cytechbot.triggers.waiters import EventWaiter, PollSchedule

    waiter = EventWaiter(PollSchedule(1), Progress.ANSWERED)
    async with joined_poll("cytechbot_default", "100", waiter):
        answers = await waiter.next()
    assert len(answers.subscriber_ids) == subscribers
    state = SeenSubscribers().with_also(answers.subscriber_ids[NEW:]).to_state()
    write_state(state)


def write_state(state: Any) -> None:
    """Write the state."""
    STATE.write_text(json.dumps(state))


def read_state() -> Any:
    """Return the state."""
    return json.loads(STATE.read_text())


async def watch(subscribers: int) -> None:
    """Fire for the few new ones, and store the state, as an asset's watcher does."""
    from airflow_provider_cytechbot.triggers.new_flow_answers import CyTechBotNewFlowAnswersTrigger

    async def get(_: str) -> Any:
        return await asyncio.to_thread(read_state)

    async def set_(_: str, state: Any) -> None:
        assert state["count"] == subscribers
        await asyncio.to_thread(write_state, state)

    trigger = CyTechBotNewFlowAnswersTrigger(flow_campaign_id="100", complete=False, poll_interval=1)
    trigger.asset_state_store = SimpleNamespace(aget=get, aset=set_)
    polled = []

    async def results() -> Any:
        async with aclosing(trigger.poll_results()) as found:
            async for each in found:
                polled.append(each)
                yield each

    async with aclosing(trigger.filter_shared_stream(results())) as events:
        event = await anext(events)
    assert event.payload["count"] == NEW
    await polled[-1].remember()


async def watch_by_http(subscribers: int) -> None:
    """Fire once, as the HTTP provider's event trigger, which remembers nothing."""
    from airflow.providers.http.triggers.http import HttpEventTrigger

    trigger = HttpEventTrigger(
        endpoint=f"{ENDPOINT}/",
        data={"api_key": os.environ["KEY"], "flow_campaign_id": "100"},
        response_check_path="http_checks.someone_has_answered",
    )
    event = await anext(trigger.run())
    assert event.payload["status"] == "success"
    assert len(event.payload["response"]["content"]) > 100 * subscribers


MEASURED: dict[str, Callable[[int], Awaitable[None]]] = {
    "a sensor's trigger": count,
    PREPARATION: prepare_state,
    "an event trigger": watch,
    "HttpEventTrigger": watch_by_http,
}


async def measured(name: str, subscribers: int) -> None:
    """Run one measurement and print its figures."""
    import airflow.triggers.base  # noqa: F401 - any triggerer has imported it
    from airflow.providers.http.triggers import http  # noqa: F401 - not a part of what is measured

    from airflow_provider_cytechbot.api import endpoints
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook

    turns = []

    async def look() -> None:
        while True:
            start = time.thread_time()
            await asyncio.sleep(0.001)
            turns.append(time.thread_time() - start)

    async with CyTechBotAsyncHook() as hook:  # the imports
        await hook.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id="100")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    looking = asyncio.create_task(look())
    await MEASURED[name](subscribers)
    used, highest = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    looking.cancel()
    if name != PREPARATION:
        print(
            f"{name:20} {used:6.1f} CPU seconds, {(highest - before) / 1024:6.0f} MiB of memory, "
            f"longest turn of the loop {1000 * max(turns):6.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
