from __future__ import annotations

import gzip
import json
import tracemalloc
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError, CyTechBotStorageRefusedError
from airflow_provider_cytechbot.api.flow_answer_batches import Answer
from airflow_provider_cytechbot.exports import state_files as module
from airflow_provider_cytechbot.exports.changes import KEPT_STATES, ChangeLog
from airflow_provider_cytechbot.exports.state_files import state_name
from airflow_provider_cytechbot.storage.locations import StorageLocation
from tests.state_blocks import blocks_of, framed, write_framed

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
DAY = timedelta(days=1)
NOW, THEN, LATER = (f"2025-11-20T0{hour}:00:00+00:00" for hour in (1, 2, 3))
SERVER = "https://cytechbot.com/api"


def batches(answers):
    """Make batches of answers by subscriber and question."""
    return [
        [(subscriber, [Answer(q, f"Question {q}", a) for q, a in found.items()])]
        for subscriber, found in answers.items()
    ]


def run(folder, interval, answers, *, saved=True, now=NOW):
    """Compare as an export does, and return what it would write, with the time."""
    log = ChangeLog(StorageLocation.from_parameter("state_path", str(folder)), SERVER, "7", interval)
    log.open()
    log.fill(batches(answers))
    extracted_at = log.extracted_at(now)
    rows = [
        (subscriber, answer.question_id, answer.answer)
        for batch, _ in log.changes()
        for subscriber, found in batch
        for answer in found
    ]
    found = [change for _, changes in log.changes() for change in changes]
    if saved:
        log.save(extracted_at)
    log.close()
    return list(zip(rows, found, strict=True)), extracted_at


FIRST = {"24994546734902201": {"1": "a", "2": None}, "24994546734902202": {"1": ""}}
SECOND = {"24994546734902201": {"1": "b", "2": None}, "24994546734902203": {"1": "c"}}


def test_first_run_finds_all_new(tmp_path):
    found, _ = run(tmp_path, MONDAY, FIRST)
    assert sorted(found) == [
        (("24994546734902201", "1", "a"), "new"),
        (("24994546734902201", "2", None), "new"),
        (("24994546734902202", "1", ""), "new"),
    ]


def test_then_only_what_is_different(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    found, _ = run(tmp_path, MONDAY + DAY, SECOND)
    assert sorted(found) == [
        (("24994546734902201", "1", "b"), "changed"),
        (("24994546734902202", "1", None), "gone"),
        (("24994546734902203", "1", "c"), "new"),
    ]
    assert run(tmp_path, MONDAY + 2 * DAY, SECOND)[0] == []


def test_null_and_empty_are_different(tmp_path):
    run(tmp_path, MONDAY, {"1": {"1": None}})
    assert run(tmp_path, MONDAY + DAY, {"1": {"1": ""}})[0] == [(("1", "1", ""), "changed")]


def test_a_reworded_question_is_not_a_change(tmp_path):
    run(tmp_path, MONDAY, {"1": {"1": "a"}})
    log = ChangeLog(StorageLocation.from_parameter("state_path", str(tmp_path)), SERVER, "7", MONDAY + DAY)
    log.fill([[("1", [Answer("1", "Reworded", "a")])]])
    assert list(log.changes()) == []


def test_several_answers_to_one_question_are_distinguished(tmp_path):
    def once(interval, *answers):
        log = ChangeLog(StorageLocation.from_parameter("state_path", str(tmp_path)), SERVER, "7", interval)
        log.fill([[("1", [Answer("1", "Q", each)])] for each in answers])
        found = [
            (each.answer, change)
            for batch, changes in log.changes()
            for ((_, all_),) in [batch]
            for each, change in zip(all_, changes, strict=True)
        ]
        log.save(NOW)
        return found

    assert once(MONDAY, "a", "b") == [("a", "new"), ("b", "new")]
    assert once(MONDAY + DAY, "a", "c") == [("c", "changed")]
    assert once(MONDAY + 2 * DAY, "a") == [(None, "gone")]


def test_a_run_that_fails_leaves_the_state_as_it_was(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    run(tmp_path, MONDAY + DAY, SECOND, saved=False)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert len(run(tmp_path, MONDAY + DAY, SECOND)[0]) == 3


def test_running_an_interval_again_gives_the_same(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    first = run(tmp_path, MONDAY + DAY, SECOND, now=THEN)
    run(tmp_path, MONDAY + 2 * DAY, FIRST)
    other_order = dict(reversed(SECOND.items()))
    assert run(tmp_path, MONDAY + DAY, other_order, now=LATER) == first == (first[0], THEN)


def test_the_order_of_the_server_makes_no_difference(tmp_path):
    many = {str(at): {"1": "a"} for at in range(2000)}
    first = run(tmp_path, MONDAY, many, now=THEN)
    assert run(tmp_path, MONDAY, dict(reversed(many.items())), now=LATER) == first


def test_an_interval_with_other_answers_has_the_time_of_those(tmp_path):
    run(tmp_path, MONDAY, FIRST, now=THEN)
    assert run(tmp_path, MONDAY, SECOND, now=LATER)[1] == LATER


def test_the_last_states_are_kept(tmp_path):
    for day in range(KEPT_STATES + 3):
        run(tmp_path, MONDAY + day * DAY, FIRST)
    names = sorted(path.name for path in tmp_path.rglob("*.gz"))
    assert len(names) == KEPT_STATES
    assert names[-1].startswith((MONDAY + (KEPT_STATES + 2) * DAY).strftime("%Y%m%d"))


def test_an_interval_whose_state_to_compare_with_is_forgotten_is_refused(tmp_path):
    for day in range(KEPT_STATES + 2):
        run(tmp_path, MONDAY + day * DAY, FIRST)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    for day in (0, 1, 2):  # of the first two nothing is known any more, and of the third its state alone
        with pytest.raises(CyTechBotStorageRefusedError, match="keeps no state before"):
            run(tmp_path, MONDAY + day * DAY, SECOND)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert run(tmp_path, MONDAY + 3 * DAY, FIRST)[0] == []


def test_the_first_interval_can_be_run_again(tmp_path):
    first = run(tmp_path, MONDAY, FIRST, now=THEN)
    for day in range(1, KEPT_STATES):
        run(tmp_path, MONDAY + day * DAY, SECOND)
    assert run(tmp_path, MONDAY, FIRST, now=LATER) == first


def test_nothing_shows_of_a_state_that_is_not_kept(tmp_path):
    log = ChangeLog(
        StorageLocation.from_parameter("state_path", str(tmp_path / "state")), SERVER, "7", MONDAY
    )
    log.open()
    log.fill(batches(FIRST))
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_campaigns_have_states_of_their_own(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    assert ChangeLog(
        StorageLocation.from_parameter("state_path", str(tmp_path)), SERVER, "8", MONDAY + DAY
    ).is_first


def test_a_state_is_a_few_bytes_an_answer(tmp_path):
    run(
        tmp_path,
        MONDAY,
        {str(24994546734902201 + at * 7): {str(q): f"{at} {q}" for q in range(5)} for at in range(4000)},
    )
    (state,) = tmp_path.rglob("*.gz")
    assert state.stat().st_size / 20_000 < 10
    assert b"24994546734902201" in gzip.decompress(state.read_bytes())


def test_more_questions_than_two_bytes_count(tmp_path):
    """Where texts greet by name, each subscriber has questions of its own."""
    last = str(2**16)
    answers = [Answer(str(question), None, "a") for question in range(2**16)]

    def filled(interval, text):
        log = ChangeLog(StorageLocation.from_parameter("state_path", str(tmp_path)), SERVER, "7", interval)
        log.fill([[("1", [*answers, Answer(last, None, text)])]])
        return closing(log)

    with filled(MONDAY, "a") as log:
        log.save(NOW)
    with filled(MONDAY + DAY, "b") as log:
        assert list(log.changes()) == [([("1", [Answer(last, None, "b")])], ["changed"])]


def test_long_answers_do_not_wait_in_memory(tmp_path):
    megabyte = 2**20
    with closing(
        ChangeLog(StorageLocation.from_parameter("state_path", str(tmp_path)), SERVER, "7", MONDAY)
    ) as log:
        tracemalloc.start()
        log.fill([(str(each), [Answer("1", "Why?", "x" * megabyte)])] for each in range(50))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 12 * megabyte


@pytest.mark.parametrize("left", [0, 5, 40, -30, -9, -1])
def test_a_damaged_state_is_an_error_with_a_hint(tmp_path, left):
    run(tmp_path, MONDAY, FIRST)
    (state,) = tmp_path.rglob("*.gz")
    state.write_bytes(state.read_bytes()[:left])
    with pytest.raises(CyTechBotStorageRefusedError, match="a damaged state"):
        run(tmp_path, MONDAY + DAY, SECOND)


def test_damage_anywhere_is_found_before_the_answers_are_requested(tmp_path):
    run(tmp_path, MONDAY, {str(each): {"1": "a", "2": f"answer {each}"} for each in range(1000)})
    (state,) = tmp_path.rglob("*.gz")
    whole = state.read_bytes()
    for at in range(20, len(whole), len(whole) // 50):
        state.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with pytest.raises(CyTechBotStorageRefusedError, match="a damaged state"):
            ChangeLog(StorageLocation.from_parameter("state_path", str(tmp_path)), SERVER, "7", MONDAY + DAY)


def test_the_error_of_a_state_of_another_version_has_a_hint(tmp_path, monkeypatch):
    run(tmp_path, MONDAY, FIRST)
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    with pytest.raises(CyTechBotStorageRefusedError, match="of another version"):
        run(tmp_path, MONDAY + DAY, SECOND)


def state_of(folder):
    (state,) = folder.rglob("*.state.gz")
    return state


def open_log(folder, interval, campaign="7", server=SERVER):
    return closing(
        ChangeLog(StorageLocation.from_parameter("state_path", str(folder)), server, campaign, interval)
    )


@pytest.mark.parametrize(
    "server",
    ["https://other.example/api", "https://cytechbot.com/second/api", "https://cytechbot.com:8443/api"],
)
@pytest.mark.parametrize("interval", [MONDAY, MONDAY + DAY])
def test_states_of_another_server_are_refused(tmp_path, server, interval):
    run(tmp_path, MONDAY, FIRST)
    with pytest.raises(CyTechBotStorageRefusedError, match="Give each server a state_path of its own"):
        open_log(tmp_path, interval, server=server)


def test_a_state_moved_from_another_campaign_is_refused(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    (tmp_path / "_flow_campaign_7").rename(tmp_path / "_flow_campaign_8")
    with pytest.raises(CyTechBotStorageRefusedError, match="flow_campaigns/7"):
        open_log(tmp_path, MONDAY + DAY, campaign="8")


def test_a_state_renamed_to_another_interval_is_refused(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    state = state_of(tmp_path)
    state.rename(state.with_name(state.name.replace("20261116", "20261117")))
    for interval in (MONDAY + DAY, MONDAY + 2 * DAY):
        with pytest.raises(CyTechBotStorageRefusedError, match="was renamed or copied"):
            open_log(tmp_path, interval)


def test_other_files_in_the_folder_are_ignored(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    for name in ("zzz.state.gz", "_SUCCESS", "20261116T000000.000000Z (copy).state.gz"):
        (tmp_path / "_flow_campaign_7" / name).write_bytes(b"")
    assert len(run(tmp_path, MONDAY + DAY, SECOND)[0]) == 3


def test_an_interval_older_than_the_newest_state_needs_a_state_of_its_own(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    run(tmp_path, MONDAY + 2 * DAY, SECOND)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    for interval in (MONDAY - DAY, MONDAY + DAY, MONDAY + 2 * DAY - timedelta(microseconds=1)):
        with pytest.raises(CyTechBotStorageRefusedError, match="but the newer 20261118T"):
            open_log(tmp_path, interval)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert len(run(tmp_path, MONDAY + 2 * DAY, SECOND)[0]) == 3
    assert len(run(tmp_path, MONDAY, FIRST)[0]) == 3


def test_a_state_of_a_run_at_the_same_time_is_not_passed_over(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    for other in (MONDAY + DAY, MONDAY + 3 * DAY):
        with open_log(tmp_path, MONDAY + 2 * DAY) as log:
            log.fill([])
            run(tmp_path, other, SECOND)
            with pytest.raises(CyTechBotStorageError, match="of a run at the same time") as caught:
                list(log.changes())
        assert caught.value.retryable
        next(tmp_path.rglob(f"{state_name(other)}")).unlink()


def test_an_earlier_interval_that_is_run_again_at_the_same_time_is_not_mixed_in(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    with open_log(tmp_path, MONDAY + DAY) as log:
        log.fill(batches(SECOND))
        run(tmp_path, MONDAY, {"9": {"7": "z"}, **FIRST})
        with pytest.raises(CyTechBotStorageError, match="replaced by a run at the same time") as caught:
            list(log.changes())
    assert caught.value.retryable


def test_the_error_of_a_newer_state_has_a_hint_if_it_is_of_the_future(tmp_path):
    tomorrow = datetime.now(UTC) + 2 * DAY
    for interval, is_future in ((datetime.now(UTC) - DAY, False), (tomorrow, True)):
        run(tmp_path, interval, FIRST)
        with pytest.raises(CyTechBotStorageRefusedError) as caught:
            open_log(tmp_path, interval - 30 * DAY)
        assert ("remove it if no run has such an interval" in str(caught.value)) == is_future


def test_states_lie_where_readers_of_data_do_not_look(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    for path in tmp_path.iterdir():
        assert path.name.startswith("_")
        assert "=" not in path.name


def write_blocks(state, blocks, *, is_sealed):
    """Write a crafted state, with matching digests if `is_sealed`."""
    if is_sealed:
        with suppress(ValueError):  # the block may be anything
            head = json.loads(blocks[0])
            if isinstance(head, dict):
                head["digest"] = blake2b(b"".join(blocks[1:-1]), digest_size=16).hexdigest()
                blocks[0] = json.dumps(head).encode()
        blocks[-1] = blake2b(framed(blocks[:-1]), digest_size=16).digest()
    write_framed(state, blocks)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=3), each, max_size=3),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(
    at=st.integers(0, 257),
    block=st.binary(max_size=40)
    | st.dictionaries(st.sampled_from([*FIRST, "1"]), st.binary(max_size=21)).map(msgspec.msgpack.encode),
    head=st.dictionaries(
        st.sampled_from(
            [
                "version",
                "campaign",
                "interval",
                "extracted_at",
                "digest",
                "is_first",
                "answers",
                "questions",
                "x",
            ]
        ),
        JSON,
        max_size=2,
    ),
    is_sealed=st.booleans(),
)
def test_a_crafted_state_is_refused_or_read_and_never_another_error(
    tmp_path_factory, at, block, head, is_sealed
):
    folder = tmp_path_factory.mktemp("state")
    run(folder, MONDAY, FIRST)
    state = state_of(folder)
    blocks = blocks_of(state)
    if head:
        blocks[0] = json.dumps(json.loads(blocks[0]) | head).encode()
    else:
        blocks[at] = block
    write_blocks(state, blocks, is_sealed=is_sealed)
    with suppress(CyTechBotStorageRefusedError):
        found, extracted_at = run(folder, MONDAY + DAY, SECOND, now=NOW)
        assert extracted_at == NOW
        assert {change for _, change in found} <= {"new", "changed", "gone"}


@pytest.mark.parametrize(
    "change",
    [
        lambda blocks: blocks.__setitem__(slice(1, 257), blocks[256:0:-1]),
        lambda blocks: blocks.pop(5),
        lambda blocks: blocks.insert(5, b"\x80"),
        lambda blocks: blocks.append(b"more"),
        lambda blocks: blocks.__setitem__(0, b"[" * 100_000),
        lambda blocks: blocks.__setitem__(0, b"{}"),
        lambda blocks: blocks.__setitem__(0, b"null"),
        lambda blocks: blocks.__setitem__(0, blocks[0].replace(b"Question 1", b"Question 2")),
        lambda blocks: blocks.__setitem__(0, blocks[0].replace(b'"answers": 3', b'"answers": 0')),
    ],
)
def test_a_changed_state_is_refused_before_the_api_call(tmp_path, change):
    run(tmp_path, MONDAY, FIRST)
    blocks = blocks_of(state_of(tmp_path))
    change(blocks)
    write_blocks(state_of(tmp_path), blocks, is_sealed=False)
    with pytest.raises(CyTechBotStorageRefusedError):
        open_log(tmp_path, MONDAY + DAY)


def test_a_length_that_would_fill_the_memory_is_refused(tmp_path):
    run(tmp_path, MONDAY, FIRST)
    state_of(tmp_path).write_bytes(gzip.compress(b"\xff\xff\xff\xff" + bytes(1000)))
    with pytest.raises(CyTechBotStorageRefusedError, match="damaged"):
        open_log(tmp_path, MONDAY + DAY)


@settings(max_examples=60, deadline=None)
@given(
    *[
        st.dictionaries(
            st.sampled_from("12345"), st.dictionaries(st.sampled_from("abc"), st.none() | st.text(max_size=2))
        )
    ]
    * 2
)
def test_changes_lead_from_one_export_to_the_next(tmp_path_factory, first, second):
    folder = tmp_path_factory.mktemp("state")
    run(folder, MONDAY, first)
    found, _ = run(folder, MONDAY + DAY, second)
    answers = {(s, q): a for s, all_ in first.items() for q, a in all_.items()}
    for (subscriber, question, answer), change in found:
        assert ((subscriber, question) in answers) == (change != "new")
        if change == "gone":
            del answers[subscriber, question]
        else:
            assert answers.get((subscriber, question), object()) != answer
            answers[subscriber, question] = answer
    assert answers == {(s, q): a for s, all_ in second.items() for q, a in all_.items()}
