"""The OpenLineage events of real DAG runs."""

from __future__ import annotations

import json
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

pytest.importorskip("airflow.providers.openlineage", reason="OpenLineage is not installed")
EVENTS = "openlineage.jsonl"


@pytest.fixture
def export_event(run_dag, cytechbot_sandbox, tmp_path):
    """Export a campaign, and return its last OpenLineage event."""

    def export_event(flow_campaign_id, event_type):
        run = run_dag(
            "cytechbot_export_flow_answers",
            conf={"flow_campaign_id": flow_campaign_id, "folder": tmp_path.as_uri()},
            env={"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": EVENTS})},
        )
        assert run.find_text(cytechbot_sandbox.api_key) == []
        events = [
            json.loads(line)
            for name, text in run.files.items()
            if EVENTS in name
            for line in text.splitlines()
        ]
        (event,) = [
            each
            for each in events
            if each["job"]["name"].endswith(".export") and each["eventType"] == event_type
        ]
        return event

    return export_event


def body_size(sandbox):
    query = urlencode({"api_key": sandbox.api_key, "flow_campaign_id": "1"})
    with urlopen(f"{sandbox.base_url}/get_all_subscriber_flow_info/?{query}", timeout=60) as answer:
        return len(answer.read())


def test_an_export_with_its_columns_rows_and_size(export_event, cytechbot_sandbox, tmp_path):
    event = export_event("1", "COMPLETE")
    (read,) = event["inputs"]
    assert (read["namespace"], read["name"]) == (
        f"cytechbot://127.0.0.1:{cytechbot_sandbox.port}",
        "flow_campaigns/1",
    )
    columns = ["flow_campaign_id", "flow_name", "subscriber_id", "question_id", "question", "answer"]
    assert [field["name"] for field in read["facets"]["schema"]["fields"]] == columns
    statistics = read["inputFacets"]["inputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (24, body_size(cytechbot_sandbox))

    (written,) = event["outputs"]
    (file,) = tmp_path.rglob("answers.jsonl.gz")
    assert (written["namespace"], written["name"]) == ("file", str(file))
    assert [field["name"] for field in written["facets"]["schema"]["fields"]] == [*columns, "extracted_at"]
    statistics = written["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (24, file.stat().st_size)


def test_an_export_that_failed_has_written_nothing(export_event):
    event = export_event("404", "FAIL")
    assert "CyTechBotNotFoundError" in event["run"]["facets"]["errorMessage"]["stackTrace"]
    assert (event["inputs"], event["outputs"]) == ([], [])
