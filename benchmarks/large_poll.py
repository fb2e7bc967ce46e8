"""What one shared poll of a large campaign costs a triggerer: time, memory, and how long it blocks the loop.

    python benchmarks/large_poll.py    (takes a minute)

The first poll is for a sensor's trigger, the second for an event trigger, which needs each subscriber's
progress. Blocking is measured as the CPU time of the loop's thread between two turns of the loop, which does
not depend on other load.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp()

import psutil
from waiting import sandbox

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.flow_progress import Progress
from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook
from airflow_provider_cytechbot.triggers.campaign_poll import joined_poll
from airflow_provider_cytechbot.triggers.flow_answers import _CampaignWaiter
from airflow_provider_cytechbot.triggers.new_flow_answers import _compare
from airflow_provider_cytechbot.triggers.seen_subscribers import SeenSubscribers
from airflow_provider_cytechbot.triggers.waiters import EventWaiter, PollSchedule


def main() -> None:
    """Measure both, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=100_000, help="default 100000")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sandbox(Path(folder), options.subscribers) as api:
        os.environ["AIRFLOW_CONN_CYTECHBOT_DEFAULT"] = (
            f'{{"conn_type": "cytechbot", "host": "{api["url"]}", "password": "{api["api_key"]}"}}'
        )
        for what in (count, watch):
            asyncio.run(measured(what, options.subscribers))


async def count(subscribers: int) -> None:
    """Wait for all subscribers."""
    waiter = _CampaignWaiter(PollSchedule(1), "100", subscribers, Progress.ANSWERED)
    async with joined_poll("cytechbot_default", "100", waiter):
        assert (await waiter.event)["result"]["answered"] == subscribers


async def watch(subscribers: int) -> None:
    """Poll once, and compare the subscribers with a state."""
    waiter = EventWaiter(PollSchedule(1), Progress.ANSWERED)
    async with joined_poll("cytechbot_default", "100", waiter):
        answers = await waiter.next()
    new, _ = await asyncio.to_thread(_compare, answers.subscriber_ids, SeenSubscribers())
    assert len(new) == subscribers


async def measured(what, subscribers: int) -> None:
    """Run one measurement and print the figures."""
    turns = []

    async def look() -> None:
        while True:
            start = time.thread_time()
            await asyncio.sleep(0.001)
            turns.append(time.thread_time() - start)

    async with CyTechBotAsyncHook() as hook:  # the imports
        await hook.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id="100")
    before, start = psutil.Process().memory_info().rss, time.process_time()
    looking = asyncio.create_task(look())
    await what(subscribers)
    used, highest = time.process_time() - start, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    looking.cancel()
    print(
        f"{what.__name__}: {used:.1f} CPU seconds, {(highest - before) / 2**20:.0f} MiB of memory, "
        f"longest turn of the loop {1000 * max(turns):.0f} ms"
    )


if __name__ == "__main__":
    main()
