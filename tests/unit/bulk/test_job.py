from __future__ import annotations

import csv
import sqlite3
from contextlib import asynccontextmanager
from functools import partial

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotAuthError,
    CyTechBotError,
    CyTechBotRequestError,
    CyTechBotStorageError,
    CyTechBotStorageRefusedError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.bulk import folder, journal
from airflow_provider_cytechbot.bulk import job as job_module
from airflow_provider_cytechbot.bulk.job import BulkJob
from airflow_provider_cytechbot.bulk.options import BulkOptions
from airflow_provider_cytechbot.bulk.owner import Owner
from airflow_provider_cytechbot.bulk.resource import StateEntry
from airflow_provider_cytechbot.bulk.shards import Shard
from airflow_provider_cytechbot.transport.settings import Settings

from .things import DONE, Things


@pytest.fixture
def things(monkeypatch):
    @asynccontextmanager
    async def open_hook(conn_id, settings, take_turn):
        yield None

    monkeypatch.setattr(job_module, "_open_hook", open_hook)
    return Things()


def make(things, rows, **options):
    settings = Settings("c", "https://example.com/api", "1-key", max_retries=0)
    return BulkJob(lambda: rows, things, BulkOptions(**options), settings, "c")


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


def test_the_log_names_the_write_its_connection_and_what_became_of_it(things, tmp_path, caplog):
    caplog.set_level("INFO")
    things.responses["b"] = CyTechBotRequestError("no.")
    report = tmp_path / "report.csv"
    make(things, ["a", "b", "c", ""], report_path=str(report), on_error="report").run()
    title = f"Bulk write ({', '.join(f'{name} {value}' for name, value in things.identity.items())})"
    lines = caplog.messages
    assert lines[0] == (
        f"{title} over connection 'c': 4 rows in the source, 4 for this task, 3 calls to send; "
        "without a call: 1 invalid."
    )
    assert (
        f"{title} over connection 'c': 4 rows: 2 succeeded, 1 refused, 1 invalid. "
        f"Operations: none 1, paint 3. Report: {report}"
    ) in lines


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


def test_a_report_that_cannot_be_written_fails_before_the_first_call(things, tmp_path):
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
    assert [path.name for path in tmp_path.iterdir()] == [".report.csv.journal"]


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
    things.responses["4"] = lambda: job.stop() or DONE
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


@pytest.mark.parametrize("kind", [CyTechBotStorageError, CyTechBotStorageRefusedError])
@pytest.mark.parametrize("names", [("state_path", "report_path"), ("report_path",)])
def test_a_report_that_cannot_be_written_at_the_end(things, tmp_path, monkeypatch, kind, names):
    def write(self, lines):
        raise kind("no space left.")

    options = {name: str(tmp_path / f"{name}.csv") for name in names}
    owner = Owner("d", "t", "r")
    with monkeypatch.context() as broken:
        broken.setattr(job_module.Report, "write", write)
        job = make(things, ["a", "b"], owner=owner, **options)
        with pytest.raises(kind, match=r"2 rows: 2 succeeded\. no space left"):
            job.run()
    assert job.manifest["report_uri"] is None
    assert job.manifest["counts"]["succeeded"] == 2
    assert not job.has_succeeded
    job = make(things, ["a", "b"], owner=owner, **options)
    assert job.run()["report_uri"].endswith("report_path.csv")
    assert len(things.sent) == 2


def test_an_error_of_all_rows_is_raised_also_if_the_report_cannot_be_written(things, tmp_path, monkeypatch):
    def write(self, lines):
        raise CyTechBotStorageError("no space left.")

    monkeypatch.setattr(job_module.Report, "write", write)
    things.responses["a"] = CyTechBotAuthError("wrong key.")
    with pytest.raises(CyTechBotAuthError, match="wrong key"):
        make(things, ["a", "b"], report_path=str(tmp_path / "report.csv")).run()


@pytest.mark.parametrize("method", ["add_valid", "record", "report_lines"])
@pytest.mark.parametrize("is_repeatable", [True, False])
def test_a_full_disk_loses_no_result(things, tmp_path, monkeypatch, method, is_repeatable):
    def fail(*_):
        raise sqlite3.OperationalError("database or disk is full")

    things.is_repeatable, things.step = is_repeatable, b"step"
    rows = [str(row) for row in range(200)]
    options = {"owner": Owner("d", "t", "r"), "state_path": str(tmp_path / "state")}
    with monkeypatch.context() as full:
        full.setattr(job_module.Ledger, method, fail)
        job = make(things, rows, report_path=str(tmp_path / "report.csv"), **options)
        with pytest.raises(CyTechBotStorageError, match=r"database or disk is full.*TMPDIR"):
            job.run()
    assert not (tmp_path / "report.csv").exists()
    sent = len(things.sent)
    counts = make(things, rows, on_error="report", **options).run()["counts"]
    assert counts["succeeded"] + counts["ambiguous"] == 200
    assert counts["ambiguous"] <= 2 * 8
    # Calls that were cut off may have done something; those that are not repeatable are held.
    assert len(things.sent) - 200 <= (8 if is_repeatable else 0)
    assert sent > 0 or method == "add_valid"


def test_without_open_calls_no_connection_is_opened(things, monkeypatch):
    monkeypatch.setattr(job_module, "_open_hook", lambda *_: pytest.fail("opened"))
    assert make(things, [""], on_error="report").run()["counts"]["invalid"] == 1


class TestState:
    @pytest.fixture
    def run(self, things, tmp_path):
        def run(rows, *, number=1, try_number=1, first_try=1, **options):
            owner = Owner(
                dag_id="d", task_id="t", run_id=f"r{number}", try_number=try_number, first_try=first_try
            )
            things.sent = []
            job = make(things, rows, **{"state_path": str(tmp_path / "state"), "owner": owner, **options})
            return job.run()

        return run

    def test_rows_of_an_earlier_run_are_not_sent_again(self, things, run, tmp_path):
        first = run(["a", "b"])
        assert first["state_uri"] == str(tmp_path / "state")
        assert first["counts"]["succeeded"] == 2
        second = run(["a", "b", "c"], number=2)
        assert things.sent == ["c"]
        assert second["counts"]["unchanged"] == 2
        assert second["operations"] == {"none": 2, "paint": 1}
        assert things.figures.state_keys == 2
        assert things.figures.operations == {"paint": 1}

    def test_other_content_is_sent(self, things, run):
        run([{"key": "a", "color": "red"}])
        run([{"key": "a", "color": "blue"}], number=2)
        assert things.sent == ["a"]

    def test_a_refused_row_is_tried_again_by_the_next_run(self, things, run):
        things.responses["a"] = CyTechBotRequestError("no.")
        run(["a", "b"], on_error="report")
        things.responses.clear()
        assert run(["a", "b"], number=2)["counts"]["succeeded"] == 1
        assert things.sent == ["a"]

    def test_a_retry_leaves_refused_rows_alone_and_a_clear_does_not(self, things, run):
        things.responses |= {"a": CyTechBotRequestError("no."), "b": CyTechBotTransportError("cut off.")}
        with pytest.raises(CyTechBotTransportError):
            run(["a", "b", "c"])
        things.responses = {"a": DONE}
        with pytest.raises(CyTechBotRequestError, match="2 succeeded, 1 refused"):
            run(["a", "b", "c"], try_number=2)
        assert things.sent == ["b"]
        assert things.figures.is_resumed
        assert run(["a", "b", "c"], try_number=3, first_try=3)["counts"]["succeeded"] == 3
        assert things.sent == ["a"]

    def test_an_ambiguous_row_is_never_sent_again(self, things, run):
        things.is_repeatable, things.step = False, b"s"
        things.responses["a"] = CyTechBotAmbiguousWriteError("lost.")
        tries = ({}, {"try_number": 2}, {"try_number": 3, "first_try": 3}, {"number": 2}, {"number": 3})
        for each in tries:
            with pytest.raises(CyTechBotRequestError, match="1 ambiguous"):
                run(["a"], **each)
        assert things.sent == []

    @pytest.mark.parametrize("options", [{}, {"state_path": None}])
    def test_a_step_is_kept_as_long_as_its_result_is_open(self, things, run, tmp_path, options):
        async def begin(steps):
            await steps.begin(b"2026-12-31")
            raise CyTechBotTransportError("cut off.")

        things.responses["a"] = partial(begin)
        options["report_path"] = str(tmp_path / "report.csv")
        with pytest.raises(CyTechBotTransportError):
            run(["a"], **options)
        things.responses.clear()
        run(["a"], try_number=2, **options)
        assert things.entries["a"] == StateEntry(None, b"2026-12-31", is_of_this_run=True)
        run(["a"], try_number=3, first_try=3, **options)
        assert things.sent == []

    def test_a_value_that_was_saved_stays_if_the_call_fails(self, things, run):
        async def save(steps):
            steps.save(b"half")
            raise CyTechBotRequestError("no.")

        things.responses["a"] = partial(save)
        run(["a"], on_error="report")
        things.responses.clear()
        run(["a"], number=2)
        assert things.entries["a"] == StateEntry(b"half")

    def test_deletes_come_last_and_are_kept_by_a_retry(self, things, run, tmp_path):
        things.finds_gone_keys = True
        run(["a", "b", "c"])
        things.responses["d"] = CyTechBotTransportError("cut off.")
        options = {"number": 2, "report_path": str(tmp_path / "report.csv")}
        with pytest.raises(CyTechBotTransportError, match="2 succeeded, 1 unchanged, 1 failed"):
            run(["d", "a"], **options)
        assert things.sent[0] == "d"
        assert sorted(things.sent[1:]) == ["b", "c"]
        things.responses.clear()
        assert run(["d", "a"], try_number=2, **options)["operations"] == {"delete": 2, "none": 1, "paint": 1}
        assert things.sent == ["d"]
        with (tmp_path / "report.csv").open(newline="") as file:
            found = [(line["row"], line["key"], line["outcome"]) for line in csv.DictReader(file)]
        assert found == [
            ("1", "d", "succeeded"),
            ("2", "a", "unchanged"),
            ("", "b", "succeeded"),
            ("", "c", "succeeded"),
        ]
        run(["a", "b"], number=3)
        assert things.sent == ["b", "d"]

    def test_rows_that_an_earlier_report_leaves_out_are_not_gone(self, things, run, tmp_path):
        things.finds_gone_keys = True
        run(["a", "b"])
        (tmp_path / "old.csv").write_text("key,outcome\nc,refused\n")
        run(["a", "b", "c"], number=2, retry_report=str(tmp_path / "old.csv"))
        assert things.sent == ["c"]

    def test_a_plan_changes_nothing(self, things, run, tmp_path):
        run(["a"])
        before = {path: path.read_bytes() for path in (tmp_path / "state").iterdir()}
        manifest = run(["a", "b"], number=2, plan_only=True)
        assert things.sent == []
        assert manifest["counts"]["unchanged"] == manifest["counts"]["not_attempted"] == 1
        assert {path: path.read_bytes() for path in (tmp_path / "state").iterdir()} == before

    def test_a_state_that_can_no_longer_be_written_stops_the_run(self, things, run, monkeypatch):
        def fail(self, name, data):
            raise CyTechBotStorageError("no room.")

        things.responses["3"] = lambda: monkeypatch.setattr(folder.Folder, "write", fail) or DONE
        monkeypatch.setattr(journal, "_WAIT_BEFORE_RETRY", 0.01)
        rows = [str(each) for each in range(1_000)]
        with pytest.raises(CyTechBotStorageError, match="no room"):
            run(rows, max_concurrency=1)
        assert len(things.sent) < 1_000

    def test_a_shard_has_its_part_of_the_rate(self, things, tmp_path, monkeypatch):
        @asynccontextmanager
        async def open_hook(conn_id, settings, take_turn):
            seen.append(settings.requests_per_second)
            yield None

        seen = []
        monkeypatch.setattr(job_module, "_open_hook", open_hook)
        settings = Settings("c", "https://example.com/api", "1-key", requests_per_second=8.0)
        rows = [str(each) for each in range(20)]
        for number in range(4):
            options = BulkOptions(shard=Shard(number, 4), state_path=str(tmp_path / "state"))
            BulkJob(lambda: rows, things, options, settings, "c").run()
        assert seen == [2.0] * 4
        assert sorted(things.sent) == sorted(rows)
        assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [
            "about.json",
            *(f"shard-{number}-of-4" for number in range(4)),
        ]
