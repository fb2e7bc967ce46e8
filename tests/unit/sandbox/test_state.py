from __future__ import annotations

import json

import pytest

from airflow_provider_cytechbot.sandbox.large_campaign import LargeCampaign
from airflow_provider_cytechbot.sandbox.seed import DataError
from airflow_provider_cytechbot.sandbox.state import State

PAGES = [{"page_id": "11", "page_name": "Shop"}]
CAMPAIGN = {"id": 1, "flow_name": "F", "questions": [{"question_id": 45, "question": "Why?"}]}


def test_numbers_become_text_and_fields_left_out_their_default():
    state = State({"pages": PAGES, "subscribers": [{"subscriber_id": 31, "page_id": 11}]})
    subscriber = state.subscriber("31")
    assert subscriber["page_name"] == "Shop"
    assert subscriber["labels"] == ""
    assert subscriber["birthdate"] == "0000-00-00"
    assert subscriber["subscribed_at"] == "0000-00-00 00:00:00"


def test_labels_of_a_subscriber_are_row_numbers():
    labels = [{"label_id": str(n), "label_name": str(n), "page_id": "11"} for n in (70, 80, 90)]
    state = State(
        {
            "pages": PAGES,
            "labels": labels,
            "subscribers": [{"subscriber_id": "31", "page_id": "11", "label_ids": ["90"]}],
        }
    )
    assert state.assign_label("31", "70")
    assert not state.assign_label("31", "90")
    assert state.subscriber("31")["labels"] == "3,1"


def test_seed_is_not_changed_by_the_state():
    seed = {"flow_campaigns": [{**CAMPAIGN, "answers": {"31": {"45": "a"}}}]}
    before = json.dumps(seed)
    State(seed).answer("1", "31", "45", "b")
    assert json.dumps(seed) == before


def test_generated_campaign_needs_its_id():
    with pytest.raises(DataError, match="'100' is the generated campaign's"):
        State({"flow_campaigns": [{**CAMPAIGN, "id": 100}]}, large_campaign=LargeCampaign(1))


def test_subscriber_of_the_generated_campaign_is_known():
    campaign = LargeCampaign(2)
    state = State({"pages": PAGES}, large_campaign=campaign)
    assert state.subscriber(campaign.subscriber_id(1))["page_id"] == "11"
    assert state.subscriber(campaign.subscriber_id(2)) is None


@pytest.mark.parametrize(
    ("seed", "ids"),
    [
        ({}, ["1", "2"]),
        ({"users": [{"id": "9", "email": "a"}, {"id": "10", "email": "b"}]}, ["11", "12"]),
        ({"users": [{"id": "29", "email": "a"}], "next_ids": {"user": 28}}, ["28", "30"]),
        ({"next_ids": {"user": "009"}}, ["009", "010"]),
    ],
)
def test_next_ids(seed, ids):
    state = State(seed)
    given = []
    for _ in ids:
        given.append(state.next_id("user"))
        state.users[given[-1]] = {}
    assert given == ids


def test_answer():
    state = State({"flow_campaigns": [CAMPAIGN]}, large_campaign=LargeCampaign(1))
    state.answer("1", "31", "45", "Because")
    assert state.campaigns["1"].answers_of("31") == {"45": "Because"}
    state.answer("1", "31", "45", None)
    assert state.campaigns["1"].answers_of("31") == {"45": None}
    state.answer(1, 31, 45, "by numbers")
    assert state.campaigns["1"].answers == {"31": {"45": "by numbers"}}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (("2", "31", "45", "x"), "flow_campaign_id: there is no flow campaign '2'; known are 1, 100"),
        (("1", "31", "46", "x"), "question_id: there is no question in campaign 1 '46'; known are 45"),
        (("100", "31", "451", "x"), "flow_campaign_id: '100' is generated, its answers cannot be changed"),
        ((None, "31", "45", "x"), "flow_campaign_id: must be text, not null"),
        (("1", None, "45", "x"), "subscriber_id: must be text, not null"),
        (("1", "31", 45.0, "x"), "question_id: must be text, not 45.0"),
        (("1", "31", "45", ["x"]), 'answer: must be text or null, not ["x"]'),
        (("1", "31", "45", True), "answer: must be text or null, not true"),
        (("1", "31", "45", 0.5), "answer: must be text or null, not 0.5"),
    ],
)
def test_wrong_answer_changes_nothing(answer, message):
    state = State({"flow_campaigns": [CAMPAIGN]}, large_campaign=LargeCampaign(1))
    with pytest.raises(DataError) as caught:
        state.answer(*answer)
    assert str(caught.value) == message
    assert state.campaigns["1"].answers == {}
