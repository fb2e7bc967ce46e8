"""Several campaigns in one task: each is exported whole or not at all, and has a result of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypedDict

from airflow_provider_cytechbot.api.errors import CyTechBotAuthError, CyTechBotError, CyTechBotStorageError

if TYPE_CHECKING:
    from airflow_provider_cytechbot.exports.manifest import ExportManifest

_MOST_WORDS = 200


class ExportOutcome(TypedDict):
    """What became of one campaign: a manifest, or what went wrong."""

    flow_campaign_id: str
    manifest: ExportManifest | None
    error: str | None


class SeveralCampaigns:
    """
    Exports campaigns, one after the other.

    :param export: Exports one, by its id.
    :param tell: Takes all outcomes so far each time that there is one more.
    """

    def __init__(
        self, export: Callable[[str], ExportManifest], tell: Callable[[list[ExportOutcome]], object]
    ) -> None:
        self._export = export
        self._tell = tell
        self.outcomes: list[ExportOutcome] = []

    def run(self, ids: Sequence[str]) -> list[ExportManifest]:
        """
        Export all of them that can be.

        :param ids: Their ids.
        :return: A manifest for each.
        :raises CyTechBotError: Some were not exported. Its text names each, and a retry is made if that can
            help any of them.
        """
        manifests: list[ExportManifest] = []
        failures: dict[str, CyTechBotError] = {}
        for flow_campaign_id in ids:
            try:
                manifest = self._export(flow_campaign_id)
            except CyTechBotError as error:
                failures[flow_campaign_id] = error
                self._add(flow_campaign_id, None, str(error))
                if _is_the_same_for_all(error):
                    break
            else:
                manifests.append(manifest)
                self._add(flow_campaign_id, manifest, None)
        if not failures:
            return manifests
        raise _sum(failures, ids, len(manifests))

    def _add(self, flow_campaign_id: str, manifest: ExportManifest | None, error: str | None) -> None:
        self.outcomes.append({"flow_campaign_id": flow_campaign_id, "manifest": manifest, "error": error})
        self._tell(self.outcomes)


def _is_the_same_for_all(error: CyTechBotError) -> bool:
    # A storage that refuses says so at once, and may mean one path. One that is down or full costs calls.
    is_down = isinstance(error, CyTechBotStorageError) and error.retryable
    return is_down or isinstance(error, CyTechBotAuthError)


def _sum(failures: dict[str, CyTechBotError], ids: Sequence[str], exported: int) -> CyTechBotError:
    """Return the error of all: one that a retry may help, if there is such a one, and else the first."""
    error = next((each for each in failures.values() if each.retryable), next(iter(failures.values())))
    reason = "; ".join(
        f"{flow_campaign_id}: {each.reason[:_MOST_WORDS]}" for flow_campaign_id, each in failures.items()
    )
    untried = len(ids) - len(failures) - exported
    error.reason = (
        f"{len(failures)} of {len(ids)} flow campaigns failed, {exported} exported"
        f"{f', {untried} not tried' if untried else ''}. {reason}"
    )
    error.request = ""
    return error
