"""An Airflow of many processes, one of which dies or stops in the middle of each piece of work."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

pytest.importorskip("airflow.providers.celery", reason="make test-distributed runs this")

from airflow_provider_cytechbot.api.errors import CyTechBotAmbiguousWriteError
from tests.integration.object_store import BUCKET
from tests.integration.test_example_dags import RUN_AS

from .cluster import QUEUE, TRIGGERERS, WORKERS
from .conftest import EXPORTED_SUBSCRIBERS, SUBSCRIBERS

pytestmark = pytest.mark.slow

#: Seconds for a run whose worker was killed: Airflow waits for its heartbeats, and the retry takes its time.
PATIENCE = 600
#: Seconds for which the server withholds an answer: what waits for it is surely in the middle of its work.
#: Those that are not killed wait as long.
HELD = 40
#: Answers that each subscriber of the large campaign gave.
ANSWERS_EACH = 5
#: Rows of a bulk write that are answered at once, before those whose answers are withheld.
ANSWERED = 40


@pytest.fixture(autouse=True)
def repaired(airflow):
    """A test that fails in the middle leaves all components alive to the next, or to its own repetition."""
    yield
    airflow.repair()


def test_all_example_dags_run(airflow, api, store, home):
    api.reset()
    conf = {dag_id: example.conf((home / "runs" / dag_id).as_uri()) for dag_id, example in RUN_AS.items()}
    runs = {dag_id: airflow.trigger(dag_id, each) for dag_id, each in conf.items()}
    for dag_id, run in runs.items():
        run.wait(PATIENCE)
        failing = RUN_AS[dag_id].failing
        expected = {task: "failed" if task in failing else "success" for task in run.states()}
        assert (run.states(), run.state) == (expected, RUN_AS[dag_id].run_state), dag_id


def exported(store, key):
    """Return the number of rows and of subscribers of an export as JSON Lines."""
    lines = store.read(key).splitlines()
    return len(lines), len({line.partition(b'"subscriber_id":"')[2][:17] for line in lines})


@pytest.mark.parametrize("killed", ["task", "supervisor", "worker"])
def test_an_export_whose_process_is_killed_is_whole_after_its_retry(airflow, api, store, killed):
    """It dies in the middle of its upload. Without its supervisor it may go on beside the second try."""
    api.reset()
    key = f"exports/{killed}-{time.time_ns()}.jsonl"
    # A second before each of about 200 pieces: the first try cannot end before it is killed.
    api.fault("trickle", "get_all_subscriber_flow_info", size=10_000_000, seconds=1)
    run = airflow.trigger("distributed_export", {"path": f"s3://aws_default@{BUCKET}/{key}"})
    runner = run.pid("export", PATIENCE)
    airflow.wait_until(lambda: key in store.uploads(), PATIENCE, "the upload", run)
    worker = airflow.component_of(runner)
    if killed == "worker":
        airflow.kill(worker)
    else:
        run.kill("export", "runner" if killed == "task" else "supervisor")
    assert key not in store.objects()
    if killed == "worker":
        airflow.start(worker)
    assert run.wait(PATIENCE) == "success"
    assert run.tries()["export"] >= 2
    assert exported(store, key) == (ANSWERS_EACH * EXPORTED_SUBSCRIBERS, EXPORTED_SUBSCRIBERS)
    assert run.xcom("export")["rows"] == ANSWERS_EACH * EXPORTED_SUBSCRIBERS
    if airflow.owns(runner):  # the first try goes on without its supervisor
        airflow.kill_process(runner)


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
    expected = {"contact": 5, "contact_group": 1, "label": 1, "user": 1}
    single = ("contact_group", "label", "user")
    held = dict.fromkeys(single, 4 * HELD) if killed == "tasks" else dict.fromkeys(CREATES, 1.5 * HELD)
    for kind, seconds in held.items():
        api.fault("delay", CREATES[kind][0], seconds=seconds, times=-1)
    run = airflow.trigger("distributed_creates")

    def are_made():
        return all(api.journal.took_effect(CREATES[kind][0]) == expected[kind] for kind in held)

    airflow.wait_until(are_made, PATIENCE, "the creates", run)
    if killed == "worker":
        kill_a_worker(airflow, run)
    else:
        for kind in single:
            run.kill(kind, "runner")
    api.clear_faults()
    run.wait(PATIENCE)
    if killed == "tasks":  # users and labels can be looked up
        found = {kind: run.states()[kind] for kind in single}
        assert found == {"contact_group": "failed", "label": "success", "user": "success"}

    made = {kind: set(getattr(api.state, table)) - before[kind] for kind, (_, table) in CREATES.items()}
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
    api.fault("delay", "create_contact_group", seconds=HELD / 2)
    for worker in WORKERS:
        airflow.pause(worker)
    time.sleep(2)  # a paused worker's last request for messages has timed out then
    run = airflow.trigger("distributed_creates", {"count": 0})
    broker = airflow.redis.connect()
    airflow.wait_until(lambda: broker.llen(QUEUE) >= 4, PATIENCE, "the messages", run)
    for message in broker.lrange(QUEUE, 0, -1):
        broker.lpush(QUEUE, message)
    for worker in WORKERS:
        airflow.resume(worker)
    assert run.wait(PATIENCE) == "success"
    refused = "Task already running elsewhere, ignoring redelivered message"
    assert any(refused in airflow.programs[worker].output() for worker in WORKERS)
    for endpoint in ("create_contact_group", "create_label", "create_system_user"):
        assert (api.journal.received(endpoint), api.journal.took_effect(endpoint)) == (1, 1)
    assert {task: tries for task, tries in run.tries().items() if tries > 1} == {}


@pytest.mark.parametrize("accident", ["worker is killed", "Redis restarts"])
def test_a_bulk_write_in_shards_is_whole(airflow, api, home, accident):
    """Each row has exactly one outcome in the reports, and the server has each label."""
    api.reset()
    (label_id,) = list(api.state.labels)[:1]
    folder = home / "reports" / str(time.time_ns())
    folder.mkdir(parents=True)
    hold_after_some(api, "assign_label")
    conf = {"label_id": label_id, "folder": folder.as_uri(), "subscriber_ids": SUBSCRIBERS}
    run = airflow.trigger("distributed_bulk", conf)
    airflow.wait_until(lambda: api.journal.received("assign_label") > ANSWERED, PATIENCE, "labels", run)
    if accident == "Redis restarts":
        airflow.restart_redis()
    else:
        wait_until_all_slots_are_taken(airflow, run)
        kill_a_worker(airflow, run)
    api.clear_faults()
    assert run.wait(PATIENCE) == "success"
    lines = report_lines(folder / "reports")
    assert Counter(line["key"] for line in lines) == Counter(SUBSCRIBERS)
    assert {line["outcome"] for line in lines} <= {"succeeded", "unchanged"}
    assert all(label_id in api.labels_of(each) for each in SUBSCRIBERS)
    counts = [run.xcom(f"assign[{shard}]")["counts"] for shard in range(8)]
    assert sum(sum(each.values()) for each in counts) == len(SUBSCRIBERS)


def hold_after_some(api, endpoint):
    """Answer some requests to an endpoint, and then withhold the answers."""
    api.fault("delay", endpoint, seconds=0.05, times=ANSWERED)
    api.fault("delay", endpoint, seconds=HELD, times=-1)


def wait_until_all_slots_are_taken(airflow, run):
    """
    Wait until no worker can have received a task that it has not begun.

    If it is killed then, Airflow waits for `[scheduler] task_queued_timeout` until it queues the task again.
    """

    def are_taken():
        return sum(state == "running" for state in run.states().values()) == airflow.slots * len(WORKERS)

    airflow.wait_until(are_taken, PATIENCE, "tasks in all slots", run)


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
    folder = home / "reports" / str(time.time_ns())
    folder.mkdir(parents=True)
    before = set(api.state.contacts)
    hold_after_some(api, "create_contact")
    run = airflow.trigger("distributed_sync", {"folder": folder.as_uri(), "count": 200})
    airflow.wait_until(
        lambda: api.journal.took_effect("create_contact") > ANSWERED, PATIENCE, "contacts", run
    )
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
    assert 1 <= len(ambiguous) <= 2 * 4
    assert run.states()["sync"] == "failed"
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
    """Neither triggerer has places for 60 waits, but either has for 40."""
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
    airflow.wait_until(lambda: len(triggerers_of(airflow, run)) <= 1, PATIENCE, "the takeover", run)
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
    airflow.wait_until(lambda: SUBSCRIBERS[0] in reported(), PATIENCE, "the first event")
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
