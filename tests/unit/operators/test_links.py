from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_cytechbot.get_provider_info import get_provider_info
from airflow_provider_cytechbot.operators import links
from airflow_provider_cytechbot.operators.contact_groups import CyTechBotDeleteContactGroupOperator
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.operators.links import (
    INSTALLATION_KEY,
    CyTechBotFileLink,
    CyTechBotInstallationLink,
    console_url,
    written_uris,
)
from airflow_provider_cytechbot.sensors.flow_answers import CyTechBotFlowCampaignSensor
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)
from airflow_provider_cytechbot.transfers.flow_report import CyTechBotFlowReportOperator


@pytest.fixture
def filesystem(monkeypatch):
    """The filesystem below a path, without a connection."""
    found = SimpleNamespace()
    monkeypatch.setattr(links, "_filesystem", lambda uri: found)
    return found


@pytest.fixture
def xcoms(monkeypatch):
    values = {}
    get_value = lambda *, ti_key, key: values.get(key)  # noqa: E731
    monkeypatch.setattr(links, "XCom", SimpleNamespace(get_value=get_value))
    return values


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        (
            "s3://aws@bucket/flows/2026/answers.csv",
            "https://console.aws.amazon.com/s3/object/bucket?prefix=flows/2026/answers.csv",
        ),
        ("s3://bucket/a b&c=ä?#.csv", "https://console.aws.amazon.com/s3/object/bucket?prefix=a%20b%26c%3D%C3%A4%3F%23.csv"),
        ("gs://gcp@bucket/a/b.csv", "https://console.cloud.google.com/storage/browser/_details/bucket/a/b.csv"),
        ("gcs://bucket/b.csv", "https://console.cloud.google.com/storage/browser/_details/bucket/b.csv"),
        ("abfs://az@container/a/b.csv", ""),
        ("file:///tmp/answers.csv", ""),
        ("/tmp/answers.csv", ""),
        ("memory://answers.csv", ""),
        ("s3://bucket", ""),
        ("", ""),
        ("javascript:alert(1)", ""),
    ],
)  # fmt: skip
def test_the_console_of_a_file(filesystem, uri, url):
    assert console_url([uri]) == url


def test_several_files_link_to_their_folder(filesystem):
    s3 = console_url(["s3://c@bucket/flows/a 1.csv", "s3://c@bucket/flows/a 2.csv"])
    assert s3 == "https://console.aws.amazon.com/s3/buckets/bucket?prefix=flows/"
    gcs = console_url(["gs://c@bucket/flows/1.csv", "gs://c@bucket/flows/2.csv"])
    assert gcs == "https://console.cloud.google.com/storage/browser/bucket/flows/"
    top = console_url(["s3://bucket/1.csv", "s3://bucket/2.csv"])
    assert top == "https://console.aws.amazon.com/s3/buckets/bucket?prefix="


@pytest.mark.parametrize(
    ("endpoint", "has_link"),
    [
        (None, True),
        ("https://s3.eu-central-1.amazonaws.com", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("http://127.0.0.1:9000", False),
        ("https://minio.example.com", False),
        ("https://amazonaws.com.example.com", False),
    ],
)
def test_only_s3_of_aws_has_a_console(filesystem, endpoint, has_link):
    filesystem.client_kwargs = {"endpoint_url": endpoint}
    assert bool(console_url(["s3://bucket/a.csv"])) is has_link
    del filesystem.client_kwargs
    filesystem.endpoint_url = endpoint
    assert bool(console_url(["s3://bucket/a.csv"])) is has_link


def test_a_file_on_azure_has_the_address_of_its_blob(filesystem):
    filesystem.account_name = "mystore"
    url = console_url(["abfs://az@container/a b/c.csv"])
    assert url == "https://mystore.blob.core.windows.net/container/a%20b/c.csv"


def test_a_storage_that_cannot_be_opened_is_ignored():
    assert console_url(["abfs://no_such_connection@container/a.csv"]) == ""


@pytest.mark.parametrize(
    ("result", "uris"),
    [
        ({"uris": ["s3://b/1", "s3://b/2"], "rows": 3}, ["s3://b/1", "s3://b/2"]),
        ([{"uris": ["s3://b/1"]}, {"uris": ["s3://b/2"]}], ["s3://b/1", "s3://b/2"]),
        ({"report_uri": "s3://b/report.csv", "counts": {}}, ["s3://b/report.csv"]),
        ({"uri": "s3://b/page.html", "answered": 4}, ["s3://b/page.html"]),
        ({"report_uri": None}, []),
        ({"uris": "s3://b/1"}, []),
        ({"uris": [1, None]}, []),
        ("7", []),
        (None, []),
        ([1, "x"], []),
    ],
)
def test_the_files_of_a_result(result, uris):
    assert written_uris(result) == uris


def test_links_come_from_xcoms(xcoms, filesystem):
    assert CyTechBotInstallationLink().get_link(None, ti_key=None) == ""
    assert CyTechBotFileLink().get_link(None, ti_key=None) == ""
    xcoms |= {
        INSTALLATION_KEY: "https://cytechbot.com",
        "return_value": {"uris": ["gs://b/a.csv"]},
    }
    assert CyTechBotInstallationLink().get_link(None, ti_key=None) == "https://cytechbot.com"
    assert CyTechBotFileLink().get_link(None, ti_key=None).endswith("/_details/b/a.csv")


@pytest.mark.parametrize("value", ["javascript:alert(1)", {"a": 1}, 5, None])
def test_an_xcom_that_is_not_an_address_gives_no_link(xcoms, value):
    xcoms[INSTALLATION_KEY] = value
    assert CyTechBotInstallationLink().get_link(None, ti_key=None) == ""


def test_an_xcom_that_cannot_be_read_gives_no_link(monkeypatch):
    def get_value(**_):
        raise RuntimeError

    monkeypatch.setattr(links, "XCom", SimpleNamespace(get_value=get_value))
    assert CyTechBotInstallationLink().get_link(None, ti_key=None) == ""
    assert CyTechBotFileLink().get_link(None, ti_key=None) == ""


class TestStoredAddress:
    def store(self, **options):
        pushed = {}
        operator = CyTechBotDeleteContactGroupOperator(task_id="t", contact_type_id=1, **options)
        ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
        operator.pre_execute({"ti": ti})
        return pushed

    @pytest.mark.parametrize(
        ("host", "url"),
        [
            ("https://cytechbot.com", "https://cytechbot.com"),
            ("https://bots.example.com:8443/chat/api", "https://bots.example.com:8443/chat"),
        ],
    )
    def test_is_the_installation_without_the_api(self, connect, host, url):
        connect(host=host)
        assert self.store() == {INSTALLATION_KEY: url}

    def test_is_left_out_without_xcoms(self, connect):
        connect()
        assert self.store(do_xcom_push=False) == {}

    def test_is_left_out_with_an_unusable_connection(self, connect):
        connect(timeout="soon")
        assert self.store() == {}

    def test_the_log_has_no_second_warning_of_unknown_extras(self, connect, caplog):
        connect(unknown=1)
        operator = CyTechBotDeleteContactGroupOperator(task_id="t", contact_type_id=1)
        operator.pre_execute({"ti": SimpleNamespace(xcom_push=lambda key, value: None)})
        _ = operator.hook.settings
        assert caplog.text.count("unknown extras") == 1


@pytest.mark.parametrize(
    ("operator", "names"),
    [
        (CyTechBotDeleteContactGroupOperator, ["CyTechBot"]),
        (CyTechBotFlowCampaignSensor, ["CyTechBot"]),
        (CyTechBotAssignLabelsOperator, ["CyTechBot", "Written file"]),
        (CyTechBotFlowAnswersToObjectStorageOperator, ["CyTechBot", "Written file"]),
        (CyTechBotFlowReportOperator, ["CyTechBot", "Written file"]),
    ],
)
def test_operators_have_their_links(operator, names):
    assert [each.name for each in operator.operator_extra_links] == names


def test_links_are_declared_and_serialized():
    declared = get_provider_info()["extra-links"]
    ours = [CyTechBotInstallationLink, CyTechBotFileLink]
    assert declared == [f"{each.__module__}.{each.__qualname__}" for each in ours]
    from airflow.serialization import serialized_objects as serialization

    to_dict = getattr(serialization, "DagSerialization", serialization.SerializedDAG).to_dict
    with DAG("d", schedule=None) as dag:
        CyTechBotAssignLabelsOperator(task_id="t", page_id=1)
    assert INSTALLATION_KEY in str(to_dict(dag)) or "CyTechBotInstallationLink" in str(to_dict(dag))
