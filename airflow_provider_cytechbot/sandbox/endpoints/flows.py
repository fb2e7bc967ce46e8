"""Flow campaigns and their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_cytechbot.sandbox.endpoints.base import Endpoint, RefusedError, Reply, Request
from airflow_provider_cytechbot.sandbox.large_campaign import LargeCampaign
from airflow_provider_cytechbot.sandbox.quirks import Quirk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_cytechbot.sandbox.records import Campaign


def _get_flow_campaigns(request: Request) -> Reply:
    return Reply([{"id": c.id, "flow_name": c.flow_name} for c in request.state.campaigns.values()])


def _get_flow_campaign_info(request: Request) -> Reply:
    campaign = _campaign(request)
    return Reply(
        {"id": campaign.id, "flow_name": campaign.flow_name, "questions": list(campaign.questions.values())}
    )


def _get_single_subscriber_flow_info(request: Request) -> Reply:
    subscriber_id = request.field("subscriber_id").strip()
    if not subscriber_id:
        raise RefusedError("The subscriber_id field is required")
    campaign = _campaign(request)
    answers = campaign.answers_of(subscriber_id)
    if not answers:
        return _no_answers(request, campaign)
    data = _answers(campaign.questions, answers, "question_id")
    return Reply({"id": campaign.id, "flow_name": campaign.flow_name, "data": data})


def _get_all_subscriber_flow_info(request: Request) -> Reply:
    campaign = _campaign(request)
    question_id_field = "id" if Quirk.ID_FOR_QUESTION_ID in request.quirks else "question_id"
    if isinstance(campaign, LargeCampaign):
        return Reply(large_campaign=campaign, question_id_field=question_id_field)
    data = {
        subscriber_id: _answers(campaign.questions, answers, question_id_field)
        for subscriber_id, answers in campaign.answers.items()
        if answers
    }
    if not data:
        return _no_answers(request, campaign)
    return Reply({"id": campaign.id, "flow_name": campaign.flow_name, "data": data})


def _campaign(request: Request) -> Campaign | LargeCampaign:
    flow_campaign_id = request.field("flow_campaign_id").strip()
    if not flow_campaign_id:
        raise RefusedError("The flow_campaign_id field is required")
    campaign = request.state.campaigns.get(flow_campaign_id)
    if campaign is None:
        raise RefusedError("The flow campaign ID does not exist")
    return campaign


def _no_answers(request: Request, campaign: Campaign | LargeCampaign) -> Reply:
    # An empty PHP array is a JSON list, whatever it would have held.
    if Quirk.NULL_CAMPAIGN_WITHOUT_ANSWERS in request.quirks:
        return Reply({"id": None, "flow_name": None, "data": []})
    return Reply({"id": campaign.id, "flow_name": campaign.flow_name, "data": []})


def _answers(
    questions: Mapping[str, str], answers: Mapping[str, str | None], question_id_field: str
) -> list[dict[str, str | None]]:
    return [
        {question_id_field: question_id, "question": questions[question_id], "answer": answers[question_id]}
        for question_id in questions
        if question_id in answers
    ]


ENDPOINTS = {
    "get_flow_campaigns": Endpoint(_get_flow_campaigns),
    "get_flow_campaign_info": Endpoint(_get_flow_campaign_info),
    "get_single_subscriber_flow_info": Endpoint(_get_single_subscriber_flow_info),
    "get_all_subscriber_flow_info": Endpoint(_get_all_subscriber_flow_info),
}
