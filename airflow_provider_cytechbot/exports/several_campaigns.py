"""Several campaigns in one task: each is exported whole or not at all, and has its own outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypedDict

from airflow_provider_cytechbot.api.errors import CyTechBotAuthError, CyTechBotError, CyTechBotStorageError

if TYPE_CHECKING:
    from airflow_provider_cytechbot.exports.manifest import ExportManifest

#: The largest number of characters of each campaign's error in the error of all.
_MAX_REASON = 200


class ExportOutcome(TypedDict):
    """The outcome of one campaign: its manifest or its error."""

    flow_campaign_id: str
    manifest: ExportManifest | None
    error: str | None


class SeveralCampaigns:
    """
    Exports campaigns, one after the other.

    :param export: Exports a campaign, by its id.
    :param on_outcome: Is called after each campaign with all outcomes so far.
    """

    def __init__(
        self, export: Callable[[str], ExportManifest], on_outcome: Callable[[list[ExportOutcome]], object]
    ) -> None:
        self._export = export
        self._on_outcome = on_outcome
        self.outcomes: list[ExportOutcome] = []

    def run(self, ids: Sequence[str]) -> list[ExportManifest]:
        """
        Export the campaigns. After one that failed, the others are still exported.

        :param ids: The ids of the campaigns.
        :return: The manifest of each.
        :raises CyTechBotError: Some were not exported. The text names each. It is retryable if a retry can
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
                if _concerns_all(error):
                    break
            else:
                manifests.append(manifest)
                self._add(flow_campaign_id, manifest, None)
        if not failures:
            return manifests
        raise _combined(failures, ids, len(manifests))

    def _add(self, flow_campaign_id: str, manifest: ExportManifest | None, error: str | None) -> None:
        self.outcomes.append({"flow_campaign_id": flow_campaign_id, "manifest": manifest, "error": error})
        self._on_outcome(self.outcomes)


def _concerns_all(error: CyTechBotError) -> bool:
    # A refusal may concern one path. A storage that is down or full would waste the calls of the others.
    is_down = isinstance(error, CyTechBotStorageError) and error.retryable
    return is_down or isinstance(error, CyTechBotAuthError)


def _combined(failures: dict[str, CyTechBotError], ids: Sequence[str], exported: int) -> CyTechBotError:
    """Return one error for all: a retryable one if there is any, otherwise the first."""
    error = next((each for each in failures.values() if each.retryable), next(iter(failures.values())))
    reason = "; ".join(
        f"{flow_campaign_id}: {each.reason[:_MAX_REASON]}" for flow_campaign_id, each in failures.items()
    )
    untried = len(ids) - len(failures) - exported
    error.reason = (
        f"{len(failures)} of {len(ids)} flow campaigns failed, {exported} exported"
        f"{f', {untried} not tried' if untried else ''}. {reason}"
    )
    error.request = ""
    return error
