"""The asset URI of a flow campaign: ``cytechbot://host/flow_campaigns/1``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.assets import Asset
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset

SCHEME = "cytechbot"

#: The usual scheme of each store that has several.
_STORE_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}

_HTTPS_PORT = 443
_PATH = re.compile(r"(?P<folder>(?:/[^/]+)*)/flow_campaigns/0*(?P<id>[1-9][0-9]*)/?", re.ASCII)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Return the canonical URI of a campaign: host in lower case, without the default port.

    :param uri: ``cytechbot://host[:port][/folder]/flow_campaigns/ID``, split.
    :raises ValueError: It names no campaign, or has a part that no campaign's URI has.
    """
    if uri.username or uri.password or uri.query or uri.fragment:
        raise ValueError("URI format cytechbot:// must hold no user, query or fragment")
    if not uri.hostname:
        raise ValueError("URI format cytechbot:// must hold a host")
    match = _PATH.fullmatch(uri.path)
    if match is None:
        raise ValueError("URI format cytechbot:// must be cytechbot://host/flow_campaigns/ID")
    host = f"[{uri.hostname}]" if ":" in uri.hostname else uri.hostname
    return uri._replace(
        netloc=host if uri.port in (None, _HTTPS_PORT) else f"{host}:{uri.port}",
        path=f"{match['folder'].removesuffix('/api')}/flow_campaigns/{match['id']}",
    )


def flow_campaign_uri(base_url: str, flow_campaign_id: str) -> str:
    """
    Return the URI of a campaign.

    :param base_url: The API's base URL, as the connection's settings have it.
    :param flow_campaign_id: The campaign's id.
    """
    base = urlsplit(base_url)
    path = f"{base.path}/flow_campaigns/{flow_campaign_id}"
    return sanitize_uri(SplitResult(SCHEME, base.netloc, path, "", "")).geturl()


def create_asset(*, host: str, flow_campaign_id: str, extra: dict[str, Any] | None = None) -> Asset:
    """
    Return the asset of a campaign.

    :param host: The host, with its port and folder if any.
    :param flow_campaign_id: The campaign's id.
    :param extra: Further properties of the asset.
    """
    from airflow.providers.common.compat.assets import Asset

    return Asset(uri=f"{SCHEME}://{host}/flow_campaigns/{flow_campaign_id}", extra=extra or {})


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> OpenLineageDataset:
    """
    Return a campaign as OpenLineage names it.

    :param asset: The campaign's asset.
    :param lineage_context: The hook that used it.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset

    namespace, name = openlineage_name(asset.uri)
    return OpenLineageDataset(namespace=namespace, name=name)


def openlineage_name(uri: str) -> tuple[str, str]:
    """
    Return namespace and name of a campaign or file by OpenLineage's naming conventions.

    :param uri: Its URI.
    """
    scheme, _, rest = without_connection(uri).partition("://")
    store, _, name = rest.partition("/")
    return (f"{scheme}://{store}", name.lstrip("/")) if store else (scheme, f"/{name}")


def without_connection(path: str) -> str:
    """
    Return the URL of a file: without Airflow's connection, and with the usual scheme of its store.

    Names are not escaped: object stores have them as they are, and so have the tools that read there.

    :param path: The path, as ``ObjectStoragePath`` has it.
    """
    scheme, separator, rest = path.partition("://")
    if not separator:
        return f"file://{path}"
    store, slash, name = rest.partition("/")
    return f"{_STORE_SCHEMES.get(scheme, scheme)}://{store.rpartition('@')[2]}{slash}{name}"
