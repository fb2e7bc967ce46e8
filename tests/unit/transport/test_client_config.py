from __future__ import annotations

from importlib.metadata import version

from airflow_provider_cytechbot import __version__
from airflow_provider_cytechbot.transport.client_config import user_agent


def test_it_names_provider_and_airflow_with_their_versions():
    assert (
        user_agent() == f"airflow-provider-cytechbot/{__version__} apache-airflow/{version('apache-airflow')}"
    )
