"""Flow campaigns by their names, and the ids of their questions by their texts. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.errors import CyTechBotNotFoundError, CyTechBotRequestError
from airflow_provider_cytechbot.api.fields import encode_number, encode_text, field_error

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.records import FlowAnswer, FlowCampaign

#: The most names or ids that an error lists, and the longest name in it.
MAX_LISTED = 20
MAX_NAME = 60


def read_campaign_reference(flow_campaign_id: object, flow_campaign_name: object) -> tuple[str | None, str]:
    """
    Return the checked id of a campaign, or ``None`` and its name.

    :param flow_campaign_id: The id; ``None`` or an empty text if the name is given.
    :param flow_campaign_name: The name; ``None`` or an empty text if the id is given.
    :raises CyTechBotFieldError: Both or neither are given, or one is invalid.
    """
    has_id, has_name = (each not in (None, "") for each in (flow_campaign_id, flow_campaign_name))
    if has_id and has_name:
        raise field_error("flow_campaign_id", "or 'flow_campaign_name' is needed, not both")
    if has_id:
        return encode_number("flow_campaign_id", flow_campaign_id), ""
    if not has_name:
        raise field_error("flow_campaign_id", "or 'flow_campaign_name' is needed, and neither is given")
    name = encode_text("flow_campaign_name", flow_campaign_name)
    if not name.strip():
        raise field_error("flow_campaign_name", "is empty")
    return None, name


def find_campaign(campaigns: Iterable[FlowCampaign], name: str) -> FlowCampaign:
    """
    Return the campaign with a name. White space around and within names is not significant.

    :param campaigns: All campaigns.
    :param name: The name.
    :raises CyTechBotNotFoundError: No campaign has this name.
    :raises CyTechBotRequestError: Several campaigns have this name.
    """
    campaigns = list(campaigns)
    found = [each for each in campaigns if _folded(each["flow_name"]) == _folded(name)]
    if len(found) == 1:
        return found[0]
    shown = _shorten(name)
    if found:
        ids = _listed([each["id"] for each in found])
        raise CyTechBotRequestError(
            f"{len(found)} flow campaigns have the name {shown!r}: their ids are {ids}.",
            "Give flow_campaign_id instead of flow_campaign_name, or rename one of them.",
        )
    names = _listed([f"{_shorten(each['flow_name'] or '')!r} ({each['id']})" for each in campaigns])
    raise CyTechBotNotFoundError(
        f"no flow campaign has the name {shown!r}.", f"There are: {names}." if names else "There are none."
    )


class QuestionIds:
    """
    The ids of a campaign's questions by their texts.

    The API lists a campaign's questions without ids, so ids come from answers.

    :param questions: The texts of the campaign's questions.
    """

    def __init__(self, questions: Iterable[str]) -> None:
        self._texts = list(questions)
        self._expected = Counter(map(_folded, self._texts))
        self._found: dict[str, dict[str, None]] = {}

    def add(self, answers: Sequence[FlowAnswer]) -> None:
        """
        Take the ids of the questions that a subscriber has answered.

        :param answers: The subscriber's answers.
        """
        for each in answers:
            if each["question_id"] is not None:
                self._found.setdefault(_folded(each["question"]), {})[each["question_id"]] = None

    @property
    def is_complete(self) -> bool:
        """Whether every question has its ids."""
        return all(len(self._found.get(text, ())) >= number for text, number in self._expected.items())

    def by_text(self) -> dict[str, list[str]]:
        """
        Return the ids of each question.

        A question without any answer has none, and a text that several questions share has several. A
        question that has been deleted or renamed since it was answered is not a question of the campaign.
        """
        return {text: list(self._found.get(_folded(text), ())) for text in self._texts}


def _folded(text: str | None) -> str:
    return " ".join((text or "").split())


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"


def _listed(texts: list[str]) -> str:
    more = f" and {len(texts) - MAX_LISTED} more" if len(texts) > MAX_LISTED else ""
    return ", ".join(texts[:MAX_LISTED]) + more
