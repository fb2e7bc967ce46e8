from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from contextlib import aclosing
from datetime import timedelta

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_3_PLUS

if not AIRFLOW_V_3_0_PLUS:
    pytest.skip("event triggers are new in Airflow 3.0", allow_module_level=True)

from airflow.triggers.base import BaseEventTrigger

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.triggers.new_flow_answers import (
    MAX_NAMED,
    CyTechBotNewFlowAnswersTrigger,
    StoredEventsProducer,
)
from airflow_provider_cytechbot.triggers.seen_subscribers import SeenSubscribers, StateError
from airflow_provider_cytechbot.triggers.waiters import NewAnswers

from .polls import until_requested

if AIRFLOW_V_3_3_PLUS:
    from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome

has_store = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="the assets' state store is new in Airflow 3.3")

UNANSWERED = "2"
ALL = "get_all_subscriber_flow_info"


class Store:
    """An asset state store in memory."""

    def __init__(self):
        self.values = {}

    async def aget(self, key, default=None):
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key, value):
        self.values[key] = json.dumps(value)


@pytest.fixture
def trigger(interval):
    def trigger(store=None, **options):
        made = CyTechBotNewFlowAnswersTrigger(
            flow_campaign_id=UNANSWERED, complete=False, poll_interval=interval, **options
        )
        made.asset_state_store = store
        return made

    return trigger


async def polls(server, number=5):
    """Wait for this number of further polls."""
    await until_requested(server, ALL, server.journal.received(ALL) + number)


async def live(trigger, server, during=None, store_events=True):
    """Read a shared stream like Airflow, for some polls or during an action; return the events."""
    events = []
    _, kwargs = trigger.serialize()
    producer = type(trigger).create_shared_stream_producer(kwargs)

    async def stream():
        async with aclosing(producer.open_stream()) as opened:
            async for raw, payload in opened:
                yield raw
                # The trigger has handled it only now.
                if store_events:
                    await producer.advance([AdvanceItem(payload, AdvanceOutcome(acked=1, failed=0))])

    async def consume():
        async with aclosing(stream()) as raw:
            async for event in trigger.filter_shared_stream(raw):
                events.append(event.payload)  # noqa: PERF401 (it ends by being cancelled)

    task = asyncio.create_task(consume())
    await (polls(server) if during is None else during)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return events


def answer(server, *subscribers):
    for subscriber in subscribers:
        server.answer(UNANSWERED, subscriber, "51", "Yes")


def test_serialization_names_the_public_module(trigger, interval):
    path, kwargs = trigger().serialize()
    assert path == "airflow_provider_cytechbot.triggers.new_flow_answers.CyTechBotNewFlowAnswersTrigger"
    assert kwargs == {
        "flow_campaign_id": UNANSWERED,
        "complete": False,
        "poll_interval": interval,
        "cytechbot_conn_id": "cytechbot_default",
    }


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"flow_campaign_id": "feedback"}, "flow_campaign_id"),
        ({"flow_campaign_id": 1.5}, "flow_campaign_id"),
        ({"complete": "False"}, "complete"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"poll_interval": "60"}, "poll_interval"),
        ({"poll_interval": True}, "poll_interval"),
        ({"poll_interval": float("nan")}, "poll_interval"),
        ({"poll_interval": float("inf")}, "poll_interval"),
        ({"poll_interval": 1e300}, "poll_interval"),
        ({"poll_interval": timedelta(0)}, "poll_interval"),
        ({"cytechbot_conn_id": ""}, "cytechbot_conn_id"),
        ({"cytechbot_conn_id": None}, "cytechbot_conn_id"),
    ],
)
def test_a_wrong_argument_fails_where_the_dag_is_read(wrong, named):
    with pytest.raises(CyTechBotFieldError, match=named):
        CyTechBotNewFlowAnswersTrigger(**{"flow_campaign_id": 7, **wrong})
    # A triggerer that creates a trigger from the database survives a TypeError only.
    with pytest.raises(TypeError):
        CyTechBotNewFlowAnswersTrigger(**{"flow_campaign_id": 7, **wrong})


def test_an_interval_can_be_a_timedelta():
    trigger = CyTechBotNewFlowAnswersTrigger(flow_campaign_id=7, poll_interval=timedelta(minutes=5))
    assert trigger.serialize()[1]["poll_interval"] == 300.0


@has_store
def test_with_a_store_it_has_its_own_stream(trigger):
    assert trigger().shared_stream_key() is None
    assert trigger(Store()).shared_stream_key() == trigger(Store()).shared_stream_key() != None  # noqa: E711


@has_store
def test_fires_once_for_new_subscribers_across_restarts(server, run, trigger):
    store = Store()
    answer(server, "31")

    async def live_thrice():
        first = await live(trigger(store), server)
        answer(server, "32", "33")
        second = await live(trigger(store), server)
        return first, second, await live(trigger(store), server)

    first, (event,), third = run(live_thrice())
    assert first == third == []  # subscribers of the first start are not new
    assert event["subscriber_ids"] == ["32", "33"]
    assert (event["count"], event["answered"], event["completed"]) == (2, 3, 0)
    assert (event["flow_campaign_id"], event["flow_name"]) == (UNANSWERED, "Spring ride: sign up")


@has_store
def test_an_event_that_was_not_stored_is_repeated_unchanged(server, run, trigger):
    store = Store()

    async def live_thrice():
        await live(trigger(store), server)
        answer(server, "32")
        lost = await live(trigger(store), server, store_events=False)
        return lost, await live(trigger(store), server), await live(trigger(store), server)

    lost, again, never = run(live_thrice())
    assert lost == again
    assert len(again) == 1
    assert never == []


@has_store
def test_a_state_of_a_newer_version_is_rejected_and_not_written_over(server, run, trigger, interval):
    store = Store()
    key = trigger()._state_key
    store.values[key] = kept = json.dumps({"version": 2, "count": 0, "seen": ""})

    async def live_once():
        watch = trigger(store)
        _, kwargs = watch.serialize()
        producer = type(watch).create_shared_stream_producer(kwargs)
        async with aclosing(producer.open_stream()) as opened:
            start = time.monotonic()
            with pytest.raises(StateError, match=r"of version 2, not 1.* newer version of the provider"):
                await anext(watch.filter_shared_stream(raw async for raw, _ in opened))
            return time.monotonic() - start

    assert run(live_once()) >= interval  # Airflow restarts it at once
    assert store.values[key] == kept


@has_store
def test_an_event_is_bounded(server, run, trigger):
    store = Store()

    async def live_twice():
        await live(trigger(store), server)
        answer(server, *(str(number) for number in range(1000, 1000 + MAX_NAMED + 5)))
        return await live(trigger(store), server)

    (event,) = run(live_twice())
    assert event["count"] == MAX_NAMED + 5
    assert len(event["subscriber_ids"]) == MAX_NAMED
    assert len(event["digest"]) == 64


@has_store
def test_a_failing_store_or_server_does_not_end_it(server, run, trigger):
    class Failing(Store):
        async def aset(self, key, value):
            raise OSError("full")

    async def during():
        await polls(server)
        server.fault("status", ALL, status=503, times=2)
        answer(server, "31")
        await polls(server)
        answer(server, "32")
        await polls(server)

    async def live_once():
        return await live(trigger(Failing()), server, during())

    assert [event["subscriber_ids"] for event in run(live_once())] == [["31"], ["32"]]


async def results(*polls):
    """Poll results, each after a step: a list of subscribers, or a coroutine function to await."""
    for each in polls:
        if callable(each):
            await each()
        else:
            yield NewAnswers(each, "Campaign", len(each), 0)


def fired(run, trigger, polls):
    """Return the subscribers of each event."""

    async def collect():
        found = []
        async for event in trigger.filter_shared_stream(results(*polls)):
            found.append(event.payload["subscriber_ids"])  # noqa: PERF401
        return found

    return run(collect())


@has_store
def test_a_triggerer_that_was_frozen_does_not_repeat_the_events_of_another(run, trigger):
    store = Store()

    async def set_up():
        await trigger(store)._store(SeenSubscribers().with_also(["31"]))

    async def other_triggerer_stores():
        await trigger(store)._store(SeenSubscribers().with_also(["31", "32"]))

    run(set_up())
    polls = [["31"], other_triggerer_stores, ["31", "32"], ["31", "32", "33"]]
    assert fired(run, trigger(store), polls) == [["33"]]


@has_store
def test_a_state_is_never_replaced_by_an_older_one(run, trigger):
    store = Store()

    async def write():
        late = SeenSubscribers().with_also(["31", "33"])  # of a triggerer that was frozen
        await trigger(store)._store(SeenSubscribers().with_also(["31", "32"]))
        await trigger(store)._store(late)
        return await trigger(store)._load()

    assert run(write()).unseen(["31", "32", "33", "34"]) == ["34"]


@has_store
def test_a_store_that_cannot_be_read_again_does_not_lose_an_event(run, trigger):
    store = Store()

    async def set_up():
        await trigger(store)._store(SeenSubscribers().with_also(["31"]))

    async def break_store():
        async def aget(key, default=None):
            raise OSError("down")

        store.aget = aget

    run(set_up())
    assert fired(run, trigger(store), [break_store, ["31", "32"], ["31", "32"]]) == [["32"]]


@has_store
def test_an_event_with_long_ids_and_names_is_bounded(run, trigger):
    made = trigger()
    answers = NewAnswers([], "n" * 1_000_000, 0, 0)
    payload = made._payload(answers, ["a", "b" * 1_000_000, "c"])
    assert payload["count"] == 3
    assert payload["subscriber_ids"] == ["a"]
    assert len(json.dumps(payload)) < 3_000


def test_without_a_store_it_fires_for_later_answers_and_logs_that_once(server, run, trigger, caplog, capsys):
    answer(server, "31")

    async def first_event():
        stream = trigger().run()
        task = asyncio.create_task(anext(stream))
        await polls(server)
        answer(server, "32")
        event = await task
        await stream.aclose()
        return event.payload

    assert run(first_event())["subscriber_ids"] == ["32"]
    # The logging depends on the version of Airflow; 3.0 shows the line twice.
    shown = [
        text.count("after a restart, the trigger fires for later answers only")
        for text in (caplog.text, capsys.readouterr().out)
    ]
    assert max(shown) == 1


def test_on_airflow_2_only_the_event_trigger_cannot_be_imported(monkeypatch):
    package = "airflow_provider_cytechbot.triggers"
    for name in ("flow_answers", "new_flow_answers"):
        module = importlib.import_module(f"{package}.{name}")
        monkeypatch.setattr(f"{package}.{name}", module)  # monkeypatch restores this module afterwards
        monkeypatch.delitem(sys.modules, f"{package}.{name}")
    monkeypatch.delattr("airflow.triggers.base.BaseEventTrigger")
    rest = importlib.import_module(f"{package}.flow_answers")
    assert rest.CyTechBotFlowCampaignTrigger
    with pytest.raises(ImportError, match=r"needs Airflow 3\.0 or newer"):
        importlib.import_module(f"{package}.new_flow_answers")


@has_store
def test_the_newest_state_of_a_batch_is_stored(run):
    """Later results without a new subscriber come back in the same batch as the event."""
    stored = []

    def item(name, failed=0):
        async def remember():
            stored.append(name)

        answers = NewAnswers([], None, 0, 0, remember if name else None)
        return AdvanceItem(answers, AdvanceOutcome(acked=1, failed=failed))

    producer = StoredEventsProducer(None)
    run(producer.advance([item("old"), item("new"), item(None), item("not stored", failed=1)]))
    run(producer.advance([item(None)]))
    assert stored == ["new"]


@has_store
def test_a_store_that_fails_does_not_end_the_trigger(run, caplog):
    async def remember():
        raise OSError("full")

    item = AdvanceItem(NewAnswers([], None, 0, 0, remember), AdvanceOutcome(acked=1, failed=0))
    run(StoredEventsProducer(None).advance([item]))
    assert "could not be stored (OSError)" in caplog.text


@pytest.mark.skipif(
    not hasattr(BaseEventTrigger, "queue"), reason="queues of triggers are new in Airflow 3.4"
)
def test_a_queue_is_kept_out_of_the_serialized_arguments(trigger):
    queued = trigger(queue="eu")
    assert queued.queue == "eu"
    assert queued.serialize() == trigger().serialize()


@pytest.mark.skipif(hasattr(BaseEventTrigger, "queue"), reason="Airflow 3.4 has queues of triggers")
def test_a_queue_is_refused_before_airflow_3_4(trigger):
    with pytest.raises(CyTechBotFieldError, match="'queue' needs Airflow"):
        trigger(queue="eu")
