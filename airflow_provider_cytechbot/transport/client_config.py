"""What an HTTP client needs besides the connection: proxies, trusted certificates, the User-Agent header."""

from __future__ import annotations

import os
import ssl
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_cytechbot import __version__
from airflow_provider_cytechbot.api.errors import CyTechBotSettingsError

if TYPE_CHECKING:
    from airflow_provider_cytechbot.transport.settings import Settings


@cache
def user_agent() -> str:
    """Return the User-Agent header: the provider and its version, Airflow and its version."""
    from importlib.metadata import version

    return f"airflow-provider-cytechbot/{__version__} apache-airflow/{version('apache-airflow')}"


def proxies(settings: Settings) -> dict[str, str]:
    """
    Return the URL of the proxy for each scheme, from the connection or the environment's variables.

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
    Return the file of trusted certificates of the connection or the environment; ``None``: the default ones.

    :param settings: The connection's settings.
    :raises CyTechBotSettingsError: The file is missing or holds no certificates.
    """
    if settings.ca_bundle:
        if problem := ca_bundle_problem(settings.ca_bundle):
            raise CyTechBotSettingsError(
                f"the extra 'ca_bundle' names a file that {problem}: {settings.ca_bundle!r}.",
                "Correct the file on the worker, or the connection.",
            )
        return settings.ca_bundle
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(name):
            if problem := ca_bundle_problem(path):
                raise CyTechBotSettingsError(
                    f"the environment variable {name} names a path that {problem}: {path!r}.",
                    "Correct it on the worker, or name a file in the extra 'ca_bundle'.",
                )
            return path
    return None


def ca_bundle_problem(path: str) -> str | None:
    """
    Return what is wrong with a file of certificates, as the rest of a sentence; ``None``: nothing.

    :param path: The path of a PEM file, or of a folder as OpenSSL reads it.
    """
    try:
        if not Path(path).exists():
            return "does not exist"
        if Path(path).is_dir():
            return None
        if not Path(path).is_file():  # to open a pipe would take for ever
            return "is neither a file nor a folder"
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return "is not a PEM file of certificates"
    except (OSError, ValueError):
        return "cannot be read"
    return None
