from __future__ import annotations

import pytest

from airflow_provider_cytechbot.sandbox.seed import DataError, built_in_seed, parse_seed, read_seed

PAGES = [{"page_id": "11", "page_name": "Shop"}]
CAMPAIGN = {"id": 1, "flow_name": "F", "questions": [{"question_id": 45, "question": "Why?"}]}


def test_built_in_seed_has_what_a_demo_needs():
    seed = parse_seed(built_in_seed())
    assert len(seed.pages) >= 2
    assert len(seed.labels) >= 3
    assert len(seed.subscribers) >= 12
    complete, unanswered, partial = (seed.campaigns[name] for name in "123")
    assert complete.answers
    assert all(set(answers) == set(complete.questions) for answers in complete.answers.values())
    assert unanswered.questions
    assert not unanswered.answers
    assert any(len(answers) < len(partial.questions) for answers in partial.answers.values())
    assert any(text == "" for answers in partial.answers.values() for text in answers.values())
    texts = "".join(text for answers in complete.answers.values() for text in answers.values())
    assert all(sign in texts for sign in '\n",=👍')
    for campaign in (complete, partial):
        assert set(campaign.answers) <= set(seed.subscribers)


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
        (
            {"users": [{"id": "1", "email": "a", "phone": "2"}]},
            r"users\[0\].phone: there is no such field; known are id, name, .*",
        ),
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
            r"labels\[0\].page_id: there is no page '9'; known are none",
        ),
        (
            {"pages": PAGES, "subscribers": [{"subscriber_id": "1", "page_id": "11", "label_ids": ["7"]}]},
            r"subscribers\[0\].label_ids: there is no label '7'; known are none",
        ),
        (
            {"contacts": [{"id": "1", "contact_type_id": "5"}]},
            r"contacts\[0\].contact_type_id: there is no contact group '5'; known are none",
        ),
        ({"flow_campaigns": [{"id": "1"}]}, r"flow_campaigns\[0\].flow_name: is required"),
        (
            {"flow_campaigns": [{**CAMPAIGN, "answers": {"31": {"46": "x"}}}]},
            r"flow_campaigns\[0\].answers.31.46: there is no question '46'; known are 45",
        ),
        (
            {"flow_campaigns": [{**CAMPAIGN, "answers": {"31": {"45": []}}}]},
            r"answers.31.45: must be text or null, not \[\]",
        ),
        ({"flow_campaigns": [{**CAMPAIGN, "questions": ["Why?"]}]}, r"questions\[0\]: must be an object of"),
        ({"next_ids": {"page": 1}}, "next_ids.page: there is no such kind"),
        ({"next_ids": {"user": "x"}}, "next_ids.user: must be digits"),
    ],
)
def test_bad_seed_names_the_field_in_one_line(seed, message):
    with pytest.raises(DataError, match=message) as caught:
        parse_seed(seed)
    assert "\n" not in str(caught.value)


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


def test_answer_may_be_null():
    seed = parse_seed({"flow_campaigns": [{**CAMPAIGN, "answers": {"31": {"45": None}}}]})
    assert seed.campaigns["1"].answers == {"31": {"45": None}}


def test_known_ids_are_listed_up_to_a_limit():
    seed = {
        "pages": [{"page_id": n} for n in range(1000)],
        "subscribers": [{"subscriber_id": 1, "page_id": -1}],
    }
    with pytest.raises(DataError, match=r"there is no page '-1'; known are 0, 1, .*, 19, and 980 more$"):
        parse_seed(seed)
