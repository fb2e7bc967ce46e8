"""Every example DAG runs as it stands."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .dag_runs import EXAMPLES, DagRun


@dataclass(frozen=True)
class Example:
    """
    How to run an example DAG, and what must be true after it.

    :param check: Given the run and the folder; that all tasks succeeded is checked already.
    :param conf: Given the folder as a URI, returns the run's conf.
    :param fixtures: Further fixtures to start before it.
    """

    check: Callable[[DagRun, Path], None]
    conf: Callable[[str], Mapping[str, Any]] = lambda folder: {}
    fixtures: tuple[str, ...] = ()


def check_export_flow_answers(run: DagRun, folder: Path) -> None:
    (file,) = folder.rglob("*.jsonl.gz")
    rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    manifest = run.tasks["export"].result
    assert manifest["uris"] == [file.as_uri().replace("%3D", "=")]
    assert manifest["rows"] == len(rows) == 24
    assert run.tasks["count_answers"].result["Which bike do you ride?"] == 8


RUN_AS = {
    "cytechbot_export_flow_answers": Example(
        conf=lambda folder: {"flow_campaign_id": "1", "folder": folder}, check=check_export_flow_answers
    ),
}


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_example_runs(name, run_dag, tmp_path, request):
    assert name in RUN_AS, (
        f"say in RUN_AS of {Path(__file__).name} how example_dags/{name}.py is run and checked"
    )
    example = RUN_AS[name]
    for fixture in example.fixtures:
        request.getfixturevalue(fixture)
    run = run_dag(name, conf=example.conf(tmp_path.as_uri()))
    assert run.state == "success", run.log
    assert set(run.states.values()) == {"success"}
    example.check(run, tmp_path)


def test_nothing_is_said_of_examples_that_are_gone():
    assert set(RUN_AS) <= {path.stem for path in EXAMPLES.glob("*.py")}
