"""The asset URI of a flow campaign: ``cytechbot://host/flow_campaigns/1``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.assets import Asset
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset

SCHEME = "cytechbot"

#: One scheme for each store, whatever its paths use.
_STORE_SCHEMES = {"s3a": "s3", "gcs": "gs"}

_HTTPS_PORT = 443
_PATH = re.compile(r"(?P<folder>(?:/[^/]+)*)/flow_campaigns/0*(?P<id>[1-9][0-9]*)/?", re.ASCII)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Return the one form of a campaign's URI: its host in small letters, without the usual port.

    :param uri: ``cytechbot://host[:port][/folder]/flow_campaigns/ID``, taken apart.
    :raises ValueError: It names no campaign, or holds what is no part of its name.
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

    :param host: The host, with its port and folder where there are any.
    :param flow_campaign_id: The campaign's id.
    :param extra: What else is to be said of the asset.
    """
    from airflow.providers.common.compat.assets import Asset

    return Asset(uri=f"{SCHEME}://{host}/flow_campaigns/{flow_campaign_id}", extra=extra or {})


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> OpenLineageDataset:
    """
    Return a campaign as OpenLineage names it.

    :param asset: The campaign's asset.
    :param lineage_context: Where it was used.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset

    namespace, name = openlineage_name(asset.uri)
    return OpenLineageDataset(namespace=namespace, name=name)


def openlineage_name(uri: str) -> tuple[str, str]:
    """
    Return namespace and name of a campaign or file, as OpenLineage wants them and other providers say them.

    :param uri: Its URI.
    """
    parts = urlsplit(without_connection(uri))
    scheme = _STORE_SCHEMES.get(parts.scheme, parts.scheme)
    # Not parts.path alone: of a file's name, what follows a question mark is part.
    name = parts._replace(scheme="", netloc="").geturl()
    return (f"{scheme}://{parts.netloc}", name.lstrip("/")) if parts.netloc else (scheme, name)


def without_connection(uri: str) -> str:
    """Return a path as a URI: with its scheme, without the store's connection, which is no part of a name."""
    parts = urlsplit(uri)
    return parts._replace(scheme=parts.scheme or "file", netloc=parts.netloc.rpartition("@")[2]).geturl()
