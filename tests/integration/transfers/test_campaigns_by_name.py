"""Exports and reports that name their campaign, over HTTP."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)
from airflow_provider_cytechbot.transfers.flow_report import CyTechBotFlowReportOperator

CLASSES = [CyTechBotFlowAnswersToObjectStorageOperator, CyTechBotFlowReportOperator]
SUFFIX = {CyTechBotFlowAnswersToObjectStorageOperator: "jsonl", CyTechBotFlowReportOperator: "html"}
pytestmark = pytest.mark.parametrize("cls", CLASSES)


@pytest.fixture(autouse=True)
def connection(cytechbot_sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", cytechbot_sandbox.connection_json())


@pytest.fixture
def run(tmp_path):
    def run(cls, **options):
        return cls(task_id="transfer", path=f"{tmp_path}/file.{SUFFIX[cls]}", **options).execute({})

    return run


def test_a_name_stands_for_the_id(cls, run):
    campaign = CyTechBotHook().get_flow_campaigns()[1]
    result = run(cls, flow_campaign_name=campaign["flow_name"])
    assert result["flow_campaign_id"] == campaign["id"]
    assert json.loads(json.dumps(result)) == result


def test_an_unknown_name_fails_at_once_and_writes_nothing(cls, run, tmp_path):
    with pytest.raises(AirflowFailException, match="no flow campaign has the name 'No such'"):
        run(cls, flow_campaign_name="No such")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [{}, {"flow_campaign_id": "1", "flow_campaign_name": "Feedback"}, {"flow_campaign_id": None}],
)
def test_exactly_one_of_id_and_name_is_needed(cls, run, options, cytechbot_sandbox):
    with pytest.raises(CyTechBotFieldError, match="flow_campaign_"):
        run(cls, **options)
    assert cytechbot_sandbox.requests() == []


@pytest.mark.parametrize("several", ["all", ["1", "2"]])
def test_a_name_does_not_go_with_several_ids(cls, run, several):
    with pytest.raises(CyTechBotFieldError, match="flow_campaign_"):
        run(cls, flow_campaign_id=several, flow_campaign_name="Feedback")
