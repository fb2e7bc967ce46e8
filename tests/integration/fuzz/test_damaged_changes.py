"""States of `export_mode="changes"`, damaged or forged: an error that names the file, or the right rows."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotStorageRefusedError
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
)
from tests.state_blocks import blocks_of, framed, write_framed

from .corpus import fuzz, saved
from .damages import DAMAGES, damage
from .flow_server import CAMPAIGN, flow_server

START = datetime(2026, 1, 1, tzinfo=UTC)
IDS = [str(24994546734902201 + 7 * each) for each in range(20)]
#: The answers of each day, of which the last two have no state yet.
DAYS = {
    1: {each: {"1": "City bike", "2": f"Daily, {each}"} for each in IDS[:12]},
    2: {
        each: {"1": "E-bike" if each in IDS[3:6] else "City bike", "2": f"Daily, {each}"}
        for each in IDS[2:15]
    },
    3: {each: {"1": "E-bike", "2": None, "3": ""} for each in IDS[5:]},
}
DAYS[4] = DAYS[3]
WITH_STATES = (1, 2)


@pytest.fixture(scope="module")
def server():
    with flow_server() as server:
        yield server


def name_of(day):
    return f"{START + timedelta(days=day):%Y%m%dT%H%M%S.%fZ}.state.gz"


def states_of(folder):
    return folder / "state" / f"_flow_campaign_{CAMPAIGN}"


def export(server, folder, day):
    """Export the changes of a day."""
    server.answers = DAYS[day]
    task = ExportOperator(
        task_id="t",
        flow_campaign_id=CAMPAIGN,
        path=str(folder / "out" / f"{day}.jsonl"),
        export_mode="changes",
        state_path=str(folder / "state"),
    )
    return task.execute({"data_interval_end": START + timedelta(days=day)})


def rows_of(folder, day):
    lines = (folder / "out" / f"{day}.jsonl").read_text().splitlines()
    found = Counter()
    for row in map(json.loads, lines):
        found[row["subscriber_id"], row["question_id"], row["answer"], row["change"]] += 1
    return found


def difference(before, day):
    """Return the rows of a day that is compared with the state of another one, or with none."""
    old, new = (
        {
            (subscriber, question): answer
            for subscriber, each in answers.items()
            for question, answer in each.items()
        }
        for answers in (DAYS.get(before, {}), DAYS[day])
    )
    rows = [(*key, None, "gone") for key in old.keys() - new.keys()]
    for key, answer in new.items():
        if key not in old or old[key] != answer:
            rows.append((*key, answer, "changed" if key in old else "new"))
    return Counter(rows)


@pytest.fixture(scope="module")
def exported(server, tmp_path_factory):
    """A folder with the exports and states of two days."""
    folder = tmp_path_factory.mktemp("exported")
    for day in WITH_STATES:
        export(server, folder, day)
        assert rows_of(folder, day) == difference(day - 1, day)
    assert [each.name for each in sorted(states_of(folder).iterdir())] == list(map(name_of, WITH_STATES))
    return folder


def content_of(folder):
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def compared_with(folder, day):
    """Return the day that an export is compared with by the states that are there; -1 if it cannot be."""
    days = [each for each in WITH_STATES if (states_of(folder) / name_of(each)).exists()]
    earlier = max((each for each in days if each < day), default=0)
    if day in days:
        return -1 if day > 1 and not earlier else earlier
    return -1 if max(days, default=0) > day else earlier


def check(server, exported, folder, day):
    """Export a day, and check that it is right, or that nothing has changed and the error helps."""
    before = content_of(folder)
    intact = {
        each: (states_of(folder) / name_of(each)).read_bytes()
        == (states_of(exported) / name_of(each)).read_bytes()
        for each in WITH_STATES
        if (states_of(folder) / name_of(each)).exists()
    }
    basis = compared_with(folder, day)
    error = None
    try:
        manifest = export(server, folder, day)
    except CyTechBotStorageRefusedError as caught:
        error = str(caught)
    if error:
        assert content_of(folder) == before
        damaged = [each for each in {day, basis} & intact.keys() if not intact[each]]
        if basis < 0 and "keeps no state before" in error:
            return None
        assert "Remove it" in error
        named = [each for each in damaged if f"{name_of(each)}, holds" in error]
        assert len(named) == 1, error
        return named[0]
    assert basis >= 0
    assert rows_of(folder, day) == difference(basis, day)
    assert manifest["rows"] == rows_of(folder, day).total()
    if intact.get(day):  # exported before, with the same answers
        assert (folder / "out" / f"{day}.jsonl").read_bytes() == (
            exported / "out" / f"{day}.jsonl"
        ).read_bytes()
    return None


@fuzz(examples=25, longest=1_500)
@saved("changes")
@given(damages=DAMAGES, day=st.sampled_from([1, 2, 3]))
def test_a_damaged_state_gives_the_right_rows_or_an_error(server, exported, tmp_path_factory, damages, day):
    folder = tmp_path_factory.mktemp("damaged") / "copy"
    shutil.copytree(exported, folder)
    damage(states_of(folder), list(map(name_of, WITH_STATES)), damages)
    for _ in range(len(WITH_STATES) + 1):  # the error's hint is followed until there is no error
        removed = check(server, exported, folder, day)
        if removed is None:
            break
        (states_of(folder) / name_of(removed)).unlink()
    else:
        raise AssertionError("an export without damaged states is refused")
    shutil.rmtree(states_of(folder), ignore_errors=True)
    shutil.copytree(states_of(exported), states_of(folder))
    for each in (day, 3, 4):
        export(server, folder, each)
        assert rows_of(folder, each) == difference(each - 1, each)
    shutil.rmtree(folder)


def seal(state, head, blocks):
    """Write a state with digests that match, as somebody can who has read the code."""
    head["digest"] = blake2b(b"".join(blocks), digest_size=16).hexdigest()
    blocks = [json.dumps(head).encode(), *blocks]
    write_framed(state, [*blocks, blake2b(framed(blocks), digest_size=16).digest()])


def pairs(block):
    """Return the subscribers of a bucket, as MessagePack."""
    return [msgspec.msgpack.encode({key: each})[1:] for key, each in msgspec.msgpack.decode(block).items()]


def with_entries(block, change):
    """Change the entries of the first subscriber of a bucket."""
    found = msgspec.msgpack.decode(block)
    first = next(iter(found))
    return msgspec.msgpack.encode({**found, first: change(found[first])})


def with_id(head, blocks, at, new):
    found = msgspec.msgpack.decode(blocks[at])
    blocks[at] = b"\x80"
    blocks[crc32(new.encode()) % 256] = msgspec.msgpack.encode({new: next(iter(found.values()))})
    head["answers"] = sum(
        len(each) // 10 for block in blocks for each in msgspec.msgpack.decode(block).values()
    )


#: By name: a change of the head and the buckets, of which one has subscribers, with a number.
FORGERIES = {
    "subscriber twice": lambda head, blocks, at, n: blocks.__setitem__(
        at, bytes([0x80 + len(pairs(blocks[at])) + 1]) + b"".join([*pairs(blocks[at]), pairs(blocks[at])[0]])
    ),
    "other bucket": lambda head, blocks, at, n: (
        blocks.__setitem__((at + 1 + n % 255) % 256, blocks[at]),
        blocks.__setitem__(at, b"\x80"),
    ),
    "no id": lambda head, blocks, at, n: with_id(head, blocks, at, " " * (n % 3)),
    "rounded id": lambda head, blocks, at, n: with_id(head, blocks, at, f"{n}.{n}E+16"),
    "negative id": lambda head, blocks, at, n: with_id(head, blocks, at, f"-{n}"),
    "question that does not exist": lambda head, blocks, at, n: blocks.__setitem__(
        at,
        with_entries(blocks[at], lambda each: (len(head["questions"]) + n).to_bytes(4, "little") + each[4:]),
    ),
    "question without an answer": lambda head, blocks, at, n: head["questions"].append([f"9{n}", "Why?"]),
    "question twice": lambda head, blocks, at, n: head["questions"].append(
        head["questions"][n % len(head["questions"])]
    ),
    "question lost": lambda head, blocks, at, n: head["questions"].pop(n % len(head["questions"])),
    "answer lost": lambda head, blocks, at, n: blocks.__setitem__(
        at, with_entries(blocks[at], lambda each: each[10:])
    ),
    "answer cut": lambda head, blocks, at, n: blocks.__setitem__(
        at, with_entries(blocks[at], lambda each: each[: -1 - n % 9])
    ),
    "subscriber lost": lambda head, blocks, at, n: blocks.__setitem__(at, b"\x80"),
    "count": lambda head, blocks, at, n: head.update(answers=head["answers"] + 1 + n),
    "no answers": lambda head, blocks, at, n: head.update(answers=0),
    "column twice": lambda head, blocks, at, n: head["columns"].append(head["columns"][n % 8]),
    "future": lambda head, blocks, at, n: head.update(
        extracted_at=(datetime.now(UTC) + timedelta(days=2 + n)).isoformat(timespec="seconds")
    ),
    "no time": lambda head, blocks, at, n: head.update(extracted_at=str(n)),
    "no offset": lambda head, blocks, at, n: head.update(extracted_at="2025-11-16T00:00:00"),
    "other bytes": lambda head, blocks, at, n: blocks.__setitem__(
        at, bytes([n % 256]) + blocks[at][1:] + b"\0"
    ),
    "more": lambda head, blocks, at, n: head.update({f"more{n}": n}),
}


@fuzz(examples=40, longest=3_000)
@saved("forged_changes")
@given(
    forgery=st.sampled_from(list(FORGERIES)),
    where=st.integers(0, 1_000),
    number=st.integers(0, 1_000),
    day=st.sampled_from([2, 3]),
)
def test_a_forged_state_is_refused(server, exported, tmp_path_factory, forgery, where, number, day):
    folder = tmp_path_factory.mktemp("forged") / "copy"
    shutil.copytree(exported, folder)
    state = states_of(folder) / name_of(2)
    head, *blocks = blocks_of(state)[:-1]
    head = json.loads(head)
    filled = [each for each, block in enumerate(blocks) if block != b"\x80"]
    FORGERIES[forgery](head, blocks, filled[where % len(filled)], number)
    seal(state, head, blocks)
    before = content_of(folder)
    with pytest.raises(CyTechBotError) as caught:
        export(server, folder, day)
    assert isinstance(caught.value, CyTechBotStorageRefusedError)
    assert name_of(2) in str(caught.value)
    assert "Remove it" in str(caught.value)
    assert content_of(folder) == before
    shutil.rmtree(folder)


def test_a_state_that_is_sealed_without_a_change_is_accepted(server, exported, tmp_path):
    shutil.copytree(exported, tmp_path / "copy")
    state = states_of(tmp_path / "copy") / name_of(2)
    head, *blocks = blocks_of(state)[:-1]
    seal(state, json.loads(head), blocks)
    check(server, exported, tmp_path / "copy", 3)
    assert rows_of(tmp_path / "copy", 3) == difference(2, 3)
