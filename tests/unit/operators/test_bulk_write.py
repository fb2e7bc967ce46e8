from __future__ import annotations

import json
import signal
from copy import copy
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG
from airflow.serialization.helpers import serialize_template_field

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.bulk.job import BulkJob
from airflow_provider_cytechbot.operators.bulk_write import HiddenRows
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator

ROWS = [{"subscriber_id": "{{ 1 + 1 }}", "email": "ann@example.com"}, {"subscriber_id": "3"}]


def render(**fields):
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        task = CyTechBotAssignLabelsOperator(task_id="t", page_id="9", label_ids="5", **fields)
    task.render_template_fields({})
    return task


def test_the_rendered_view_shows_a_count_and_no_address():
    task = render(rows=ROWS)
    assert serialize_template_field(task.rows, "rows") == "2 rows"
    assert "ann@example.com" not in json.dumps(serialize_template_field(task.rows, "rows"))


def test_values_of_rows_are_rendered():
    assert next(iter(render(rows=ROWS)._open_source()))["subscriber_id"] == "2"


def test_rows_that_are_rendered_twice_stay_readable():
    task = render(rows=ROWS)
    task.render_template_fields({})
    assert len(list(task._open_source())) == 2


@pytest.mark.parametrize("rows", [[], (), iter(["1"])])
def test_any_rows_are_hidden(rows):
    assert serialize_template_field(HiddenRows(rows), "rows") in ("0 rows", "rows")


@pytest.mark.parametrize(
    "make", [lambda: (each for each in ["1", "2"]), lambda: iter(["1", "2"]), lambda: map(str, [1, 2])]
)
def test_an_iterator_is_read_once_and_a_second_time_is_an_error(make):
    task = render(rows=make())
    again = copy(task)  # as each try in the same process
    assert list(task._open_source()) == ["1", "2"]
    for each in (task, again):
        with pytest.raises(CyTechBotFieldError, match="an earlier call has read"):
            each._open_source()


@pytest.mark.parametrize("rows", [["1"], ("1",), {"1": 1}.keys(), range(1, 2)])
def test_rows_that_are_no_iterator_are_read_as_often_as_needed(rows):
    task = render(rows=rows)
    assert len(list(task._open_source())) == len(list(task._open_source())) == 1


def test_an_iterator_looks_the_same_each_time_the_dag_is_read():
    with DAG("d", schedule=None):
        task = CyTechBotAssignLabelsOperator(task_id="t", page_id="9", label_ids="5", rows=iter(["1"]))
    assert serialize_template_field(task.rows, "rows") == "rows"


def test_an_empty_list_of_rows_is_a_source():
    assert render(rows=[]).given_sources == ["rows"]


def test_another_source_leaves_rows_alone():
    assert render(path="/data/{{ 'a' }}.csv").rows is None


def test_a_query_is_read_from_a_file(tmp_path):
    (tmp_path / "people.sql").write_text("SELECT id FROM people")
    with DAG("d", schedule=None, template_searchpath=str(tmp_path)):
        task = CyTechBotAssignLabelsOperator(
            task_id="t", page_id="9", label_ids="5", sql="people.sql", sql_conn_id="warehouse"
        )
    task.resolve_template_files()
    assert task.sql == "SELECT id FROM people"


def test_a_kill_without_a_run_does_nothing():
    render(rows=ROWS).on_kill()


def test_ctrl_c_stops_a_run_so_that_it_can_write_its_report(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", "cytechbot://:1-some-key@127.0.0.1:9")
    monkeypatch.setattr(BulkJob, "run", lambda self: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # as Airflow 3 does in a task's process
    try:
        with pytest.raises(KeyboardInterrupt):
            render(rows=ROWS).write_rows(SimpleNamespace(finds_gone_keys=False), {})
    finally:
        signal.signal(signal.SIGINT, before)
