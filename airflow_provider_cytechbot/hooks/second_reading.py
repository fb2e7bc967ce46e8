"""A second reading where a campaign suddenly has no answers: the server may have a fault of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_cytechbot.api.errors import CyTechBotResponseError

if TYPE_CHECKING:
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

T = TypeVar("T")


class NoAnswersError(Exception):
    """The API returned no answers, and there were some before."""


def read_again_if_empty(
    read: Callable[[bool], T],
    hook: CyTechBotHook,
    flow_campaign_id: str,
    log: Callable[..., object],
    *,
    before: str,
    kept: str,
) -> T:
    """
    Return what a function returns, at the latest after it has read the answers a second time.

    :param read: Reads and writes, and raises :class:`NoAnswersError` before anything has changed. Its
        argument is whether this is the second reading.
    :param hook: The hook that reads.
    :param flow_campaign_id: The campaign's id.
    :param log: Writes a line to the log, such as a logger's ``info``.
    :param before: What has the earlier answers, such as ``export``.
    :param kept: What of it was kept.
    :raises CyTechBotResponseError: There are no answers at the second reading either.
    """
    try:
        return read(False)
    except NoAnswersError:
        log(
            "Flow campaign %s has no answers, but its %s before has some: reading a second time",
            flow_campaign_id,
            before,
        )
    try:
        return read(True)
    except NoAnswersError:
        error = CyTechBotResponseError(
            f"The API returned no answers of flow campaign {flow_campaign_id}, twice, but the {before}"
            f" before has some. The old {kept} were kept.",
            "If all answers were deleted on purpose, set allow_empty=True.",
        )
    raise hook.task_error(error)
