from __future__ import annotations

import errno
import json

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_cytechbot.api.errors import (
    CyTechBotRequestError,
    CyTechBotStorageError,
    CyTechBotStorageRefusedError,
)
from airflow_provider_cytechbot.storage.failures import StorageFailures

PATH = "s3://mine@bucket/a.csv"


class ClientError(Exception):
    """As botocore's."""

    def __init__(self, status, text="the reason"):
        super().__init__(text)
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class AzureError(Exception):
    """As the Azure SDK's."""

    def __init__(self, status):
        super().__init__("the reason")
        self.status_code = status


class GoogleError(Exception):
    """As gcsfs's."""

    def __init__(self, code):
        super().__init__("the reason")
        self.code = code


def by(cause, error=OSError):
    """Return an error with another behind it, as s3fs and adlfs wrap them."""
    wrapping = error("the reason")
    wrapping.__cause__ = cause
    return wrapping


class ParamValidationError(Exception):
    """As botocore's."""


REFUSED = [
    (PermissionError("Access Denied"), "permissions", "connection 'mine'"),
    (by(ClientError(403)), "permissions", "connection 'mine'"),
    (by(AzureError(401), RuntimeError), "permissions", "connection 'mine'"),
    (GoogleError("403"), "permissions", "connection 'mine'"),
    (OSError(errno.EROFS, "Read-only file system"), "permissions", "connection 'mine'"),
    (FileNotFoundError("no such bucket"), "not there", "make the bucket"),
    (GoogleError(404), "not there", "make the bucket"),
    (by(ClientError(412)), "something is there", "another path"),
    (FileExistsError("is there"), "something is there", "another path"),
    (by(ClientError(301)), "refused", "its region"),
    (OSError(errno.ENAMETOOLONG, "File name too long"), "cannot be used", "the path"),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory"), "cannot be used", "the path"),
    (ParamValidationError("Invalid bucket name"), "cannot be used", "the path"),
    (ValueError("embedded null byte"), "cannot be used", "the path"),
    (AirflowNotFoundException("not defined"), "names the connection 'mine'", "Create it"),
]
PASSING = [
    (OSError(errno.ENOSPC, "No space left on device"), "no room"),
    (OSError(errno.EFBIG, "File too large"), "no room"),
    (AzureError(507), "no room"),
    (TimeoutError("too late"), "failed"),
    (by(ClientError(503)), "failed"),
    (GoogleError(429), "failed"),
    (OSError("something else"), "failed"),
    (Exception("something else"), "failed"),
]


@pytest.mark.parametrize(("error", "problem", "hint"), REFUSED, ids=lambda each: str(each)[:30])
def test_errors_that_no_retry_can_help(error, problem, hint):
    failure = StorageFailures("Field 'path'", PATH).convert(error)
    assert isinstance(failure, CyTechBotStorageRefusedError)
    assert failure.reason.startswith(f"Field 'path', {PATH}, ")
    assert problem in failure.reason
    assert hint in failure.hint


@pytest.mark.parametrize(("error", "problem"), PASSING, ids=lambda each: str(each)[:30])
def test_errors_that_a_retry_can_help(error, problem):
    failure = StorageFailures("Field 'path'", PATH).convert(error)
    assert type(failure) is CyTechBotStorageError
    assert problem in failure.reason


@pytest.mark.parametrize(("error", "problem", "hint"), REFUSED, ids=lambda each: str(each)[:30])
def test_error_after_the_beginning_was_accepted_is_retryable_unless_a_file_exists(error, problem, hint):
    with pytest.raises(CyTechBotStorageError) as caught:  # noqa: SIM117
        with StorageFailures("Field 'path'", PATH).translate_errors(has_begun=True):
            raise error
    assert caught.value.retryable is (problem != "something is there")
    assert problem in caught.value.reason


def test_own_errors_and_interrupts_are_not_converted():
    for error in (CyTechBotRequestError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, StorageFailures("x", PATH).translate_errors():
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    "text",
    [
        "GET https://host/bucket/a?X-Amz-Credential=AKIA-secret&X-Amz-Signature=secret failed",
        "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=secret;EndpointSuffix=x",
        "SharedAccessSignature sig=secret&se=2026",
        "the password is pass-secret-word, and the key my-secret-id",
        'token: "secret"',
    ],
)
def test_credentials_are_masked(monkeypatch, text):
    connection = {
        "conn_type": "aws",
        "password": "pass-secret-word",
        "extra": {"aws_secret_access_key": "my-secret-id", "region_name": "eu-west-1", "nothing_key": None},
    }
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps(connection))
    failure = StorageFailures("Field 'path'", PATH).convert(OSError(text))
    assert "secret" not in str(failure)
    assert "***" in str(failure)


def test_region_is_not_masked(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MINE", '{"conn_type": "aws", "extra": {"region_name": "eu-west-1"}}')
    assert "eu-west-1" in str(
        StorageFailures("Field 'path'", PATH).convert(OSError("wrong region eu-west-1"))
    )


def test_a_long_text_of_several_lines_becomes_a_short_one():
    reason = StorageFailures("Field 'path'", PATH).convert(OSError("first\n\nsecond\t" + "x" * 10_000)).reason
    assert "OSError: first second xx" in reason
    assert len(reason) < 400
