"""Links on the page of a task: to the CyTechBot installation, and to the file that the task has written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

#: The XCom with the installation's address. Links use XComs alone: the UI must not look up connections.
INSTALLATION_KEY = "cytechbot_installation"
#: Members of a manifest that hold the address of the written file.
_URI_KEYS = ("report_uri", "uri")
_S3_CONSOLE = "https://console.aws.amazon.com/s3"
_GCS_CONSOLE = "https://console.cloud.google.com/storage/browser"
_AMAZON = ("amazonaws.com", "amazonaws.com.cn", "api.aws")


class CyTechBotInstallationLink(BaseOperatorLink):
    """The link to the CyTechBot installation that a task has used."""

    name = "CyTechBot"

    @property
    def xcom_key(self) -> str:
        """The XCom that holds the link."""
        return INSTALLATION_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Return the address of the installation; an empty text if the task has not stored one.

        :param operator: The operator.
        :param ti_key: The task instance.
        """
        url = _xcom(ti_key, INSTALLATION_KEY)
        return url if isinstance(url, str) and urlsplit(url).scheme in ("http", "https") else ""


class CyTechBotFileLink(BaseOperatorLink):
    """The link to the file or report that a task has written, in the console of its storage."""

    name = "Written file"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Return the address; an empty text if the storage has none, such as ``file://``.

        :param operator: The operator.
        :param ti_key: The task instance.
        """
        uris = written_uris(_xcom(ti_key, "return_value"))
        return console_url(uris) if uris else ""


def written_uris(result: object) -> list[str]:
    """
    Return the addresses of the files in a task's result.

    :param result: A manifest of an export, a list of them, the figures of a report, or the manifest of a
        bulk write; anything else has none.
    """
    if isinstance(result, Mapping):
        uris = result.get("uris")
        found = uris if isinstance(uris, Sequence) and not isinstance(uris, str) else []
        return [each for each in (*found, *map(result.get, _URI_KEYS)) if each and isinstance(each, str)]
    if isinstance(result, Sequence) and not isinstance(result, str | bytes):
        return [uri for each in result if isinstance(each, Mapping) for uri in written_uris(each)]
    return []


def console_url(uris: Sequence[str]) -> str:
    """
    Return the address of files in the console of their storage; an empty text if there is none.

    :param uris: The files, as ``ObjectStoragePath`` names them. The link to several is that to the folder of
        the first.
    """
    scheme, _, rest = uris[0].partition("://")
    netloc, _, key = rest.partition("/")
    bucket = quote(netloc.rpartition("@")[2])
    folder = quote(f"{key.rpartition('/')[0]}/".lstrip("/"))
    is_one = len(uris) == 1
    if not bucket or not key:
        return ""
    if scheme in ("s3", "s3a", "s3n") and _is_amazon(uris[0]):
        return (
            f"{_S3_CONSOLE}/object/{bucket}?prefix={quote(key)}"
            if is_one
            else f"{_S3_CONSOLE}/buckets/{bucket}?prefix={folder}"
        )
    if scheme in ("gs", "gcs"):
        return (
            f"{_GCS_CONSOLE}/_details/{bucket}/{quote(key)}"
            if is_one
            else f"{_GCS_CONSOLE}/{bucket}/{folder}"
        )
    if scheme in ("abfs", "abfss", "az", "adl", "wasb", "wasbs"):
        # The portal's address needs the id of the subscription, so this is the address of the blob.
        account = getattr(_filesystem(uris[0]), "account_name", None)
        return f"https://{quote(str(account))}.blob.core.windows.net/{bucket}/{quote(key)}" if account else ""
    return ""


def _is_amazon(uri: str) -> bool:
    """Return whether an S3 path is on AWS and not on another server with the same protocol."""
    filesystem = _filesystem(uri)
    options: Any = getattr(filesystem, "client_kwargs", None) or {}
    endpoint = getattr(filesystem, "endpoint_url", None) or options.get("endpoint_url")
    host = urlsplit(str(endpoint or "https://amazonaws.com")).hostname or ""
    return any(host == each or host.endswith(f".{each}") for each in _AMAZON)


def _filesystem(uri: str) -> object:
    """
    Return the filesystem of a path, which the task has opened before; ``None`` if that is not known.

    On Airflow 3 links are created in the task's process. Airflow 2 creates them in the webserver, which must
    not look up connections.
    """
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

    if not AIRFLOW_V_3_0_PLUS:
        return None
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    with suppress(Exception):  # a link is left out if its storage cannot be opened
        filesystem: object = ObjectStoragePath(uri).fs
        return filesystem
    return None


def _xcom(ti_key: TaskInstanceKey, key: str) -> object:
    with suppress(Exception):  # an XCom of another backend can be unreadable; the page shows no link then
        value: object = XCom.get_value(ti_key=ti_key, key=key)
        return value
    return None
