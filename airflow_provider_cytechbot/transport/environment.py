"""What a connection leaves open and the environment says: proxies, trusted certificates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.errors import CyTechBotSettingsError

if TYPE_CHECKING:
    from airflow_provider_cytechbot.transport.settings import Settings


def proxies(settings: Settings) -> dict[str, str]:
    """
    Return the URL of the proxy for each scheme: the connection's, or what the environment's variables say.

    :param settings: The connection's settings.
    """
    if settings.proxy:
        return {"http": settings.proxy, "https": settings.proxy}
    if settings.is_loopback:
        return {}
    from requests.utils import get_environ_proxies

    return dict(get_environ_proxies(settings.base_url))


def ca_bundle(settings: Settings) -> str | None:
    """
    Return the file of trusted certificates: the connection's, or the environment's; ``None``: the usual ones.

    :param settings: The connection's settings.
    :raises CyTechBotSettingsError: An environment variable names a path that does not exist.
    """
    if settings.ca_bundle:
        return settings.ca_bundle
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(name):
            if not Path(path).exists():
                raise CyTechBotSettingsError(
                    f"the environment variable {name} names a path that does not exist: {path!r}.",
                    "Correct it on the worker, or name a file in the extra 'ca_bundle'.",
                )
            return path
    return None
