from __future__ import annotations

import asyncio
import csv
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotRequestError,
    CyTechBotStorageError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.api.records import WriteOutcome
from airflow_provider_cytechbot.bulk import job as job_module
from airflow_provider_cytechbot.bulk.job import BulkJob, BulkOptions
from airflow_provider_cytechbot.bulk.resource import InvalidRowError, PlannedWrite


class Things:
    operation = "paint"
    key_field = "key"
    fields = ("key",)
    is_repeatable = True

    def __init__(self):
        self.sent = []
        self.prepared = []
        self.responses = {}

    def plan(self, values):
        if not values["key"]:
            raise InvalidRowError("no key")
        return PlannedWrite(values["key"], "red", "color")

    def merge(self, payload, other):
        return payload

    def describe(self, payload):
        return payload

    def prepare(self, *, plan_only):
        self.prepared.append(plan_only)

    async def write(self, hook, key, payload):
        self.sent.append(key)
        await asyncio.sleep(0.001)
        response = self.responses.get(key, WriteOutcome(changed=True, message=None))
        if callable(response):
            response = response()
        if isinstance(response, BaseException):
            raise response
        return response


@pytest.fixture
def things(monkeypatch):
    @asynccontextmanager
    async def open_hook(conn_id, settings):
        yield None

    monkeypatch.setattr(job_module, "_open_hook", open_hook)
    return Things()


def make(things, rows, **options):
    return BulkJob(lambda: rows, things, BulkOptions(**options), SimpleNamespace(max_retries=0), "c")


def test_the_manifest_adds_up(things, tmp_path):
    path = str(tmp_path / "report.csv")
    things.responses["b"] = CyTechBotRequestError("no.")
    job = make(things, ["a", "b", "a", ""], report_path=path, on_error="report")
    manifest = job.run()
    assert manifest.keys() == {
        "report_uri",
        "rows",
        "source_rows",
        "counts",
        "operations",
        "state_uri",
        "plan_digest",
    }
    assert manifest["counts"] == {
        "succeeded": 2,
        "unchanged": 0,
        "refused": 1,
        "invalid": 1,
        "ambiguous": 0,
        "failed": 0,
        "not_attempted": 0,
    }
    assert manifest["operations"] == {"none": 1, "paint": 3}
    assert sum(manifest["counts"].values()) == manifest["rows"] == 4
    assert job.has_succeeded
    assert things.prepared == [False]


def test_outcomes_that_do_not_add_up_fail_the_task(things, monkeypatch):
    monkeypatch.setattr(job_module.Ledger, "close_open_rows", lambda self, reason: None)
    with pytest.raises(CyTechBotRequestError, match="do not add up to 1 rows"):
        make(things, ["a"], plan_only=True).run()


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (CyTechBotRequestError("no."), CyTechBotRequestError),
        (CyTechBotTransportError("cut off.", is_transient=False), CyTechBotTransportError),
    ],
)
def test_the_manifest_is_complete_when_the_task_fails(things, response, error):
    things.responses["a"] = response
    job = make(things, ["a", "b"])
    with pytest.raises(error, match=r"2 rows: 1 succeeded, 1 \w+\. The first: a: "):
        job.run()
    assert job.manifest["rows"] == 2
    assert not job.has_succeeded


def test_a_report_that_cannot_be_written_is_known_before_the_first_call(things, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CyTechBotError):
        make(things, ["a"], report_path=str(tmp_path / "file" / "report.csv")).run()
    assert things.sent == []


def test_a_source_that_breaks_off_sends_nothing_and_leaves_no_report(things, tmp_path):
    def rows():
        yield "a"
        raise CyTechBotStorageError("cut off.")

    with pytest.raises(CyTechBotStorageError):
        make(things, rows(), report_path=str(tmp_path / "report.csv")).run()
    assert things.sent == []
    assert list(tmp_path.iterdir()) == []


def test_a_stop_before_the_first_call_sends_nothing(things, tmp_path):
    job = make(things, ["a", "b"], report_path=str(tmp_path / "report.csv"))
    job.stop()
    with pytest.raises(CyTechBotTransportError, match="was stopped"):
        job.run()
    assert things.sent == []
    assert job.manifest["counts"]["not_attempted"] == 2


def test_a_stop_in_the_middle_writes_the_report(things, tmp_path):
    job = make(
        things, [str(row) for row in range(100)], report_path=str(tmp_path / "report.csv"), max_concurrency=1
    )
    things.responses["4"] = lambda: job.stop() or WriteOutcome(changed=True, message=None)
    with pytest.raises(CyTechBotTransportError, match="was stopped"):
        job.run()
    counts = job.manifest["counts"]
    assert counts["succeeded"] >= 5
    assert counts["succeeded"] + counts["not_attempted"] == 100
    with (tmp_path / "report.csv").open(newline="") as file:
        found = [line["outcome"] for line in csv.DictReader(file)]
    assert found.count("succeeded") == len(things.sent) == counts["succeeded"]


def test_an_unexpected_error_still_writes_the_report(things, tmp_path):
    things.responses["b"] = ZeroDivisionError()
    job = make(things, ["a", "b"], report_path=str(tmp_path / "report.csv"), max_concurrency=1)
    with pytest.raises(ZeroDivisionError):
        job.run()
    assert (tmp_path / "report.csv").exists()
    assert job.manifest["counts"]["succeeded"] == 1


def test_without_open_calls_no_connection_is_opened(things, monkeypatch):
    monkeypatch.setattr(job_module, "_open_hook", lambda *_: pytest.fail("opened"))
    assert make(things, [""], on_error="report").run()["counts"]["invalid"] == 1
