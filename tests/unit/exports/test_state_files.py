from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from hashlib import blake2b

import msgspec
import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError, CyTechBotStorageRefusedError
from airflow_provider_cytechbot.exports import state_files
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
    return store_blocks(folder, blocks_of(subscribers), sum(map(len, subscribers.values())), name, **changes)


def store_blocks(folder, blocks, count, name=NAME, **changes):
    """Write a state with digests that match, whatever its content is."""
    digest = blake2b(b"".join(blocks), digest_size=16)
    head = {
        "version": VERSION,
        "campaign": CAMPAIGN,
        "interval": name,
        "extracted_at": "2025-11-16T00:00:00+00:00",
        "digest": digest.hexdigest(),
        "is_first": True,
        "answers": count,
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
    for block in state.blocks():
        for subscriber_id, entries in state.subscribers(block).items():
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
        ({"digest": "0" * 32}, "damaged"),
    ],
)
def test_a_state_with_another_head_is_refused(tmp_path, changes, problem):
    location = store(tmp_path, {"1": [(0, "a")]}, **changes)
    with pytest.raises(CyTechBotStorageRefusedError, match=problem):
        StoredState(location, CAMPAIGN)


IDS = sorted({"24994546734902201", "2", "psid-7"})
ANSWERS = {each: [(0, "a"), (1, None)] for each in IDS}
TOMORROW = (datetime.now(UTC) + timedelta(days=2)).isoformat(timespec="seconds")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"answers": 0}, "has 6 answers and counts 0"),
        ({"answers": 7}, "has 6 answers and counts 7"),
        ({"questions": QUESTIONS[:1]}, "do not belong to its 1 questions"),
        ({"questions": [*QUESTIONS, ("3", "How?")]}, "do not belong to its 3 questions"),
        ({"questions": []}, "do not belong to its 0 questions"),
        ({"questions": QUESTIONS[:1] * 2}, "has a question twice"),
        ({"columns": ["answer", "answer"]}, "has a column twice"),
        ({"extracted_at": "yesterday"}, "'yesterday' is not a time"),
        ({"extracted_at": "2025-11-16T00:00:00"}, "is not a time as exports write it"),
        ({"extracted_at": "20251116T000000Z"}, "is not a time as exports write it"),
        ({"extracted_at": TOMORROW}, "in the future"),
    ],
    ids=[
        *(
            "no answers",
            "more answers",
            "fewer questions",
            "more questions",
            "no questions",
            "question twice",
        ),
        *("column twice", "no time", "no offset", "other form of time", "future"),
    ],
)
def test_a_head_that_no_export_writes_is_refused(tmp_path, changes, problem):
    with pytest.raises(CyTechBotStorageRefusedError, match=f"{NAME}.* impossible.*{problem}.*Remove it"):
        StoredState(store(tmp_path, ANSWERS, **changes), CAMPAIGN)


def in_bucket_of(subscriber_id, entries):
    """Return a map with one subscriber as MessagePack, without its first byte, the number of members."""
    return msgspec.msgpack.encode({subscriber_id: entries})[1:]


ENTRY = bytes(4) + digest_of("a")
ID = "24994546734902201"
#: Comes before the other in order.
OTHER = next(str(each) for each in range(10_000, 19_999) if bucket_of(str(each)) == bucket_of(ID))


@pytest.mark.parametrize(
    ("subscriber_id", "block", "problem"),
    [
        (ID, b"\x82" + in_bucket_of(ID, ENTRY) * 2, "has a subscriber twice"),
        (ID, b"\x82" + in_bucket_of(ID, ENTRY) + in_bucket_of(OTHER, ENTRY), "out of order"),
        (ID, b"\x82" + in_bucket_of(ID, ENTRY) + in_bucket_of(ID, b""), "has a subscriber twice"),
        (ID, b"\xde\0\1" + in_bucket_of(ID, ENTRY), "has a subscriber twice"),
        (ID, b"\x81" + in_bucket_of(f"{ID}0", ENTRY), "of another bucket"),
        (ID, b"\x81" + in_bucket_of(ID, ENTRY[:-1]), "is cut short"),
        (ID, b"\x81" + in_bucket_of(ID, 5), "cannot be read"),
        (ID, b"", "cannot be read"),
        (ID, b"\xc0", "cannot be read"),
        *(
            (each, b"\x81" + in_bucket_of(each, ENTRY), "is not the id of a subscriber")
            for each in ("", " ", "-5", "1.5", "2.499E+16", "\u00a0")
        ),
    ],
    ids=[
        *(
            "twice",
            "order",
            "twice with other answers",
            "other form",
            "bucket",
            "cut",
            "number",
            "empty",
            "null",
        ),
        *("no id", "blank id", "negative id", "fraction as id", "rounded id", "other blank id"),
    ],
)
def test_a_bucket_that_no_export_writes_is_refused(tmp_path, subscriber_id, block, problem):
    blocks = blocks_of({})
    blocks[bucket_of(subscriber_id)] = block
    location = store_blocks(tmp_path, blocks, 1, questions=QUESTIONS[:1])
    with pytest.raises(CyTechBotStorageRefusedError, match=f"{NAME}.* impossible.*{problem}.*Remove it"):
        StoredState(location, CAMPAIGN)


def test_a_head_with_a_member_twice_is_refused(tmp_path, monkeypatch):
    encode = state_files.encode_head
    monkeypatch.setattr(
        state_files, "encode_head", lambda head: encode(head).replace(b"{", b'{"answers": 0, ', 1)
    )
    location = store(tmp_path, ANSWERS)
    monkeypatch.undo()
    with pytest.raises(CyTechBotStorageRefusedError, match=r"impossible.*its head"):
        StoredState(location, CAMPAIGN)


def test_every_id_of_a_subscriber_is_accepted(tmp_path):
    ids = ["1", "24994546734902201", "007", "psid-7", "a@b.c", "6e5f", "\u0663", "\u00e9"]
    subscribers = {each: [] if each == "007" else [(0, "a"), (1, "b")] for each in sorted(ids)}
    assert StoredState(store(tmp_path, subscribers), CAMPAIGN).head.answers == 14


@pytest.mark.parametrize("change", ["answers", "head", "order"])
def test_a_state_that_is_replaced_after_it_was_checked_is_an_error(tmp_path, change):
    state = StoredState(store(tmp_path, ANSWERS), CAMPAIGN)
    if change == "answers":
        store(tmp_path, {**ANSWERS, IDS[0]: [(0, "b"), (1, None)]})
    elif change == "head":
        store(tmp_path, ANSWERS, extracted_at="2025-11-16T00:00:01+00:00")
    else:
        store(tmp_path, ANSWERS, questions=QUESTIONS[::-1])
    with pytest.raises(CyTechBotStorageError, match="was replaced by a run at the same time") as caught:
        list(state.blocks())
    assert caught.value.retryable


def test_blocks_are_checked_again_before_the_last(tmp_path):
    state = StoredState(store(tmp_path, ANSWERS), CAMPAIGN)
    other = {**ANSWERS, IDS[0]: [(0, "b"), (1, None)]}
    store_blocks(tmp_path, blocks_of(other), 6, digest=state.head.digest)
    blocks = state.blocks()
    for _ in range(BUCKETS - 1):
        next(blocks)
    with pytest.raises(CyTechBotStorageError, match="was replaced"):
        next(blocks)


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
