"""Which campaigns a task has read is told to Airflow's lineage."""

from __future__ import annotations

import pytest

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
def test_answers_that_were_read(connect, requests_mock, hook_lineage, read):
    requests_mock.get(f"{API}/get_all_subscriber_flow_info/", json=EMPTY)
    requests_mock.get(f"{API}/get_single_subscriber_flow_info/", json=EMPTY)
    requests_mock.get(f"{API}/get_flow_campaigns/", json=[])
    hook = connect()
    hook.get_flow_campaigns()
    read(hook)
    assert hook_lineage.inputs == ["cytechbot://cytechbot.com/flow_campaigns/7"]
    assert hook_lineage.outputs == []
