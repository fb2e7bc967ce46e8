from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.storage.storage_options import check_storage_options


@pytest.mark.parametrize("options", [None, {}, {"ACL": "private"}, {"ServerSideEncryption": "aws:kms"}])
def test_options_of_a_bucket_are_accepted(options):
    check_storage_options(options, "s3://bucket/a.csv")
    check_storage_options(options, "/data/a.csv", "s3://bucket/state")


@pytest.mark.parametrize("paths", [(), ("/data/a.csv",), ("file:///data/a.csv", "a.csv")])
def test_options_need_an_object_store(paths):
    check_storage_options({}, *paths)
    with pytest.raises(CyTechBotFieldError, match="is for object stores"):
        check_storage_options({"ACL": "private"}, *paths)


@pytest.mark.parametrize("options", ["ACL=private", ["ACL"], 1, {1: "private"}])
def test_options_are_a_dictionary(options):
    with pytest.raises(CyTechBotFieldError, match="must be a dictionary"):
        check_storage_options(options, "s3://bucket/a.csv")


@pytest.mark.parametrize("name", ["Bucket", "Key", "Body", "IfNoneMatch", "mode", "block_size", "autocommit"])
def test_parameters_of_the_operator_itself_are_refused(name):
    with pytest.raises(CyTechBotFieldError, match=f"{name}.*sets itself"):
        check_storage_options({name: "x"}, "s3://bucket/a.csv")


def test_keys_are_refused_and_not_shown():
    with pytest.raises(CyTechBotFieldError, match="visible in the DAG") as caught:
        check_storage_options({"SSECustomerKey": "the-secret-key"}, "s3://bucket/a.csv")
    assert "the-secret-key" not in str(caught.value)
