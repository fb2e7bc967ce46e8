from __future__ import annotations

import json

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError, CyTechBotResponseError

URL = "https://cytechbot.com/api/get_all_subscriber_flow_info/"
ANSWER = {
    "id": "1",
    "flow_name": "Feedback",
    "data": {
        "24994546734902201": [
            {"question_id": "4", "question": "How?", "answer": "So"},
            {"question_id": "5", "question": "Why?", "answer": None},
        ],
        "24994546734902202": [],
    },
}


@pytest.fixture
def hook(connect):
    return connect()


def test_rows_of_the_long_layout(hook, requests_mock):
    requests_mock.get(URL, json=ANSWER)
    first, second = hook.iter_flow_answers(1)
    extracted_at = first.pop("extracted_at")
    assert second["extracted_at"] == extracted_at
    assert first == {
        "flow_campaign_id": "1",
        "flow_name": "Feedback",
        "subscriber_id": "24994546734902201",
        "question_id": "4",
        "question": "How?",
        "answer": "So",
    }
    assert second["answer"] is None


def test_a_stream_has_name_time_and_size(hook, requests_mock):
    body = json.dumps(ANSWER)
    requests_mock.get(URL, text=body)
    with hook.open_flow_answers("1") as stream:
        assert stream.flow_campaign_id == "1"
        assert [subscriber_id for subscriber_id, _ in stream] == ["24994546734902201", "24994546734902202"]
        assert stream.flow_name == "Feedback"
        assert stream.bytes_read == len(body)


def test_the_name_can_follow_the_answers(hook, requests_mock):
    """If more answers precede it than are read at once, the campaign is requested for it."""
    many = {str(each): ANSWER["data"]["24994546734902201"] for each in range(1, 3000)}
    requests_mock.get(URL, json={"data": many, "id": "1", "flow_name": "Feedback"})
    campaign = "https://cytechbot.com/api/get_flow_campaign_info/"
    requests_mock.get(campaign, json={"id": "1", "flow_name": "Feedback", "questions": []})
    assert {row["flow_name"] for row in hook.iter_flow_answers(1)} == {"Feedback"}
    assert len(requests_mock.request_history) == 2


@pytest.mark.parametrize(
    "body",
    [
        '{"id":"1","flow_name":"F","data":{"9":5}}',
        '{"id":"1","flow_name":"F","data":{"9":[]}} and more',
        '{"id":"1","flow_name":"F","data":"none"}',
        "[1]",
    ],
)
def test_an_answer_of_another_shape_is_an_error(body, hook, requests_mock):
    requests_mock.get(URL, text=body)
    with pytest.raises(CyTechBotResponseError) as caught:
        list(hook.iter_flow_answers(1))
    assert caught.value.request == "GET get_all_subscriber_flow_info/"
    assert caught.value.connection == "cytechbot_default"


def test_a_wrong_field_raises_at_the_first_row(hook):
    rows = hook.iter_flow_answers(1.5)
    with pytest.raises(CyTechBotFieldError):
        next(rows)


def test_an_exception_in_the_consumer_closes_the_response(hook, requests_mock, monkeypatch):
    requests_mock.get(URL, json=ANSWER)
    closed = []
    monkeypatch.setattr("requests.Response.close", lambda response: closed.append(True))

    def read():
        with hook.open_flow_answers(1):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read()
    assert closed == [True]
