from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotStorageRefusedError
from airflow_provider_cytechbot.exports.state_files import (
    BUCKETS,
    MAX_BLOCK_SIZE,
    VERSION,
    StateHead,
    StoredState,
    bucket_of,
    digest_of,
    encode_bucket,
    read_block,
    state_name,
    write_block,
    write_state,
)
from airflow_provider_cytechbot.storage.locations import StorageLocation

CAMPAIGN = "cytechbot://cytechbot.com/flow_campaigns/7"
NAME = "20261116T000000.000000Z.state.gz"
QUESTIONS = [("1", "Why?"), (None, None)]


def blocks_of(subscribers):
    buckets = [{} for _ in range(BUCKETS)]
    for subscriber_id, answers in subscribers.items():
        buckets[bucket_of(subscriber_id)][subscriber_id] = answers
    return list(map(encode_bucket, buckets))


def store(folder, subscribers, name=NAME, **changes):
    from hashlib import blake2b

    blocks = blocks_of(subscribers)
    digest = blake2b(digest_size=16)
    for block in blocks:
        digest.update(block)
    head = {
        "version": VERSION,
        "campaign": CAMPAIGN,
        "interval": name,
        "extracted_at": "2026-11-16T00:00:00+00:00",
        "digest": digest.hexdigest(),
        "is_first": True,
        "answers": sum(map(len, subscribers.values())),
        "columns": ["answer"],
        "questions": QUESTIONS,
    }
    with (folder / name).open("wb") as file:
        write_state(file, StateHead(**(head | changes)), blocks)
    return StorageLocation.from_parameter("state_path", str(folder / name))


def test_a_stored_state_is_read_back(tmp_path):
    subscribers = {"24994546734902201": [(0, "Because"), (1, None)], "2": [(0, "")]}
    state = StoredState(store(tmp_path, subscribers), CAMPAIGN)
    assert (state.head.answers, state.head.columns, state.head.questions) == (3, ["answer"], QUESTIONS)
    found = {}
    for number, block in enumerate(state.blocks()):
        for subscriber_id, entries in state.subscribers(number, block).items():
            found[subscriber_id] = list(state.answers(entries))
    assert found == {
        subscriber_id: [(QUESTIONS[number], digest_of(answer)) for number, answer in answers]
        for subscriber_id, answers in subscribers.items()
    }


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"version": VERSION + 1}, "of another version"),
        ({"campaign": "cytechbot://other.example/flow_campaigns/7"}, "Give each server a state_path"),
        ({"interval": "20261117T000000.000000Z.state.gz"}, "was renamed or copied"),
        ({"extracted_at": "2026-11-16T00:00:00"}, "damaged"),
        ({"extracted_at": "yesterday"}, "damaged"),
        ({"digest": "0" * 32}, "damaged"),
    ],
)
def test_a_state_with_another_head_is_refused(tmp_path, changes, problem):
    location = store(tmp_path, {"1": [(0, "a")]}, **changes)
    with pytest.raises(CyTechBotStorageRefusedError, match=problem):
        StoredState(location, CAMPAIGN)


def test_a_number_without_a_question_is_refused(tmp_path):
    state = StoredState(store(tmp_path, {"1": [(2, "a")]}), CAMPAIGN)
    number = bucket_of("1")
    entries = state.subscribers(number, list(state.blocks())[number])["1"]
    with pytest.raises(CyTechBotStorageRefusedError, match="damaged"):
        list(state.answers(entries))


def test_names_sort_like_intervals_of_any_zone():
    start = datetime(2026, 11, 16, tzinfo=UTC)
    intervals = [start + timedelta(minutes=30 * at) for at in range(5)]
    shifted = [each.astimezone(timezone(timedelta(hours=at - 2))) for at, each in enumerate(intervals)]
    assert state_name(start) == NAME
    assert sorted(map(state_name, shifted)) == list(map(state_name, intervals))


def test_digests_distinguish_null_from_empty():
    assert len({digest_of(answer) for answer in (None, "", "=", "a")}) == 4


def test_blocks_are_read_back_in_order():
    file = io.BytesIO()
    for block in (b"a", b"", b"bc"):
        write_block(file, block)
    file.seek(0)
    assert [read_block(file) for _ in range(3)] == [b"a", b"", b"bc"]


def test_a_block_that_is_cut_short_or_too_long_is_an_error():
    with pytest.raises(EOFError):
        read_block(io.BytesIO(b"\5\0\0\0abc"))
    with pytest.raises(ValueError, match="too long"):
        read_block(io.BytesIO((MAX_BLOCK_SIZE + 1).to_bytes(4, "little")))
