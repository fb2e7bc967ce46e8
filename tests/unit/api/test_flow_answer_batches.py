from __future__ import annotations

import json
from datetime import UTC

import ijson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.decoders import ReadContext, is_rounded_id
from airflow_provider_cytechbot.api.errors import (
    CyTechBotResponseError,
    CyTechBotTransportError,
    CyTechBotUnansweredError,
)
from airflow_provider_cytechbot.api.flow_answer_batches import FlowAnswersBatchParser

TRAPS = [
    '],"',
    '"],"',
    '}],"',
    "]}}",
    "\\",
    '\\"],\\"',
    '","answer":"',
    ':[{"id":"1"',
    "\ud83d",
    "👍🏽",
    "\u0000\n\r\t",
    "",
    "a/b",
]
texts = st.sampled_from(TRAPS) | st.lists(st.sampled_from([*TRAPS, "x"]), max_size=4).map("".join) | st.text()
odd_values = st.none() | st.booleans() | st.integers() | st.lists(st.sampled_from(["],", "a"])) | texts


def answers(id_field, values):
    return st.fixed_dictionaries({id_field: values, "question": values, "answer": values})


plain = st.sampled_from(["id", "question_id"]).flatmap(
    lambda field: st.lists(answers(field, texts), max_size=4)
)
odd = st.lists(
    answers("id", odd_values)
    | answers("question_id", odd_values)
    | st.dictionaries(
        st.sampled_from(["id", "question_id", "question", "answer", "extra"]), odd_values
    ).filter(lambda answer: answer.keys() - {"extra"}),
    max_size=3,
)
subscribers = st.lists(
    st.tuples(
        st.sampled_from(["1", "24994546734902201", '],"', "ü"])
        | texts.filter(lambda text: text.strip() and not is_rounded_id(text)),
        plain | plain | odd | st.none(),
    ),
    max_size=12,
)
bodies = st.builds(
    lambda found, ascii_only, spaces, before, behind: body_of(found, ascii_only, spaces, before, behind),
    subscribers,
    st.booleans(),
    st.sampled_from([(",", ":"), (",", ":"), (", ", ": "), (" ,\n", ":")]),
    st.sampled_from([{}, {"id": "1", "flow_name": "F"}]),
    st.sampled_from([{}, {"x": [1], "y": ['],"'], "z": {"a": []}}]),
)


def body_of(found, ascii_only, separators, before, behind):
    """Write a body by hand, as no dictionary holds a subscriber twice."""

    def dumps(value):
        return json.dumps(value, ensure_ascii=ascii_only, separators=separators)

    comma, colon = separators
    data = "{" + comma.join(f"{dumps(key)}{colon}{dumps(value)}" for key, value in found) + "}"
    members = [f"{dumps(key)}{colon}{dumps(value)}" for key, value in before.items()]
    members += [f'"data"{colon}{data}', *(f"{dumps(key)}{colon}{dumps(v)}" for key, v in behind.items())]
    text = "{" + comma.join(members) + "}"
    return (text if ascii_only else text.encode("utf-8", "replace").decode()).encode()


def expected_of(body):
    """What the standard library reads in a body, with every subscriber that comes twice."""
    pairs = json.loads(body, object_pairs_hook=Pairs, parse_int=str, parse_float=str)
    data = next(value for key, value in pairs if key == "data")
    return [(clean(key), [row(dict(each)) for each in value or []]) for key, value in data]


class Pairs(list):
    """A JSON object with all of its members."""


def row(answer):
    question_id = answer.get("id") if answer.get("question_id") is None else answer["question_id"]
    return [as_text(each) for each in (question_id, answer.get("question"), answer.get("answer"))]


def as_text(value):
    if isinstance(value, bool):
        return "1" if value else "0"
    if value is None or isinstance(value, str):
        return value and clean(value)
    return json.dumps(value, separators=(",", ":"))


def clean(text):
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read(body, size):
    reader = FlowAnswersBatchParser(ReadContext(UTC, {"flow_campaign_id": "1"}))
    found = [each for at in range(0, len(body), size) for each in reader.feed(body[at : at + size])]
    return [
        (key, [[each.question_id, each.question, each.answer] for each in value])
        for key, value in found + reader.close()
    ]


@settings(max_examples=400, deadline=None)
@given(bodies, st.integers(1, 400))
def test_reads_what_the_standard_library_reads(body, size):
    assert read(body, size) == expected_of(body)


@settings(max_examples=200, deadline=None)
@given(bodies, st.integers(1, 400), st.data())
def test_a_body_that_ends_early_is_an_error(body, size, data):
    begun = len(body.partition(b"{")[2].partition(b"{")[0]) + 2  # before it, the caller deciphers it whole
    cut = body[: data.draw(st.integers(begun, len(body) - 1))]
    with pytest.raises(CyTechBotTransportError):
        read(cut, size)


@pytest.mark.parametrize("size", [*range(1, 60), 10_000])
def test_every_block_size(size):
    found = [(str(at), [{"id": "1", "question": '],"', "answer": each}]) for at, each in enumerate(TRAPS)]
    body = body_of(found * 2, True, (",", ":"), {"flow_name": "F"}, {"more": [1, 2]})
    assert read(body, size) == expected_of(body)


@settings(max_examples=100, deadline=None)
@given(st.lists(plain, max_size=9), st.integers(1, 400))
@example([[{"id": "1", "question": "q", "answer": '],"'}]] * 3, 50)
def test_agrees_with_ijson(found, size):
    found = [(str(at), value) for at, value in enumerate(found)]
    body = body_of(found, False, (",", ":"), {}, {})
    try:
        expected = [(key, [row(each) for each in value]) for key, value in ijson.kvitems(body, "data")]
    except ijson.JSONError:  # it takes no half surrogates, and alters some
        return
    assert read(body, size) == expected


def test_plain_bodies_are_cut_and_not_read_member_by_member(monkeypatch):
    """The point of this reader: the other one sees the first block and the end only."""
    found = [(str(at), [{"id": "1", "question": "Why?", "answer": "So"}] * 3) for at in range(5000)]
    body = body_of(found, True, (",", ":"), {}, {})
    reader = FlowAnswersBatchParser(ReadContext(UTC, {"flow_campaign_id": "1"}))
    seen = []
    feed = reader.parser.feed
    monkeypatch.setattr(reader.parser, "feed", lambda text: seen.append(len(text)) or feed(text))
    count = sum(len(reader.feed(body[at : at + 4096])) for at in range(0, len(body), 4096))
    assert count + len(reader.close()) == 5000
    assert sum(seen) < 3 * 4096


@pytest.mark.parametrize("field", ["id", "question_id"])
def test_both_field_names_are_fast(field):
    found = [(str(at), [{field: "1", "question": "Why?", "answer": None}]) for at in range(500)]
    body = body_of(found, True, (",", ":"), {}, {})
    assert read(body, 1000) == expected_of(body)


def test_a_subscriber_that_comes_twice_is_kept_twice():
    found = [("7", [{"id": "1", "question": "q", "answer": each}]) for each in "abc"]
    assert [value[0][2] for _, value in read(body_of(found * 9, True, (",", ":"), {}, {}), 200)] == list(
        "abc"
    ) * 9


@pytest.mark.parametrize("damage", [b"\x00", b"}", b"]", b'"', b"\xff", b",,"])
def test_a_damaged_body_is_an_error(damage):
    found = [(str(at), [{"id": "1", "question": "q", "answer": "a"}]) for at in range(50)]
    body = body_of(found, True, (",", ":"), {}, {})
    at = body.index(b"],") + 1
    with pytest.raises(CyTechBotUnansweredError):
        read(body[:at] + damage + body[at:], 300)


def test_the_documented_name_counts_where_both_come():
    found = [(str(at), [{"id": "2", "question_id": "1", "question": "q", "answer": "a"}]) for at in range(50)]
    assert {value[0][0] for _, value in read(body_of(found, True, (",", ":"), {}, {}), 300)} == {"1"}


@pytest.mark.parametrize("size", [10, 40, 10**6])
def test_subscribers_without_an_id_are_skipped(size, caplog):
    good = ",".join(f'"{number}":[{{"id":"1","question":"q","answer":"a"}}]' for number in range(1, 9))
    body = f'{{"id":"7","data":{{{good},"":[{{"id":"1","question":"q","answer":"x"}}],"9":[]}}}}'.encode()
    batches = FlowAnswersBatchParser(ReadContext(UTC, {"flow_campaign_id": "7"}))
    found = [each for at in range(0, len(body), size) for each in batches.feed(body[at : at + size])]
    found += batches.close()
    assert [subscriber_id for subscriber_id, _ in found] == [str(number) for number in range(1, 10)]
    assert "Skipped elements of the answer without subscriber id: 1." in caplog.messages


@pytest.mark.parametrize(
    "subscriber_id", ["24994546735000201.0", "2.4994546735E+16", "2.5e16", "25e+15", "-5"]
)
@pytest.mark.parametrize("size", [30, 10_000])
def test_a_rounded_subscriber_id_is_an_error(subscriber_id, size):
    data = {str(each): [{"id": "1", "question": "q", "answer": "a"}] for each in range(1, 30)}
    data[subscriber_id] = data["5"]
    with pytest.raises(CyTechBotResponseError, match="a sign, a fraction or an exponent"):
        read(json.dumps({"id": "1", "flow_name": "F", "data": data}).encode(), size)
