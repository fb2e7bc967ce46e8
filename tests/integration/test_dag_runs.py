"""The harness itself: what a test could not trust otherwise."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest

from .dag_runs import DagRun

SECRET = 'k3y a/b+c%d"é&='


@pytest.fixture
def dag(tmp_path):
    """Write a DAG file of some tasks."""

    def write(tasks):
        file = tmp_path / "dag.py"
        lines = [f"    {line}" for line in tasks.strip().splitlines()]
        head = [
            "import os, time",
            "from airflow.providers.common.compat.sdk import DAG, task",
            "with DAG('dag', schedule=None):",
        ]
        file.write_text("\n".join([*head, *lines]))
        return file

    return write


def test_returns_states_results_and_fields_of_mapped_tasks_too(dag_runner, dag):
    run = dag_runner.run(
        dag("""
@task
def one(value): return value
@task
def fail(): raise ValueError('no good')
one.override(task_id='text')('{{ dag_run.conf.text }}')
one.override(task_id='mapped').expand(value=[7, {'a': None}])
fail()
"""),
        conf={"text": "123"},
    )
    assert run.state == "failed"
    assert run.exit_code == 1
    assert run.states == {"text": "success", "mapped[0]": "success", "mapped[1]": "success", "fail": "failed"}
    assert run.tasks["text"].result == "123"
    assert run.tasks["text"].rendered["op_args"] == ["123"]
    assert [run.tasks[f"mapped[{index}]"].result for index in (0, 1)] == [7, {"a": None}]
    assert "no good" in run.log


def test_nothing_is_left_of_the_run_before(dag_runner, dag):
    run = dag_runner.run(dag("@task\ndef first(): return os.environ['ONE']\nfirst()"), env={"ONE": "1"})
    assert run.tasks["first"].result == "1"
    run = dag_runner.run(dag("@task\ndef other(): return os.environ.get('ONE')\nother()"))
    assert run.states == {"other": "success"}
    assert run.tasks["other"].result is None


def test_dag_that_cannot_be_read(dag_runner, dag):
    run = dag_runner.run(dag("1 / 0"))
    assert (run.state, run.tasks) == (None, {})
    assert run.exit_code != 0
    assert "ZeroDivisionError" in run.log


def test_run_that_takes_too_long_is_killed(dag_runner, dag):
    with pytest.raises(AssertionError, match="took more than 3 s"):
        dag_runner.run(dag("@task\ndef wait(): time.sleep(60)\nwait()"), timeout=3)
    assert dag_runner.run(dag("@task\ndef go(): pass\ngo()")).state == "success"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET),
        quote_plus(SECRET),
        quote(SECRET, safe="").lower(),
        quote(quote(SECRET, safe=""), safe=""),
        json.dumps(SECRET)[1:-1],
    ],
)
def test_secret_is_found_in_every_form(form):
    def left(log="", **files):
        return DagRun("success", {}, log, 0, {name: text.encode() for name, text in files.items()})

    assert left(log=f"at {form}.").find_text(SECRET) == ["log"]
    assert left(database=f"\0{form}\0").find_text(SECRET) == ["database"]
    assert left(log="at ***").find_text(SECRET) == []


def test_secret_is_found_in_the_database(dag_runner, dag):
    run = dag_runner.run(dag("@task\ndef leak(): return os.environ['LEAK']\nleak()"), env={"LEAK": SECRET})
    assert run.find_text(SECRET) == ["log", "airflow.db"]
