"""The manifest of an export: the result of its task, for tasks downstream and for loaders of databases."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NotRequired, TypedDict

from airflow_provider_cytechbot.assets.flow_campaigns import without_connection

if TYPE_CHECKING:
    from airflow_provider_cytechbot.formats.table import Column

#: The largest total of characters in the names of listed columns: Airflow's database stores the manifest.
MAX_NAMES = 20_000


class ManifestColumn(TypedDict):
    """
    A column of the files.

    :param name: Its name.
    :param type: ``string``, ``timestamp`` or ``integer``.
    :param is_new: With ``export_mode="changes"``: whether the export of the interval before did not have it.
    """

    name: str
    type: str
    is_new: NotRequired[bool]


class ExportManifest(TypedDict):
    """
    The result of an export: its files, their columns and sizes, never the answers.

    ``uris`` are paths that ``ObjectStoragePath`` opens, with the storage's connection id if there was one.
    ``urls`` are the same files for other programs, such as ``s3://bucket/key``. ``columns`` is ``None`` if
    the names of the columns are too long for an XCom, and empty for the format ``raw``. ``subscribers``
    counts the subscribers in the API's answer, ``rows`` the rows in the files, ``bytes`` is the size of the
    files as written. ``unknown_subscribers`` is there with ``subscriber_fields`` only: the number of
    subscribers that ``subscriber_information/`` reports as unknown, whose fields are null.
    """

    uris: list[str]
    urls: list[str]
    flow_campaign_id: str
    flow_name: str | None
    subscribers: int
    rows: int
    bytes: int
    extracted_at: str
    columns: list[ManifestColumn] | None
    unknown_subscribers: NotRequired[int]


def urls_of(uris: Sequence[str]) -> list[str]:
    """Return the paths of files without Airflow's connection."""
    return [without_connection(uri) for uri in uris]


def manifest_columns(
    columns: Sequence[Column], earlier: Collection[str] | None = None
) -> list[ManifestColumn] | None:
    """
    Return columns for a manifest, or ``None`` if their names are too long.

    :param columns: The columns.
    :param earlier: The names of the columns of the export before; ``None`` if nothing is compared.
    """
    if sum(len(column.name) for column in columns) > MAX_NAMES:
        return None
    found: list[ManifestColumn] = [{"name": column.name, "type": column.type} for column in columns]
    if earlier is not None:
        for column in found:
            column["is_new"] = column["name"] not in earlier
    return found
