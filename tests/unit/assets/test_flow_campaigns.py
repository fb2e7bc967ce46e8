from __future__ import annotations

from collections import namedtuple

import pytest
from airflow.providers.common.compat.assets import Asset
from airflow.providers.common.compat.openlineage import facet
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

from airflow_provider_cytechbot.assets.flow_campaigns import (
    convert_asset_to_openlineage,
    create_asset,
    flow_campaign_uri,
    openlineage_name,
)


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("cytechbot://cytechbot.com/flow_campaigns/1", "cytechbot://cytechbot.com/flow_campaigns/1"),
        ("cytechbot://CyTechBot.com:443/flow_campaigns/1/", "cytechbot://cytechbot.com/flow_campaigns/1"),
        ("cytechbot://host:8443/chat/flow_campaigns/007", "cytechbot://host:8443/chat/flow_campaigns/7"),
        ("cytechbot://host/chat/api/flow_campaigns/7", "cytechbot://host/chat/flow_campaigns/7"),
        ("cytechbot://[::1]:80/flow_campaigns/7", "cytechbot://[::1]:80/flow_campaigns/7"),
    ],
)
def test_airflow_normalises_the_uri(given, uri):
    assert Asset(uri=given).uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "cytechbot:///flow_campaigns/1",
        "cytechbot://host/campaigns/1",
        "cytechbot://host/flow_campaigns/0",
        "cytechbot://host/flow_campaigns/one",
        "cytechbot://host/flow_campaigns/1?api_key=1-secret",
        pytest.param(
            "cytechbot://user@host/flow_campaigns/1",
            marks=pytest.mark.skipif(
                not AIRFLOW_V_3_1_PLUS, reason="Airflow itself drops the user before 3.1"
            ),
        ),
    ],
)
def test_a_uri_that_names_no_campaign_is_refused(uri, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__STRICT_DATASET_URI_VALIDATION", "True")  # else Airflow 2 only warns
    with pytest.raises(ValueError, match="cytechbot://"):
        Asset(uri=uri)


@pytest.mark.parametrize(
    ("base_url", "uri"),
    [
        ("https://cytechbot.com/api", "cytechbot://cytechbot.com/flow_campaigns/5"),
        ("https://Host:8443/chat/api", "cytechbot://host:8443/chat/flow_campaigns/5"),
    ],
)
def test_a_connection_and_its_assets_agree(base_url, uri):
    assert flow_campaign_uri(base_url, "5") == uri


def test_factory():
    assert (
        create_asset(host="host/chat", flow_campaign_id="5").uri == "cytechbot://host/chat/flow_campaigns/5"
    )


def test_openlineage(monkeypatch):
    """Without OpenLineage's own package, Airflow's name for its dataset is None."""
    dataset = namedtuple("Dataset", "namespace name")
    monkeypatch.setattr(facet, "Dataset", dataset)
    asset = Asset(uri="cytechbot://host/chat/flow_campaigns/5")
    assert convert_asset_to_openlineage(asset, None) == ("cytechbot://host", "chat/flow_campaigns/5")


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://aws_default@bucket/a b/answers.csv", ("s3://bucket", "a b/answers.csv")),
        ("s3a://bucket/answers.csv", ("s3://bucket", "answers.csv")),
        ("gcs://bucket/answers.csv", ("gs://bucket", "answers.csv")),
        ("file:///data/why?/answers.csv", ("file", "/data/why?/answers.csv")),
        ("cytechbot://host:8443/chat/flow_campaigns/7", ("cytechbot://host:8443", "chat/flow_campaigns/7")),
    ],
)
def test_openlineage_name(uri, name):
    assert openlineage_name(uri) == name
