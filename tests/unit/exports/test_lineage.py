from __future__ import annotations

import subprocess
import sys

import pytest
from airflow.providers.common.compat.assets import Asset

from airflow_provider_cytechbot.assets.flow_campaigns import openlineage_name
from airflow_provider_cytechbot.exports.files import WrittenFile
from airflow_provider_cytechbot.exports.layouts import LongLayout
from airflow_provider_cytechbot.exports.lineage import ExportedCampaign, lineage_of_exports

BASE_URL = "https://cytechbot.com/api"


class TestOpenLineage:
    """With the real OpenLineage provider."""

    @pytest.fixture(autouse=True)
    def openlineage(self):
        pytest.importorskip("airflow.providers.openlineage", reason="OpenLineage is not installed")

    @pytest.mark.parametrize(
        "uri",
        [
            "s3://bucket/flows/answers.csv",
            "file:///data/answers.csv",
            "cytechbot://host/chat/flow_campaigns/5",
        ],
    )
    def test_names_are_those_that_the_stores_providers_give(self, uri):
        from airflow.providers.common.compat.openlineage.utils.utils import translate_airflow_asset

        if uri.startswith("s3:"):
            pytest.importorskip("airflow.providers.amazon", reason="the Amazon provider is not installed")
        dataset = translate_airflow_asset(Asset(uri=uri), None)
        assert openlineage_name(uri) == (dataset.namespace, dataset.name)

    def test_each_campaign_and_each_file_is_a_dataset(self):
        columns = LongLayout().columns
        parts = [WrittenFile(f"s3://aws@bucket/7-{n}.csv", rows, 1000 + n) for n, rows in [(1, 50), (2, 8)]]
        body = [WrittenFile("s3://aws@bucket/8.json", 3, 300)]
        expected = lineage_of_exports(
            [
                ExportedCampaign(BASE_URL, "7", columns, parts, bytes_read=5000, answers_read=58),
                ExportedCampaign(BASE_URL, "8", (), body, bytes_read=300, answers_read=None),
            ]
        )

        def counted(datasets, facets, statistics):
            for each in datasets:
                facet = getattr(each, facets)[statistics]
                yield each.namespace, each.name, facet.rowCount, facet.size

        assert list(counted(expected.inputs, "inputFacets", "inputStatistics")) == [
            ("cytechbot://cytechbot.com", "flow_campaigns/7", 58, 5000),
            ("cytechbot://cytechbot.com", "flow_campaigns/8", None, 300),
        ]
        assert list(counted(expected.outputs, "outputFacets", "outputStatistics")) == [
            ("s3://bucket", "7-1.csv", 50, 1001),
            ("s3://bucket", "7-2.csv", 8, 1002),
            ("s3://bucket", "8.json", 3, 300),
        ]
        schema = [(field.name, field.type) for field in expected.outputs[0].facets["schema"].fields]
        assert schema == [
            *((name, "string") for name in ("flow_campaign_id", "flow_name", "subscriber_id")),
            *((name, "string") for name in ("question_id", "question", "answer")),
            ("extracted_at", "timestamp"),
        ]
        assert "schema" not in expected.outputs[2].facets
        assert [field.name for field in expected.inputs[1].facets["schema"].fields] == [
            name for name, _ in schema[:-1]
        ]


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        # Airflow itself must find the provider's metadata, as long as the package is listed as installed.
        blocked = name.startswith("airflow.providers.openlineage.") and "get_provider_info" not in name
        if blocked or name.split(".")[0] == "openlineage":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
)
import airflow.providers.common.compat.openlineage.facet as facet

manifest = ExportOperator(task_id="export", flow_campaign_id="1", path=sys.argv[1]).execute({})
assert facet.OutputDataset() is None, "OpenLineage was not blocked"
print(manifest["rows"], [name for name in sys.modules if name.split(".")[0] == "openlineage"])
"""


def test_without_openlineage_nothing_is_missing(cytechbot_sandbox, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", cytechbot_sandbox.connection_json())
    command = [sys.executable, "-c", BLOCKED, str(tmp_path / "answers.csv")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "24 []"
