"""State, journal and claims on a real S3 server."""

from __future__ import annotations

import threading

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotRequestError, CyTechBotStorageError
from airflow_provider_cytechbot.bulk.claim import Claim
from airflow_provider_cytechbot.bulk.folder import Folder
from airflow_provider_cytechbot.bulk.owner import Owner
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.storage.locations import StorageLocation

from ..object_store import BUCKET

pytest.importorskip("s3fs", reason="the extra s3 is not installed")
pytest.importorskip("airflow.providers.amazon", reason="the extra s3 is not installed")


@pytest.fixture
def store(running_store, monkeypatch):
    running_store.clear()
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", running_store.connection())
    return running_store


def assign(rows, **fields):
    root = f"s3://aws_default@{BUCKET}/bulk"
    task = CyTechBotAssignLabelsOperator(
        task_id="t",
        page_id="9",
        label_ids="5",
        rows=rows,
        state_path=f"{root}/state",
        report_path=f"{root}/report.csv",
        **fields,
    )
    return task.execute({})


def test_runs_build_on_each_other_and_a_lost_state_is_an_error(store, server):
    rows = [str(each) for each in range(1, 201)]
    assert assign(rows)["counts"]["succeeded"] == 200
    manifest = assign([*rows, "201"])
    assert (manifest["counts"]["unchanged"], manifest["counts"]["succeeded"]) == (200, 1)
    assert set(server.received.values()) == {1}
    (name,) = (key for key in store.objects() if key.startswith("bulk/state/state-"))
    store.client().delete_object(Bucket=BUCKET, Key=name)
    with pytest.raises(CyTechBotStorageError, match="has lost the file of its state"):
        assign(rows)
    assert set(server.received.values()) == {1}
    assert store.uploads() == []


@pytest.mark.parametrize("number", range(5))
def test_a_takeover_has_one_winner(store, number):
    folder = Folder(
        StorageLocation.from_parameter("state_path", f"s3://aws_default@{BUCKET}/claims-{number}")
    )
    won, lost = [], []

    def take(run):
        barrier.wait()
        try:
            won.append(Claim(folder, Owner(dag_id="d", run_id=str(run), host="elsewhere")))
        except CyTechBotRequestError as error:
            lost.append(error)

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=take, args=(run,)) for run in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 3)
