"""An Airflow of many processes, one of which dies or stops in the middle of each piece of work."""

from __future__ import annotations

import gzip
from collections import Counter

import pytest

from tests.integration.object_store import BUCKET

from .conftest import EXPORTED_SUBSCRIBERS

pytestmark = pytest.mark.slow


def exported_rows(store, key):
    """Count the rows, and the subscribers, of an export as JSON Lines."""
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
    assert key not in store.objects()
    worker = airflow.component_of(runner)
    if killed == "worker":
        airflow.kill(worker)
    else:
        run.kill("export", "runner" if killed == "task" else "supervisor")
    assert key not in store.objects()
    if killed == "worker":
        airflow.start(worker)
    assert run.wait(240) == "success"
    assert run.tries()["export"] == 2
    rows, subscribers = exported_rows(store, key)
    assert subscribers == EXPORTED_SUBSCRIBERS
    assert rows == run.xcom("export")["rows"]
