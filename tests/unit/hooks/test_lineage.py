"""The campaigns that a task reads are reported to Airflow's lineage."""

from __future__ import annotations

import logging

import pytest
from airflow.providers.common.compat import sdk

from airflow_provider_cytechbot.hooks import lineage

API = "https://cytechbot.com/api"
EMPTY = {"id": None, "flow_name": None, "data": []}


@pytest.mark.parametrize(
    "read",
    [
        lambda hook: hook.get_flow_answers(7),
        lambda hook: hook.get_subscriber_flow_answers("7", "31"),
        lambda hook: list(hook.iter_flow_answers("7")),
    ],
)
def test_reading_answers_is_reported(connect, requests_mock, hook_lineage, read):
    requests_mock.get(f"{API}/get_all_subscriber_flow_info/", json=EMPTY)
    requests_mock.get(f"{API}/get_single_subscriber_flow_info/", json=EMPTY)
    requests_mock.get(f"{API}/get_flow_campaigns/", json=[])
    hook = connect()
    hook.get_flow_campaigns()
    read(hook)
    assert hook_lineage.inputs == ["cytechbot://cytechbot.com/flow_campaigns/7"]
    assert hook_lineage.outputs == []


class TestHookLineage:
    @pytest.mark.parametrize(
        ("uri", "expected"),
        [
            ("s3://aws_default@bucket/flows/answers.csv", "s3://bucket/flows/answers.csv"),
            ("file:///data/answers.csv", "file:///data/answers.csv"),
            ("/data/answers.csv", "file:///data/answers.csv"),
        ],
    )
    def test_reports_a_file_without_the_connection_of_its_store(self, hook_lineage, uri, expected):
        lineage.report_file_written(self, uri)
        assert (hook_lineage.inputs, hook_lineage.outputs) == ([], [expected])

    def test_reports_nothing_outside_of_a_task(self, monkeypatch):
        monkeypatch.setattr(sdk, "get_hook_lineage_collector", pytest.fail, raising=False)
        lineage.report_file_written(self, "/data/answers.csv")

    @pytest.mark.parametrize("base_url", ["https://cytechbot.com/two//slashes/api", "https:///api"])
    def test_a_failed_report_fails_no_task(self, hook_lineage, caplog, base_url):
        with caplog.at_level(logging.WARNING):
            lineage.report_campaign_read(self, base_url, "7")
        assert "Lineage was not reported" in caplog.text
        assert hook_lineage.inputs == []
