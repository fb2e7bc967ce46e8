from __future__ import annotations

import json

import pytest

from airflow_provider_cytechbot.sandbox.data import DataError, State, built_in_seed, read_seed
from airflow_provider_cytechbot.sandbox.large_campaign import LargeCampaign

PAGES = [{"page_id": "11", "page_name": "Shop"}]
CAMPAIGN = {"id": 1, "flow_name": "F", "questions": [{"question_id": 45, "question": "Why?"}]}


def test_built_in_seed_has_what_a_demo_needs():
    state = State(built_in_seed())
    assert len(state.pages) >= 2
    assert len(state.labels) >= 3
    assert len(state.subscribers) >= 12
    complete, unanswered, partial = (state.campaigns[name] for name in "123")
    assert complete.answers
    assert all(set(answers) == set(complete.questions) for answers in complete.answers.values())
    assert unanswered.questions
    assert not unanswered.answers
    assert any(len(answers) < len(partial.questions) for answers in partial.answers.values())
    assert any(text == "" for answers in partial.answers.values() for text in answers.values())
    texts = "".join(text for answers in complete.answers.values() for text in answers.values())
    assert all(sign in texts for sign in '\n",=👍')
    for campaign in (complete, partial):
        assert set(campaign.answers) <= set(state.subscribers)


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


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        ([], "must be a JSON object"),
        ({"user": []}, r"user: there is no such part; known are .*users"),
        ({"users": {}}, "users: must be a list"),
        ({"users": ["x"]}, r"users\[0\]: must be an object"),
        ({"users": [{"id": "1"}]}, r"users\[0\].email: is required"),
        ({"users": [{"id": 1.5, "email": "a"}]}, r"users\[0\].id: must be text, not 1.5"),
        ({"users": [{"id": True, "email": "a"}]}, r"users\[0\].id: must be text, not true"),
        ({"users": [{"id": "1", "email": "a", "phone": "2"}]}, r"users\[0\].phone: there is no such field"),
        (
            {"users": [{"id": "1", "email": "a"}, {"id": 1, "email": "b"}]},
            r"users\[1\].id: '1' is there twice",
        ),
        (
            {"pages": [{"page_id": "1", "bot_enabled": "no"}]},
            r"pages\[0\].bot_enabled: must be true or false",
        ),
        (
            {"labels": [{"label_id": "1", "label_name": "x", "page_id": "9"}]},
            r"labels\[0\].page_id: there is no '9'",
        ),
        (
            {"pages": PAGES, "subscribers": [{"subscriber_id": "1", "page_id": "11", "label_ids": ["7"]}]},
            r"subscribers\[0\].label_ids: there is no label '7'",
        ),
        (
            {"contacts": [{"id": "1", "contact_type_id": "5"}]},
            r"contacts\[0\].contact_type_id: there is no '5'",
        ),
        ({"flow_campaigns": [{"id": "1"}]}, r"flow_campaigns\[0\].flow_name: is required"),
        (
            {"flow_campaigns": [{**CAMPAIGN, "answers": {"31": {"46": "x"}}}]},
            r"flow_campaigns\[0\].answers.31.46: the campaign has no such question",
        ),
        (
            {"flow_campaigns": [{**CAMPAIGN, "answers": {"31": {"45": None}}}]},
            r"answers.31.45: must be text, not null",
        ),
        ({"flow_campaigns": [{**CAMPAIGN, "questions": ["Why?"]}]}, r"questions\[0\]: must be an object of"),
        ({"next_ids": {"page": 1}}, "next_ids.page: there is no such kind"),
        ({"next_ids": {"user": "x"}}, "next_ids.user: must be digits"),
    ],
)
def test_bad_seed_names_the_field_in_one_line(seed, message):
    with pytest.raises(DataError, match=message) as caught:
        State(seed)
    assert "\n" not in str(caught.value)


def test_seed_is_not_changed_by_the_state():
    seed = {"flow_campaigns": [{**CAMPAIGN, "answers": {"31": {"45": "a"}}}]}
    before = json.dumps(seed)
    State(seed).answer("1", "31", "45", "b")
    assert json.dumps(seed) == before


def test_answer():
    state = State({"flow_campaigns": [CAMPAIGN]}, large_campaign=LargeCampaign(1))
    state.answer("1", "31", "45", "Because")
    assert state.campaigns["1"].answers_of("31") == {"45": "Because"}
    with pytest.raises(KeyError):
        state.answer("2", "31", "45", "x")
    with pytest.raises(KeyError):
        state.answer("1", "31", "46", "x")
    with pytest.raises(ValueError, match="generated"):
        state.answer("100", "31", "451", "x")


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b'{"users": 1}', "users: must be a list"),
        (None, "No such file"),
    ],
)
def test_unusable_file_is_named(tmp_path, content, message):
    path = tmp_path / "seed.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_seed(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "seed.json"
    path.write_bytes(b'\xef\xbb\xbf{"pages": []}')
    assert read_seed(path) == {"pages": []}
