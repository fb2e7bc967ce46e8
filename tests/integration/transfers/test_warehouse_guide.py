"""The guide on warehouses: its loaders, over days in which answers come, change and go."""

from __future__ import annotations

import re
import runpy
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)
from tests.integration.doc_blocks import DOCS, EXAMPLES

duckdb = pytest.importorskip("duckdb")

PAGE = (DOCS / "guides/warehouse.rst").read_text()
SUBSCRIBER, OTHER = "24994546734902201", "24994546734902202"


@pytest.fixture(autouse=True)
def connection(cytechbot_sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", cytechbot_sandbox.connection_json())


@pytest.fixture
def export(tmp_path):
    """Export the changes of a day and return the manifest."""

    def export(day, suffix, **options):
        operator = CyTechBotFlowAnswersToObjectStorageOperator(
            task_id="export",
            flow_campaign_id="1",
            path=f"file://{tmp_path}/{day}.{suffix}",
            export_mode="changes",
            state_path=f"file://{tmp_path}/state",
            **options,
        )
        interval = datetime(2026, 11, day, tzinfo=UTC)
        run = SimpleNamespace(data_interval_end=interval, logical_date=interval, run_after=interval)
        return operator.execute({"dag_run": run})

    return export


def days(sandbox, export, load, suffix):
    """Load days on which answers come, change and go, and one of them a second time."""
    load(export(1, suffix))
    sandbox.answer("1", SUBSCRIBER, "46", "A folding bike")
    second = export(2, suffix)
    load(second)
    load(second)
    with sandbox.state.lock:
        del sandbox.state.campaigns["1"].answers[OTHER]
    load(export(3, suffix, subscriber_fields=["full_name"]))


def present():
    """The answers that the API has now."""
    return sorted(
        (row["subscriber_id"], row["question_id"], row["answer"])
        for row in CyTechBotHook().iter_flow_answers("1")
    )


QUERY = "SELECT subscriber_id, question_id, answer FROM answers"


def test_duckdb_has_the_present_answers(cytechbot_sandbox, export, tmp_path, duckdb_loader):
    database = str(tmp_path / "answers.duckdb")
    days(cytechbot_sandbox, export, lambda manifest: duckdb_loader(manifest, database), "parquet")
    with duckdb.connect(database) as warehouse:
        rows = warehouse.execute(QUERY).fetchall()
        names = [row[0] for row in warehouse.execute("DESCRIBE answers").fetchall()]
    assert sorted(rows) == present()
    assert (SUBSCRIBER, "46", "A folding bike") in rows
    assert not any(row[0] == OTHER for row in rows)
    assert "full_name" in names


@pytest.fixture
def duckdb_loader():
    """The task of the example, as a function."""
    return runpy.run_path(str(EXAMPLES / "cytechbot_answers_to_duckdb.py"))["load"].function


@pytest.fixture
def postgres(tmp_path_factory, monkeypatch):
    """A server, to which the connection `warehouse` leads."""
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed: the extra test-distributed")
    pytest.importorskip("airflow.providers.postgres", reason="the provider for Postgres is not installed")
    from tests.distributed.programs import Postgres, find_program

    try:
        find_program("initdb", "/usr/lib/postgresql/*/bin")
    except Exception as error:  # noqa: BLE001 - it explains what to install
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("postgres")
    for each in (folder, *folder.parents):
        if each.stat().st_uid == 0 and each.name.startswith(("pytest-", "postgres")):
            each.chmod(0o755)
    server = Postgres(folder)
    server.start()
    try:
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"postgres://{server.url}")
        yield server
    finally:
        server.stop()


def test_postgres_has_the_present_answers(cytechbot_sandbox, export, postgres):
    block = re.search(r":caption: load_into_postgres\.py\n\n(.*?)\n\S", PAGE, re.DOTALL)[1]
    code = {}
    exec(re.sub("^   ", "", block, flags=re.MULTILINE), code)
    days(cytechbot_sandbox, export, code["load"].function, "csv")
    with closing(postgres.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY)
        rows = cursor.fetchall()
    assert sorted(rows) == present()
    assert (SUBSCRIBER, "46", "A folding bike") in rows
