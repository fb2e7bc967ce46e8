"""Damaged histories and pages of flow reports: an error that names the file, or exactly the right change."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotResponseError,
    CyTechBotStorageRefusedError,
)
from airflow_provider_cytechbot.transfers.flow_report import CyTechBotFlowReportOperator
from tests.task_instance import task_instance

from .corpus import fuzz, saved
from .damages import DAMAGES, damage
from .flow_server import CAMPAIGN, flow_server

HISTORY, PAGE = NAMES = ["history.jsonl", "report.html"]
#: How many subscribers answered, and how many of them everything, in each run. The last has no report yet.
RUNS = {"monday": (11, 3), "tuesday": (24, 12), "wednesday": (37, 15)}
REPORTED, NEXT = ("monday", "tuesday"), "wednesday"


@pytest.fixture(scope="module")
def server():
    with flow_server() as server:
        yield server


def answers_of(run):
    answered, completed = RUNS[run]
    answers = {str(each): {"1": "E-bike"} for each in range(1, answered + 1)}
    for each in range(1, completed + 1):
        answers[str(each)] |= {"2": "Daily", "3": "No"}
    return answers


def report(server, folder, run, answers=None):
    server.answers = answers_of(run) if answers is None else answers
    task = CyTechBotFlowReportOperator(
        task_id="t", flow_campaign_id=CAMPAIGN, path=str(folder / PAGE), history_path=str(folder / HISTORY)
    )
    return task.execute({"ti": task_instance(run_id=run)})


def counts_of(folder):
    """Return run, subscribers and those that completed the campaign, of each line of the history."""
    lines = map(json.loads, (folder / HISTORY).read_text().splitlines())
    return [(line["run"].split()[-1], line["answered"], line["completed"]) for line in lines]


def change_since(run):
    """Return the change of the next report since an earlier one; none without one."""
    return [now - before for now, before in zip(RUNS[NEXT], RUNS[run], strict=True)] if run else None


def change_of(figures):
    change = figures["change"]
    return change and [change["answered"], change["completed"]]


@pytest.fixture(scope="module")
def reported(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reported")
    for run in REPORTED:
        report(server, folder, run)
    assert counts_of(folder) == [(run, *RUNS[run]) for run in REPORTED]
    return folder


def content_of(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir()}


@fuzz(examples=60, longest=3_000)
@saved("histories")
@given(damages=DAMAGES, has_answers=st.booleans())
def test_a_damaged_history_gives_the_right_change_or_an_error(
    server, reported, tmp_path_factory, damages, has_answers
):
    folder = tmp_path_factory.mktemp("damaged") / "copy"
    shutil.copytree(reported, folder)
    damage(folder, NAMES, damages)
    before, whole = content_of(folder), content_of(reported)
    error = None
    try:
        figures = report(server, folder, NEXT, None if has_answers else {})
    except CyTechBotError as caught:
        error = caught
    is_new = HISTORY not in before
    is_refused = not is_new and before[HISTORY] != whole[HISTORY]
    if error:
        assert content_of(folder) == before
        assert isinstance(error, CyTechBotStorageRefusedError if is_refused else CyTechBotResponseError)
        if is_refused:
            assert HISTORY in str(error)
            assert "Put back an earlier version" in str(error)
        else:
            assert not has_answers
            assert before
            assert "allow_empty" in str(error)
    else:
        assert not is_refused
        assert has_answers or (is_new and not before.get(PAGE))
        assert figures["answered"] == (RUNS[NEXT][0] if has_answers else 0)
        if has_answers:
            assert change_of(figures) == change_since(None if is_new else REPORTED[-1])
        found = counts_of(folder)
        assert found[:-1] == ([] if is_new else [(run, *RUNS[run]) for run in REPORTED])
        assert found[-1] == (NEXT, *(RUNS[NEXT] if has_answers else (0, 0)))
        assert f'content="{figures["answered"]}"'.encode() in (folder / PAGE).read_bytes()
    shutil.rmtree(folder)
    shutil.copytree(reported, folder)
    assert change_of(report(server, folder, NEXT)) == change_since(REPORTED[-1])
    assert counts_of(folder) == [(run, *RUNS[run]) for run in RUNS]
    shutil.rmtree(folder)
