from __future__ import annotations

import itertools
import json
import tracemalloc

import pytest

from airflow_provider_cytechbot.sandbox.large_campaign import LargeCampaign


@pytest.mark.parametrize("field", ["id", "question_id"])
@pytest.mark.parametrize("subscribers", [1, 2, 999, 1000, 1001, 2000, 10_000])
def test_well_formed_and_of_the_declared_length(subscribers, field):
    campaign = LargeCampaign(subscribers)
    body = b"".join(campaign.chunks(field))
    assert len(body) == campaign.length(field)
    answer = json.loads(body)
    assert list(answer) == ["id", "flow_name", "data"]
    assert answer["id"] == "100"
    assert list(answer["data"]) == [campaign.subscriber_id(index) for index in range(subscribers)]
    for subscriber_id in (campaign.subscriber_id(0), campaign.subscriber_id(subscribers - 1)):
        assert answer["data"][subscriber_id] == [
            {field: question_id, "question": campaign.questions[question_id], "answer": text}
            for question_id, text in campaign.answers_of(subscriber_id).items()
        ]
        assert len(answer["data"][subscriber_id]) == 5


def test_ids_and_order_numbers_are_unique_and_beyond_a_float():
    campaign = LargeCampaign(10_000)
    ids = [campaign.subscriber_id(index) for index in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 17 and int(each) > 2**53 for each in ids)
    assert len({campaign.answers_of(each)["453"] for each in ids}) == len(ids)


def test_strangers_have_no_answers():
    campaign = LargeCampaign(1500)
    for stranger in ("", "x" * 17, "0" * 17, "9" * 17, "²" * 17, campaign.subscriber_id(1500)):
        assert campaign.answers_of(stranger) is None


def test_the_same_every_time():
    assert list(LargeCampaign(1500).chunks("id")) == list(LargeCampaign(1500).chunks("id"))


@pytest.mark.parametrize("subscribers", [0, -1, 1_000_001])
def test_other_sizes_are_refused(subscribers):
    with pytest.raises(ValueError, match="must be 1 to 1,000,000"):
        LargeCampaign(subscribers)


def test_the_largest_is_never_held_in_memory():
    campaign = LargeCampaign(1_000_000)
    length = campaign.length("question_id")
    tracemalloc.start()
    total = sum(map(len, campaign.chunks("question_id")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == length > 400_000_000
    assert peak < 5_000_000


def test_pieces_are_small_enough_to_stream():
    assert max(map(len, itertools.islice(LargeCampaign(5000).chunks("id"), 20))) < 1_000_000
