from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import timedelta

import psutil
import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.sandbox.server import SandboxServer
from airflow_provider_cytechbot.triggers import campaign_poll, flow_answers
from airflow_provider_cytechbot.triggers.campaign_poll import FEW
from airflow_provider_cytechbot.triggers.flow_answers import (
    CyTechBotFlowCampaignTrigger,
    CyTechBotSubscriberFlowTrigger,
)
from airflow_provider_cytechbot.triggers.waiters import MAX_FAILED_POLLS

from .polls import until_requested

CAMPAIGN, ALL = "get_flow_campaign_info", "get_all_subscriber_flow_info"
ONE = "get_single_subscriber_flow_info"
FEEDBACK, UNANSWERED = "1", "2"


@pytest.fixture
def kwargs(interval):
    return {
        "cytechbot_conn_id": "cytechbot_default",
        "flow_campaign_id": UNANSWERED,
        "complete": True,
        "poke_interval": interval,
        "started_at": time.time(),
        "timeout": 20.0,
    }


async def fire(trigger):
    events = [event.payload async for event in trigger.run()]
    (event,) = events
    json.dumps(event)
    return event


def answer(server, subscriber, questions=("51", "52")):
    for question in questions:
        server.answer(UNANSWERED, subscriber, question, "Yes")


@pytest.mark.parametrize(
    "trigger",
    [
        lambda kwargs: CyTechBotFlowCampaignTrigger(min_subscribers=2, **kwargs),
        lambda kwargs: CyTechBotSubscriberFlowTrigger(subscriber_id="31", **kwargs),
    ],
)
def test_a_trigger_is_deserialized_unchanged(kwargs, trigger):
    path, arguments = trigger(kwargs).serialize()
    name = path.rpartition(".")[2]
    again = getattr(flow_answers, name)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


def test_fires_when_there_are_enough(server, run, kwargs):
    async def wait():
        task = asyncio.create_task(fire(CyTechBotFlowCampaignTrigger(min_subscribers=2, **kwargs)))
        await asyncio.sleep(0.5)
        answer(server, "31")
        answer(server, "32", ["51"])
        await asyncio.sleep(0.5)
        assert not task.done()
        answer(server, "32")
        return await task

    event = run(wait())
    result = {"flow_campaign_id": "2", "flow_name": "Spring ride: sign up", "answered": 2, "completed": 2}
    assert event == {"version": 1, "status": "success", "result": result}
    assert len(server.requests(CAMPAIGN)) == 1


def test_a_thousand_share_a_poll(server, run, kwargs):
    kwargs["poke_interval"] = 1.0

    async def wait():
        triggers = [CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs) for _ in range(1000)]
        tasks = [asyncio.create_task(fire(trigger)) for trigger in triggers]
        await asyncio.sleep(3.5)
        polls = len(server.requests(ALL))
        answer(server, "31")
        events = await asyncio.gather(*tasks)
        return polls, {event["status"] for event in events}

    polls, statuses = run(wait())
    assert statuses == {"success"}
    assert 2 <= polls <= 4
    assert len(server.requests(CAMPAIGN)) == 1


@pytest.mark.parametrize(("subscribers", "endpoint"), [(FEW, ONE), (FEW + 1, ALL)])
def test_a_few_subscribers_are_requested_singly_and_more_together(server, run, kwargs, subscribers, endpoint):
    async def wait():
        ids = [str(number) for number in range(31, 31 + subscribers)]
        triggers = [CyTechBotSubscriberFlowTrigger(subscriber_id=each, **kwargs) for each in ids]
        tasks = [asyncio.create_task(fire(trigger)) for trigger in triggers]
        await until_requested(server, endpoint, 3)
        request = {entry.endpoint for entry in server.requests()}
        for each in ids:
            answer(server, each)
        return request, await asyncio.gather(*tasks)

    request, events = run(wait())
    assert request == {CAMPAIGN, endpoint}
    assert events == [{"version": 1, "status": "success", "result": None}] * subscribers


def test_a_refused_subscriber_does_not_fail_the_others(server, run, kwargs):
    refused = '{"status": "error", "message": "No such subscriber"}'

    async def wait():
        triggers = [CyTechBotSubscriberFlowTrigger(subscriber_id=each, **kwargs) for each in ("31", "32")]
        tasks = [asyncio.create_task(fire(trigger)) for trigger in triggers]
        server.fault("body", ONE, body=refused)  # for the first request
        first = await tasks[0]
        answer(server, "32")
        return first, await tasks[1]

    first, second = run(wait())
    assert (first["status"], first["error"]) == ("error", "CyTechBotNotFoundError")
    assert second["status"] == "success"


def test_a_wait_ends_at_its_timeout(server, run, kwargs):
    kwargs["timeout"] = 0.5
    start = time.monotonic()
    event = run(fire(CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs)))
    assert event == {"version": 1, "status": "timeout"}
    assert time.monotonic() - start < 3


def test_tolerates_some_failed_polls_in_a_row(server, run, kwargs):
    server.fault("status", ALL, status=503, times=MAX_FAILED_POLLS)
    kwargs["flow_campaign_id"] = FEEDBACK
    event = run(fire(CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs)))
    assert event["status"] == "success"
    assert len(server.requests(ALL)) == MAX_FAILED_POLLS + 1


def test_a_successful_poll_resets_the_count_of_failed_polls(server, run, kwargs):
    async def wait():
        task = asyncio.create_task(fire(CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs)))
        for polls in (MAX_FAILED_POLLS + 1, 2 * (MAX_FAILED_POLLS + 1)):
            server.fault("status", ALL, status=503, times=MAX_FAILED_POLLS)
            await until_requested(server, ALL, polls)
        answer(server, "31")
        return await task

    assert run(wait())["status"] == "success"


def test_one_failed_poll_too_many_fails_all_waits_with_the_last_error(server, run, kwargs):
    server.fault("status", ALL, status=503, times=MAX_FAILED_POLLS)
    server.fault("html", ALL, times=-1)

    async def wait():
        triggers = [CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs) for _ in range(3)]
        return await asyncio.gather(*map(fire, triggers))

    for event in run(wait()):
        assert (event["status"], event["error"]) == ("error", "CyTechBotResponseError")
        assert event["failed_polls"] == MAX_FAILED_POLLS + 1
    assert len(server.requests(ALL)) == MAX_FAILED_POLLS + 1


def test_a_long_interval_does_not_fail_with_a_short_one(server, run, kwargs):
    """An outage of six polls of one waiter costs the other at most one poll."""
    server.fault("status", ALL, status=503, times=MAX_FAILED_POLLS + 1)

    async def wait():
        hasty = CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs)
        patient = CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs | {"poke_interval": 2.0})
        waits = [asyncio.create_task(fire(trigger)) for trigger in (patient, hasty)]
        given_up = await waits[1]
        answer(server, "31")
        return given_up, await waits[0]

    given_up, reached = run(wait())
    assert given_up["failed_polls"] == MAX_FAILED_POLLS + 1
    assert reached["status"] == "success"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"cytechbot_conn_id": "wrong_key"}, "CyTechBotAuthError"),
        ({"cytechbot_conn_id": "nowhere"}, "CyTechBotSettingsError"),
        ({"flow_campaign_id": "99"}, "CyTechBotNotFoundError"),
    ],
)
def test_a_permanent_error_fails_at_once(server, run, kwargs, wrong, error, caplog):
    caplog.set_level(logging.DEBUG)
    event = run(fire(CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs | wrong)))
    assert (event["status"], event["error"], event["failed_polls"]) == ("error", error, 1)
    assert len(server.requests()) <= 1
    for text in (repr(event), caplog.text):
        assert "1-wrong" not in text
        assert server.api_key not in text


def test_a_changed_key_is_read_again(server, run, kwargs, monkeypatch):
    async def wait():
        task = asyncio.create_task(fire(CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs)))
        await until_requested(server, ALL, 2)
        monkeypatch.setattr(server, "api_key", "1-the-next-key")
        keys = server._installation.user_ids_by_key
        old = keys.copy()
        keys.clear()
        keys["1-the-next-key"] = 1
        connection = json.loads(server.connection_json(timeout=2))
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
        try:
            answer(server, "31")
            return await task
        finally:
            keys.clear()
            keys.update(old)

    assert run(wait())["status"] == "success"


@pytest.mark.parametrize("moment", ["while it polls", "between polls"])
def test_a_cancelled_trigger_closes_its_sockets(server, run, kwargs, moment):
    if moment == "while it polls":
        server.fault("delay", ALL, seconds=5, times=-1)
    kwargs["poke_interval"] = 0.1 if moment == "while it polls" else 60.0
    kwargs |= {"started_at": time.time() - 60, "timeout": 600.0}

    def sockets():
        open_ones = psutil.Process().net_connections("tcp")
        return [each for each in open_ones if each.raddr and each.raddr.port == server.port]

    async def wait():
        task = asyncio.create_task(fire(CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs)))
        await until_requested(server, ALL)
        await asyncio.sleep(0.3)
        assert sockets()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        while any(each.status == psutil.CONN_ESTABLISHED for each in sockets()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    run(asyncio.wait_for(wait(), 5))


def test_others_go_on_when_one_is_cancelled(server, run, kwargs):
    async def wait():
        triggers = [CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs) for _ in range(2)]
        first, second = (asyncio.create_task(fire(trigger)) for trigger in triggers)
        await asyncio.sleep(0.3)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        answer(server, "31")
        return await second

    assert run(wait())["status"] == "success"


@pytest.fixture
def warmed_up(server, run, kwargs):
    """Import first: on a busy machine, the imports in a thread also delay the loop for seconds."""
    run(fire(CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs | {"timeout": 0.5})))


def test_a_cancelled_trigger_causes_no_poll(run, kwargs, monkeypatch):
    polls = []
    monkeypatch.setattr(campaign_poll, "_hook_class", lambda: polls.append(1))
    kwargs["started_at"] = time.time()

    async def wait():
        triggers = [
            CyTechBotSubscriberFlowTrigger(subscriber_id=str(number), **kwargs | {"poke_interval": interval})
            for number, interval in enumerate([1.2, *([30.0] * (FEW + 1))])
        ]
        tasks = [asyncio.create_task(fire(trigger)) for trigger in triggers]
        await asyncio.sleep(0.1)
        tasks[0].cancel()
        await asyncio.sleep(1.4)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(wait())
    assert polls == []


@pytest.mark.usefixtures("warmed_up")
def test_no_poll_blocks_the_loop(server, run, kwargs, caplog):
    async def wait():
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 2.0  # long enough for a busy machine, shorter than the server's delay
        triggers = [CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs) for _ in range(500)]
        tasks = [asyncio.create_task(fire(trigger)) for trigger in triggers]
        server.fault("delay", ALL, seconds=2.3)
        await asyncio.sleep(1)
        answer(server, "31")
        await asyncio.gather(*tasks)

    caplog.set_level(logging.WARNING, "asyncio")
    run(wait())
    slow = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    assert slow == []


@pytest.mark.usefixtures("warmed_up")
def test_a_large_answer_is_read_in_slices(run, kwargs, monkeypatch):
    """Measured in CPU time of the loop's thread, which a busy machine does not change."""
    subscribers, slices = 30_000, []

    async def watch():
        while True:
            start = time.thread_time()
            await asyncio.sleep(0.001)
            slices.append(time.thread_time() - start)

    async def wait():
        watching = asyncio.create_task(watch())
        trigger = CyTechBotFlowCampaignTrigger(
            min_subscribers=subscribers, **kwargs | {"flow_campaign_id": "100", "complete": False}
        )
        event = await fire(trigger)
        watching.cancel()
        return event

    with SandboxServer(subscribers=subscribers) as server:
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", server.connection_json())
        event = run(wait())
    assert event["result"]["answered"] == subscribers
    assert max(slices) < 0.15


WRONG_ARGUMENTS = [
    ("min_subscribers", "1"),
    ("min_subscribers", 0),
    ("min_subscribers", True),
    ("min_subscribers", None),
    ("complete", "yes"),
    ("complete", None),
    ("poke_interval", float("nan")),
    ("poke_interval", float("inf")),
    ("poke_interval", -1),
    ("poke_interval", 1e300),
    ("poke_interval", "60"),
    ("max_wait", float("nan")),
    ("exponential_backoff", "no"),
    ("started_at", "now"),
    ("started_at", float("nan")),
    ("timeout", None),
    ("timeout", float("nan")),
    ("flow_campaign_id", "feedback"),
    ("flow_campaign_id", None),
    ("cytechbot_conn_id", None),
]


@pytest.mark.parametrize(("name", "value"), WRONG_ARGUMENTS)
def test_a_wrong_argument_is_refused_where_a_task_defers_and_is_an_error_event(run, kwargs, name, value):
    trigger = CyTechBotFlowCampaignTrigger(**{"min_subscribers": 1, **kwargs, name: value})
    with pytest.raises(CyTechBotFieldError, match=name):
        trigger.serialize()
    assert repr(trigger)
    event = run(fire(trigger))
    assert (event["status"], event["error"]) == ("error", "CyTechBotFieldError")
    assert name in event["reason"]


@pytest.mark.parametrize("subscriber_id", ["", None, 1.5, "1,2"])
def test_a_wrong_subscriber_is_an_error_event(run, kwargs, subscriber_id):
    event = run(fire(CyTechBotSubscriberFlowTrigger(subscriber_id=subscriber_id, **kwargs)))
    assert "subscriber_id" in event["reason"]


def test_a_trigger_with_a_wrong_argument_does_not_stop_the_others(server, run, kwargs):
    async def wait():
        good = asyncio.create_task(fire(CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs)))
        wrong = [
            CyTechBotFlowCampaignTrigger(**{"min_subscribers": 1, **kwargs, name: value})
            for name, value in WRONG_ARGUMENTS
        ]
        events = await asyncio.gather(*map(fire, wrong))
        answer(server, "31")
        return {event["status"] for event in events}, await good

    statuses, event = run(wait())
    assert statuses == {"error"}
    assert event["status"] == "success"


def test_durations_can_be_timedeltas(kwargs):
    durations = {
        "poke_interval": timedelta(minutes=5),
        "timeout": timedelta(hours=1),
        "max_wait": timedelta(hours=2),
    }
    trigger = CyTechBotFlowCampaignTrigger(min_subscribers=1, **kwargs | durations)
    arguments = trigger.serialize()[1]
    assert (arguments["poke_interval"], arguments["timeout"], arguments["max_wait"]) == (
        300.0,
        3600.0,
        7200.0,
    )


class TestStartedInTheTriggerer:
    """Without a first check on a worker: there is no start, and rendered templates are text."""

    @pytest.fixture
    def kwargs(self, kwargs):
        return {**kwargs, "started_at": None}

    def test_arguments_can_be_rendered_templates(self, run, kwargs):
        trigger = CyTechBotFlowCampaignTrigger(min_subscribers="2", **{**kwargs, "complete": "False"})
        path, serialized = trigger.serialize()
        assert path.endswith("CyTechBotFlowCampaignTrigger")
        assert (serialized["min_subscribers"], serialized["complete"]) == (2, False)
        assert serialized["started_at"] is None

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("min_subscribers", "many"),
            ("min_subscribers", "0"),
            ("complete", "yes"),
            ("flow_campaign_id", "x"),
        ],
    )
    def test_a_template_that_cannot_be_used_is_an_error_event(self, run, kwargs, name, value):
        event = run(fire(CyTechBotFlowCampaignTrigger(**{"min_subscribers": 1, **kwargs, name: value})))
        assert (event["status"], event["error"]) == ("error", "CyTechBotFieldError")
        assert name in event["reason"]

    def test_the_first_poll_is_not_delayed_by_the_interval(self, run, kwargs, server):
        answer(server, "31")
        start = time.monotonic()
        event = run(
            fire(CyTechBotSubscriberFlowTrigger(subscriber_id="31", **{**kwargs, "poke_interval": 30.0}))
        )
        assert event["status"] == "success"
        assert time.monotonic() - start < 15

    def test_an_unknown_campaign_is_refused_although_any_answer_is_enough(self, run, kwargs, server):
        options = {**kwargs, "complete": False, "flow_campaign_id": "99"}
        event = run(fire(CyTechBotSubscriberFlowTrigger(subscriber_id="31", **options)))
        assert (event["status"], event["error"]) == ("error", "CyTechBotNotFoundError")
