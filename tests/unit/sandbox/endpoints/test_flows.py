"""Flow campaigns and answers beyond the vendor's examples: errors, new answers, quirks."""

from __future__ import annotations

from airflow_provider_cytechbot.sandbox.quirks import Quirk

from .replies import error

SUBSCRIBER = "24994546734902201"


def test_unknown_campaign_and_missing_fields(client):
    for endpoint in ("get_flow_campaign_info", "get_all_subscriber_flow_info"):
        assert client.read(endpoint) == error("The flow_campaign_id field is required")
        assert client.read(endpoint, flow_campaign_id="9") == error("The flow campaign ID does not exist")
    single = "get_single_subscriber_flow_info"
    assert client.read(single, flow_campaign_id="1") == error("The subscriber_id field is required")
    assert client.read(single, subscriber_id="1") == error("The flow_campaign_id field is required")


def test_nobody_answered(server, client):
    fields = {"flow_campaign_id": "2", "subscriber_id": SUBSCRIBER}
    named = {"id": "2", "flow_name": "Spring ride: sign up", "data": []}
    for endpoint in ("get_all_subscriber_flow_info", "get_single_subscriber_flow_info"):
        server.quirks = "none"
        assert client.read(endpoint, **fields) == named
        server.quirks = [Quirk.NULL_CAMPAIGN_WITHOUT_ANSWERS]
        assert client.read(endpoint, **fields) == {"id": None, "flow_name": None, "data": []}


def test_partial_and_empty_answers(client):
    data = client.read("get_all_subscriber_flow_info", flow_campaign_id="3")["data"]
    assert [len(answers) for answers in data.values()] == [4, 2, 1]
    assert data["5123456789012303"] == [{"question_id": "61", "question": "Coffee or tea?", "answer": ""}]
    for subscriber_id, answers in data.items():
        single = client.read(
            "get_single_subscriber_flow_info", flow_campaign_id="3", subscriber_id=subscriber_id
        )
        assert single["data"] == answers


def test_question_id_by_its_other_name(server, client):
    server.quirks = [Quirk.ID_FOR_QUESTION_ID]
    data = client.read("get_all_subscriber_flow_info", flow_campaign_id="3")["data"]
    assert list(data["5123456789012303"][0]) == ["id", "question", "answer"]
    single = client.read(
        "get_single_subscriber_flow_info", flow_campaign_id="3", subscriber_id="5123456789012303"
    )
    assert list(single["data"][0]) == ["question_id", "question", "answer"]


def test_an_answer_given_meanwhile(server, client):
    server.answer("2", SUBSCRIBER, "51", "Yes!")
    data = client.read("get_all_subscriber_flow_info", flow_campaign_id="2")["data"]
    assert data == {
        SUBSCRIBER: [{"question_id": "51", "question": "Will you join the ride on 1 May?", "answer": "Yes!"}]
    }
