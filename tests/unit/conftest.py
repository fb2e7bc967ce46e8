"""What the unit tests of several packages share."""

from __future__ import annotations

import pytest


class HookLineage:
    """What Airflow's own collector has been told."""

    @property
    def inputs(self) -> list[str]:
        return self._uris("inputs")

    @property
    def outputs(self) -> list[str]:
        return self._uris("outputs")

    @staticmethod
    def _uris(kind: str) -> list[str]:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        return [each.asset.uri for each in getattr(get_hook_lineage_collector().collected_assets, kind)]


@pytest.fixture
def hook_lineage(monkeypatch):
    """Let Airflow collect, as it does in a task where some plugin reads hook lineage."""
    from airflow.providers.common.compat import sdk

    try:
        from airflow.sdk import lineage
    except ImportError:
        from airflow.lineage import hook as lineage
    collector = lineage.HookLineageCollector()
    for module in (lineage, sdk):  # ObjectStoragePath asks the one, providers the other
        monkeypatch.setattr(module, "get_hook_lineage_collector", lambda: collector, raising=False)
    monkeypatch.setattr(sdk, "get_current_context", dict, raising=False)
    return HookLineage()
