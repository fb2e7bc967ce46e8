"""The modules that people import: what the provider's metadata names, and what a DAG file needs beside."""

from __future__ import annotations

from airflow_provider_cytechbot.get_provider_info import get_provider_info

KINDS = ("hooks", "operators", "sensors", "transfers", "triggers")


def provider_modules(*kinds: str) -> list[str]:
    """Return the modules that the metadata names, of these kinds or of all."""
    info = get_provider_info()
    entries = [entry for kind in kinds or KINDS for entry in info[kind]]
    return [name for entry in entries for name in entry.get("python-modules") or [entry["python-module"]]]


#: All that a DAG file may import; errors, for it may catch them.
DAG_FILE_MODULES = [
    *provider_modules(),
    "airflow_provider_cytechbot.api.errors",
    "airflow_provider_cytechbot.assets.flow_campaigns",
]
