"""How the provider introduces itself to servers."""

from __future__ import annotations

from functools import cache

from airflow_provider_cytechbot import __version__


@cache
def user_agent() -> str:
    """Return the User-Agent header: the provider and its version, Airflow and its version."""
    from importlib.metadata import version

    return f"airflow-provider-cytechbot/{__version__} apache-airflow/{version('apache-airflow')}"
