"""An Airflow of many processes, one of which dies or stops in the middle of each piece of work."""

from __future__ import annotations

import base64
import gzip
import html
import json
import time
from collections import Counter
from urllib.parse import quote, quote_plus

import pytest

pytest.importorskip("airflow.providers.celery", reason="make test-distributed runs this")

from airflow_provider_cytechbot.api.errors import CyTechBotAmbiguousWriteError
from tests.integration.object_store import BUCKET
from tests.integration.test_example_dags import RUN_AS

from .cluster import QUEUE, TRIGGERER_TIMEOUT, TRIGGERERS, WORKERS
from .conftest import EXPORTED_SUBSCRIBERS, SECRETS, SUBSCRIBERS

pytestmark = pytest.mark.slow

#: Seconds for a run whose worker was killed: Airflow waits for its heartbeats, and the retry takes its time.
PATIENCE = 600


def test_all_example_dags_run(airflow, api, store, home):
    api.reset()
    for batch in batched(RUN_AS.items(), 6):
        conf = {dag_id: example.conf((home / "runs" / dag_id).as_uri()) for dag_id, example in batch}
        runs = {dag_id: airflow.trigger(dag_id, each) for dag_id, each in conf.items()}
        for dag_id, run in runs.items():
            run.wait(PATIENCE)
            failing = RUN_AS[dag_id].failing
            expected = {task: "failed" if task in failing else "success" for task in run.states()}
            assert (run.states(), run.state) == (expected, "success"), dag_id


def batched(items, size):
    """Return the items in lists of a size."""
    items = list(items)
    return [items[start : start + size] for start in range(0, len(items), size)]


def exported(store, key):
    """Return the number of rows and of subscribers of an export as JSON Lines."""
    lines = gzip.decompress(store.read(key)).splitlines()
    return len(lines), len({line.partition(b'"subscriber_id":"')[2][:17] for line in lines})


@pytest.mark.parametrize("killed", ["task", "supervisor", "worker"])
def test_an_export_whose_process_is_killed_is_whole_after_its_retry(airflow, api, store, killed):
    api.reset()
    key = f"exports/{killed}.jsonl.gz"
    run = airflow.trigger("distributed_export", {"path": f"s3://aws_default@{BUCKET}/{key}"})
    runner = run.pid("export", 120)
    endpoint = "get_all_subscriber_flow_info"
    airflow.wait_until(lambda: api.journal.received(endpoint) == 1, 60, "the request", run)
    worker = airflow.component_of(runner)
    if killed == "worker":
        airflow.kill(worker)
    else:
        run.kill("export", "runner" if killed == "task" else "supervisor")
    if killed != "supervisor":  # without it the task goes on for a while
        assert key not in store.objects()
    if killed == "worker":
        airflow.start(worker)
    assert run.wait(PATIENCE) == "success"
    assert run.tries()["export"] == 2
    rows, subscribers = exported(store, key)
    assert subscribers == EXPORTED_SUBSCRIBERS
    assert rows == run.xcom("export")["rows"]


CREATES = {
    "contact": ("create_contact", "contacts"),
    "contact_group": ("create_contact_group", "contact_groups"),
    "label": ("create_label", "labels"),
    "user": ("create_system_user", "users"),
}


@pytest.mark.parametrize("killed", ["tasks", "worker"])
def test_no_create_happens_twice(airflow, api, killed):
    """A create whose process died is found again, or its task fails with the error for this case."""
    api.reset()
    before = {kind: set(getattr(api.state, table)) for kind, (_, table) in CREATES.items()}
    for endpoint, _ in CREATES.values():
        api.fault("delay", endpoint, seconds=20)
    run = airflow.trigger("distributed_creates")
    airflow.wait_until(lambda: api.journal.took_effect() >= 3, 120, "three creates", run)
    running = [task for task, state in run.states().items() if state == "running"]
    if killed == "worker":
        kill_a_worker(airflow, run)
    else:
        for task in running[:2]:
            run.kill(task, "runner")
    api.clear_faults()
    run.wait(PATIENCE)

    made = {kind: set(getattr(api.state, table)) - before[kind] for kind, (_, table) in CREATES.items()}
    expected = {"contact": 5, "contact_group": 1, "label": 1, "user": 1}
    states = run.states()
    for kind, number in expected.items():
        tasks = [task for task in states if task.partition("[")[0] == kind]
        assert len(tasks) == number
        done = [task for task in tasks if states[task] == "success"]
        ambiguous = [task for task in tasks if states[task] == "failed"]
        assert len(done) + len(ambiguous) == number
        assert all(CyTechBotAmbiguousWriteError.__name__ in run.log(task) for task in ambiguous)
        results = [run.xcom(task) for task in done]
        assert len(set(results)) == len(done)
        assert set(results) <= made[kind]
        assert len(made[kind]) <= number
        endpoint = CREATES[kind][0]
        assert api.journal.took_effect(endpoint) == len(made[kind])
    emails = Counter(api.state.contacts[each]["email"] for each in made["contact"])
    assert set(emails.values()) <= {1}


def test_a_message_that_celery_delivers_twice_creates_once(airflow, api):
    """Both workers get the same task instance, as after Celery's visibility timeout."""
    api.reset()
    api.fault("delay", "create_contact_group", seconds=10)
    for worker in WORKERS:
        airflow.pause(worker)
    time.sleep(2)  # a paused worker's last request for messages has timed out then
    run = airflow.trigger("distributed_creates", {"count": 0})
    broker = airflow.redis.connect()
    airflow.wait_until(lambda: broker.llen(QUEUE) >= 3, 120, "the messages", run)
    for message in broker.lrange(QUEUE, 0, -1):
        broker.lpush(QUEUE, message)
    for worker in WORKERS:
        airflow.resume(worker)
    assert run.wait(PATIENCE) == "success"
    for endpoint in ("create_contact_group", "create_label", "create_system_user"):
        assert (api.journal.received(endpoint), api.journal.took_effect(endpoint)) == (1, 1)
    assert {task: tries for task, tries in run.tries().items() if tries > 1} == {}


@pytest.mark.parametrize("accident", ["worker is killed", "Redis restarts"])
def test_a_bulk_write_in_shards_is_whole(airflow, api, home, accident):
    """Each row has exactly one outcome in the reports, and the server has each label."""
    api.reset()
    (label_id,) = list(api.state.labels)[:1]
    folder = home / "reports" / accident.replace(" ", "_")
    folder.mkdir(parents=True)
    api.fault("delay", "assign_label", seconds=0.2)
    conf = {"label_id": label_id, "folder": folder.as_uri(), "subscriber_ids": SUBSCRIBERS}
    run = airflow.trigger("distributed_bulk", conf)
    airflow.wait_until(lambda: api.journal.took_effect("assign_label") >= 40, 120, "the first labels", run)
    if accident == "Redis restarts":
        airflow.restart_redis()
    else:
        kill_a_worker(airflow, run)
    api.clear_faults()
    assert run.wait(PATIENCE) == "success"
    lines = report_lines(folder / "reports")
    assert Counter(line["key"] for line in lines) == Counter(SUBSCRIBERS)
    assert {line["outcome"] for line in lines} <= {"succeeded", "unchanged"}
    assert all(label_id in api.labels_of(each) for each in SUBSCRIBERS)
    counts = [run.xcom(f"assign[{shard}]")["counts"] for shard in range(8)]
    assert sum(sum(each.values()) for each in counts) == len(SUBSCRIBERS)


def kill_a_worker(airflow, run):
    """Kill the worker of a running task of a run, and start it again."""
    running = [task for task, state in run.states().items() if state == "running"]
    worker = airflow.component_of(run.pid(running[0]))
    airflow.kill(worker)
    airflow.start(worker)


def report_lines(folder):
    """Return the lines of all reports of a folder."""
    return [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]


def test_a_contact_sync_whose_worker_is_killed_creates_no_contact_twice(airflow, api, home):
    """Creates without a stored result are held, at most twice `max_concurrency`; the others are done once."""
    api.reset()
    folder = home / "reports" / "sync"
    folder.mkdir(parents=True)
    before = set(api.state.contacts)
    api.fault("delay", "create_contact", seconds=0.2)
    run = airflow.trigger("distributed_sync", {"folder": folder.as_uri(), "count": 200})
    airflow.wait_until(lambda: api.journal.took_effect("create_contact") >= 40, 120, "40 contacts", run)
    kill_a_worker(airflow, run)
    api.clear_faults()
    run.wait(PATIENCE)
    outcomes = {line["key"]: line["outcome"] for line in report_lines(folder)}
    assert sorted(outcomes, key=int) == [str(number) for number in range(200)]
    ambiguous = {key for key, outcome in outcomes.items() if outcome == "ambiguous"}
    assert {outcome for key, outcome in outcomes.items() if key not in ambiguous} <= {
        "succeeded",
        "unchanged",
    }
    assert len(ambiguous) <= 2 * 4
    assert run.states()["sync"] == ("failed" if ambiguous else "success")
    made = Counter(api.state.contacts[each]["email"] for each in set(api.state.contacts) - before)
    assert set(made.values()) == {1}
    assert {f"{key}@sync.example" for key in set(outcomes) - ambiguous} <= set(made)
    assert set(made) <= {f"{key}@sync.example" for key in outcomes}


def triggerers_of(airflow, run):
    """Return how many waiting tasks of a run each triggerer has, by the id of its job."""
    rows = airflow.query(
        "SELECT trigger.triggerer_id FROM trigger JOIN task_instance ON trigger_id = trigger.id"
        " WHERE dag_id = ? AND run_id = ?",
        run.dag_id,
        run.run_id,
    )
    return Counter(job for (job,) in rows)


def test_waits_survive_a_killed_and_a_paused_triggerer(airflow, api):
    api.reset()
    waited = SUBSCRIBERS[:60]
    run = airflow.trigger("distributed_waits", {"subscriber_ids": waited})

    def shared():
        jobs = triggerers_of(airflow, run)
        return len(jobs) == 2 and None not in jobs and jobs.total() == len(waited)

    airflow.wait_until(shared, PATIENCE, "60 waits on both triggerers", run)
    for each in waited[:20]:
        api.answer("9", each, "1", "Well")
    airflow.kill(TRIGGERERS[0])
    airflow.wait_until(
        lambda: len(triggerers_of(airflow, run)) <= 1, TRIGGERER_TIMEOUT * 4, "the takeover", run
    )
    airflow.start(TRIGGERERS[0])
    for each in waited[20:40]:
        api.answer("9", each, "1", "Well")
    airflow.pause(TRIGGERERS[1])
    airflow.wait_until(
        lambda: sum(state == "success" for state in run.states().values()) >= 41, PATIENCE, "40 waits", run
    )
    airflow.resume(TRIGGERERS[1])
    for each in waited[40:]:
        api.answer("9", each, "1", "Well")
    assert run.wait(PATIENCE) == "success"
    assert set(run.tries().values()) == {1}
    results = [run.xcom(f"wait[{number}]") for number in range(len(waited))]
    assert [[answer["answer"] for answer in each] for each in results] == [["Well"]] * len(waited)


def test_no_event_is_lost_when_its_triggerer_is_paused(airflow, api):
    api.reset()

    def reported():
        runs = airflow.runs("distributed_event")
        return {each for run in runs if run.state == "success" for each in run.xcom("read") or ()}

    api.answer("8", SUBSCRIBERS[0], "1", "First")
    airflow.wait_until(lambda: SUBSCRIBERS[0] in reported(), 120, "the first event")
    ((job,),) = airflow.query(
        "SELECT triggerer_id FROM trigger JOIN asset_watcher ON trigger_id = trigger.id"
        " JOIN asset ON asset.id = asset_id WHERE asset.name = 'distributed_answers'"
    )
    paused = airflow.component_of_job(job)
    airflow.pause(paused)
    api.answer("8", SUBSCRIBERS[1], "1", "Second")
    airflow.wait_until(lambda: SUBSCRIBERS[1] in reported(), PATIENCE, "the second event")
    airflow.resume(paused)
    api.answer("8", SUBSCRIBERS[2], "1", "Third")
    airflow.wait_until(lambda: SUBSCRIBERS[2] in reported(), PATIENCE, "the third event")


def forms(secret):
    """Return a secret in every encoding in which it could be written."""
    text = {
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        html.escape(secret),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        quote(quote(secret, safe=""), safe=""),
        secret.encode().hex(),
    }
    found = {each.encode() for each in text}
    for shift in range(3):  # base64 of any text that has the secret within
        encoded = base64.b64encode(b"." * shift + secret.encode())
        whole = encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]
        found |= {whole, whole.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


@pytest.mark.parametrize("name", SECRETS)
def test_each_encoding_of_a_secret_would_be_found(name):
    secret = SECRETS[name]
    written = [
        secret,
        f"key={quote_plus(secret)}&x=1",
        f"/path/{quote(secret, safe='')}",
        json.dumps({"password": secret}),
        json.dumps(json.dumps({"password": secret})),
        repr([secret]),
        *(base64.b64encode(f"{'x' * before}{secret} and more".encode()).decode() for before in range(3)),
    ]
    for text in written:
        assert any(form in text.encode() for form in forms(secret)), text


def test_no_secret_is_written_anywhere(airflow):
    written = airflow.written()
    assert b"distributed_export" in written["the database"]
    assert b"distributed_export" in written["Redis"]
    found = [
        f"the {name} in {place}"
        for name, secret in SECRETS.items()
        for place, content in written.items()
        if any(form in content for form in forms(secret))
    ]
    assert found == []
