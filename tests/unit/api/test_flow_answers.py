from __future__ import annotations

import json
import random
import time
import tracemalloc
from datetime import UTC
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api import endpoints as e
from airflow_provider_cytechbot.api import flow_answers
from airflow_provider_cytechbot.api.answers import decipher
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.decoders import ReadContext
from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotRequestError,
    CyTechBotResponseError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.api.flow_answer_batches import FlowAnswersBatchParser
from airflow_provider_cytechbot.api.flow_answers import FlowAnswersParser
from airflow_provider_cytechbot.api.json_text import MAX_NOTICES

CALL = build(e.GET_FLOW_ANSWERS, flow_campaign_id=7)
NOTICE = '\nNotice: x["a"] in /x.php on line 5\nWarning: {"b"} in /y.php on line 6\n'


def blocks_of(body, sizes):
    """Cut a body into blocks of the given sizes, over and over; the last may be shorter."""
    at, turn = 0, 0
    while at < len(body):
        yield body[at : at + sizes[turn % len(sizes)]]
        at += sizes[turn % len(sizes)]
        turn += 1


def stream(body, *sizes):
    """Feed a body to a reader; return the reader and what it found."""
    reader = FlowAnswersParser(ReadContext(UTC, CALL.fields))
    found = []
    for block in blocks_of(body, sizes or (len(body) or 1,)):
        found += reader.feed(block)
    return reader, found + reader.close()


def read(body, *sizes):
    """Read a body as the hook does: streamed, or else deciphered as a whole."""
    reader, found = stream(body, *sizes)
    if not reader.is_streaming:
        assert found == []
        assert bytes(reader.head) == body
        return decipher(CALL, 200, {}, body)["data"]
    assert len(dict(found)) == len(found)
    return dict(found)


def whole(body):
    """Read a body by json.loads and a few lines that have nothing in common with the reader's."""
    data = json.loads(body)["data"] or {}

    def text(value):
        return None if value is None else value if isinstance(value, str) else str(value)

    return {
        subscriber_id: [
            {
                "question_id": text(item["question_id"] if "question_id" in item else item["id"]),
                "question": text(item["question"]),
                "answer": text(item["answer"]),
            }
            for item in items
        ]
        for subscriber_id, items in data.items()
    }


TRAPS = st.sampled_from(
    [
        '"],"',
        '\\"',
        '\\\\"',
        "}]}",
        '{"data":{',
        "\\u0041",
        "\n",
        "\u2028",
        "\U0001f600",
        "é/",
        "=1+1",
        "\x00",
        "\\",
    ]
)
TEXTS = st.lists(TRAPS | st.text(max_size=5), max_size=4).map("".join)
ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(["question_id", "id"]),
        TEXTS | st.integers(1, 10**18) | st.none(),
        TEXTS | st.none(),
        TEXTS | st.none() | st.integers(),
        st.permutations(["id", "question", "answer"]),
    ).map(
        lambda x: {
            (x[0] if name == "id" else name): {"id": x[1], "question": x[2], "answer": x[3]}[name]
            for name in x[4]
        }
    ),
    max_size=4,
)
OTHER = (
    st.none()
    | TEXTS
    | st.integers()
    | st.lists(TEXTS, max_size=2)
    | st.dictionaries(TEXTS, TEXTS, max_size=2)
)
CAMPAIGNS = st.builds(
    lambda data, name, others, order: {
        key: {**others, "id": "7", "flow_name": name, "data": data}[key]
        for key in sorted(
            {*others, "id", "flow_name", "data"}, key=lambda key: crc32(f"{order}{key}".encode())
        )
    },
    st.dictionaries(st.integers(1, 10**17).map(str) | TEXTS.filter(str.strip), ANSWERS, max_size=5),
    TEXTS | st.none(),
    st.dictionaries(TEXTS.filter(lambda name: name != "status"), OTHER, max_size=2),
    st.integers(),
)
STYLES = st.sampled_from(
    [
        {"separators": (",", ":")},
        {"indent": 2},
        {"indent": "\t", "separators": (" ,\r\n", " :\n")},
        {"ensure_ascii": False},
    ]
)
SIZES = st.lists(st.integers(1, 64), min_size=1, max_size=5) | st.just([1]) | st.just([10**6])


def written(campaign, style):
    return json.dumps(campaign, **style).encode()


@given(
    CAMPAIGNS,
    STYLES,
    SIZES,
    st.sampled_from(["", "\ufeff", " \n", NOTICE]),
    st.sampled_from(["", "\n", " \r\n"]),
)
def test_streamed_is_what_a_parser_of_the_whole_finds(campaign, style, sizes, before, after):
    body = written(campaign, style)
    reader, found = stream(before.encode() + body + after.encode(), *sizes)
    assert reader.is_streaming
    assert found == list(whole(body).items())
    assert reader.flow_name == campaign["flow_name"]
    assert not reader.head


@given(CAMPAIGNS, STYLES, SIZES, st.floats(0, 1, exclude_max=True))
def test_cut_off_anywhere_it_never_looks_whole(campaign, style, sizes, part):
    body = written(campaign, style)
    with pytest.raises(CyTechBotTransportError):
        read(body[: int(part * len(body))], *sizes)


SMALL = written(
    {"id": "7", "flow_name": "n", "data": {"1": [{"id": "4", "question": "q", "answer": '"],\\"'}], "2": []}},
    {},
)


@pytest.mark.parametrize("end", range(len(SMALL)))
def test_cut_off_at_each_byte(end):
    with pytest.raises(CyTechBotTransportError):
        read(SMALL[:end], 3)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("garbage", [b"x", b"{}", b"}", b",", b"\x00", b"<br />Notice", b"\n\xff"])
def test_text_after_the_json_is_refused(garbage, size):
    with pytest.raises(CyTechBotResponseError, match="something follows the JSON"):
        stream(SMALL + garbage, size)


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":{"1":[]"2":[]}}',
        b'{"data":{,"1":[]}}',
        b'{"data":{"1":[],}}',
        b'{"data":{"1"[]}}',
        b'{"data":{"1":}}',
        b'{"data":{"1":NaN}}',
        b'{"data":{1:[]}}',
        b'{"data":{"1":[]},}',
        b'{"data":{"1":[]}]',
        b'{"data":{"1":[]}"x":1}',
    ],
)
def test_damaged_is_never_whole(body):
    with pytest.raises(CyTechBotTransportError, match="cut off, or damaged"):
        stream(body, 4)


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b'{"id":null,"flow_name":null,"data":[]}', {}),
        (b'{"id":"7","flow_name":"x","data":null}', {}),
        (b'\xef\xbb\xbf{"data":[ ]}', {}),
        (b'{"data":{}}', {}),
        (b'{ "data" : { } }', {}),
        (b'{"data":{"1":null}}', {"1": []}),
        (NOTICE.encode() + b'{"data":[]}', {}),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_empty_campaigns(body, data, size):
    assert read(body, size) == data


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"status":"error","message":"API Key is required"}', CyTechBotError),
        (b'{"status":"error","message":"x","data":{}}', CyTechBotRequestError),
        (b'{"status":"info","message":"x","data":{"1":[]}}', CyTechBotRequestError),
        (b'{"data":{"1":[]},"status":"error"}', CyTechBotResponseError),
        (b'{"data":{},"data":{}}', CyTechBotResponseError),
        (b'{"data":{"1":[]},"data":[]}', CyTechBotResponseError),
        (b'{"data":{"1":["x"]}}', CyTechBotResponseError),
        (b'{"data":{"1":"x"}}', CyTechBotResponseError),
        (b'{"data":["x"]}', CyTechBotResponseError),
        (b'{"data":{"1":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", CyTechBotResponseError),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", CyTechBotResponseError),
        (b"{}", CyTechBotResponseError),
        (b"[]", CyTechBotResponseError),
        (b'[{"data":{"1":[]}}]', CyTechBotResponseError),
        (b"null", CyTechBotResponseError),
        (b"", CyTechBotTransportError),
        (b"<html>{}</html>", CyTechBotResponseError),
        (b"<p>x</p>" * MAX_NOTICES + b'{"data":{"1":[]}}', CyTechBotResponseError),
        (b"[" + b" " * 2 * MAX_NOTICES + b'{"data":{"1":[]}}', CyTechBotTransportError),
    ],
    ids=range(19),
)
@pytest.mark.parametrize("size", [1, 8192, 10**7])
def test_data_without_subscribers_is_an_error(body, error, size):
    if size == 1 and len(body) > 1000:
        size = 997
    with pytest.raises(error):
        read(body, size)


@pytest.mark.parametrize("filler", [MAX_NOTICES - 3, MAX_NOTICES, 3 * MAX_NOTICES])
def test_json_in_the_middle_of_a_page_is_not_read(filler):
    reader = FlowAnswersParser(ReadContext(UTC, CALL.fields))
    for block in (b"x" * filler, b"y" * 10, b'{"data":{"1":[', b"]}}"):
        assert reader.feed(block) == []
    assert reader.close() == []
    assert not reader.is_streaming


def test_a_status_beside_the_data_is_accepted():
    assert read(b'{"status":"success","data":{"1":[]}}', 4) == {"1": []}


def test_subscribers_come_as_soon_as_they_are_whole():
    reader = FlowAnswersParser(ReadContext(UTC, CALL.fields))
    assert reader.feed(b'{"flow_name":"n","data":{"1":[],"2":[') == [("1", [])]
    assert reader.flow_name == "n"
    assert [each[0] for each in reader.feed(b'],"3":[],"4"' + b" " * 10)] == ["2", "3"]
    assert reader.feed(b":[]}}" + b" " * 40) == [("4", [])]
    assert reader.close() == []


def test_a_number_may_go_on_in_the_next_block():
    assert read(b'{"x":12,"data":{"1":[{"id":12345,"answer":1.5e3}]},"y":67}', 1) == {
        "1": [{"question_id": "12345", "question": None, "answer": "1.5e3"}]
    }


def test_text_is_joined_across_blocks_and_half_characters_are_replaced():
    body = '{"data":{"\\ud83d":[{"answer":"é\U0001f600"}]}}'.encode()
    assert read(body, 1) == {"\ufffd": [{"question_id": None, "question": None, "answer": "é\U0001f600"}]}


@pytest.mark.parametrize("parser", [FlowAnswersParser, FlowAnswersBatchParser])
@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    "body",
    [
        b'{"flow_name":"caf\xe9","data":{"1":[],"2":[]}}',
        b'{"data":{"1":[],"2":[]},"flow_name":"caf\xe9"}',
        b'{"data":{"1":[],"\xff":[],"2":[]}}',
        b'{"data":{"1":[],"2":[{"answer":"\xed\xa0\x80"}]}}',
        b'{"data":{"1":[{"question":"\xc0\x80"}],"2":[]}}',
        b'Notice: caf\xe9 on line 5\n{"data":{"1":[{"answer":"\xe9"}],"2":[]}}',
    ],
)
def test_text_that_is_not_utf8_is_refused(parser, size, body):
    reader = parser(ReadContext(UTC, CALL.fields))

    def feed():
        for block in blocks_of(body, [size]):
            reader.feed(block)
        reader.close()

    with pytest.raises(CyTechBotResponseError, match="has text that is not UTF-8"):
        feed()
    with pytest.raises(CyTechBotResponseError, match="has text that is not UTF-8"):
        decipher(CALL, 200, {}, body)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_notice_need_not_be_utf8(size):
    body = 'Notice: café on line 5\n{"data":{"1":[{"answer":"'.encode("latin-1") + 'é"}]}}'.encode()
    assert read(body, size) == {"1": [{"question_id": None, "question": None, "answer": "é"}]}


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":{"1":[{"answer":"' + b"x" * 5000,
        b'{"x":"' + b"x" * 5000,
        b"<html>" + b"x" * 5000,
        b'{"data":[' + b'{"id":"1"},' * 500,
        b'{"status":"error","message":"x"}' + b" " * 5000,
    ],
    ids=["subscriber", "member", "page", "list", "error"],
)
@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_an_endless_value_is_an_error(monkeypatch, body, size):
    monkeypatch.setattr(flow_answers, "MAX_PENDING", 2000)
    with pytest.raises(CyTechBotResponseError, match="no subscriber ends within 2000 characters"):
        stream(body, size)


def test_many_small_subscribers_are_not_too_much(monkeypatch):
    monkeypatch.setattr(flow_answers, "MAX_PENDING", 2000)
    body = written({"data": {str(i): [] for i in range(5000)}}, {})
    assert len(read(body, 10**6)) == len(read(body, 100)) == 5000


def test_one_long_subscriber_costs_time_in_proportion():
    item = b'{"question_id":"1","question":"What?","answer":"a \\u00e9 \\"}]"}'
    body = b'{"id":"7","flow_name":"n","data":{"1":[' + b",".join([item] * (5_000_000 // len(item))) + b"]}}"
    started = time.process_time()
    _, ((_, answers),) = stream(body, 1024)
    assert time.process_time() - started < 5  # half a second; what is quadratic takes minutes
    assert len(answers) == 5_000_000 // len(item)


def test_memory_does_not_grow_with_the_campaign():
    subscribers = 20_000
    rng = random.Random(1)

    def blocks():
        yield b'{"id":"7","flow_name":"n","data":{'
        for i in range(subscribers):
            answers = json.dumps([{"question_id": "1", "question": "q", "answer": "x" * rng.randint(0, 300)}])
            yield f'{"," if i else ""}"{i}":{answers}'.encode()
        yield b"}}"

    reader = FlowAnswersParser(ReadContext(UTC, CALL.fields))
    count = 0
    tracemalloc.start()
    try:
        for block in blocks():
            count += len(reader.feed(block))
        count += len(reader.close())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == subscribers
    assert peak < 300_000  # of a body of four million bytes


ANYTHING = st.binary(max_size=300) | st.lists(
    st.sampled_from(
        [
            b'{"data":{',
            b'"1":[',
            b'{"id":"1"}',
            b"]",
            b"}",
            b",",
            b'"',
            b"\\",
            b" ",
            b"null",
            b"12",
            b'"status":"error"',
            NOTICE.encode(),
            b"\xef\xbb\xbf",
            b"\xff",
            b"[",
            b"{",
            b":",
            b'"data":',
            b"NaN",
            b'"\\ud800"',
        ]
    ),
    max_size=20,
).map(b"".join)


@given(ANYTHING, SIZES)
def test_any_bytes_are_subscribers_or_an_error_of_the_tree(body, sizes):
    try:
        found = read(body, *sizes)
    except CyTechBotError:
        return
    assert found == decipher(CALL, 200, {}, body)["data"]


@pytest.mark.parametrize("parser", [FlowAnswersParser, FlowAnswersBatchParser])
@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"8","flow_name":"x","data":{"1":[]}}',
        b'{"data":{"1":[],"2":[]},"flow_name":"x","id":8}',
    ],
)
def test_the_answers_of_another_campaign_are_refused(parser, body):
    reader = parser(ReadContext(UTC, CALL.fields))
    with pytest.raises(CyTechBotResponseError, match="another request"):
        [*reader.feed(body), *reader.close()]


@pytest.mark.parametrize("number", [b"null", b"7", b'"7"', b'"007"'])
def test_the_answers_of_the_requested_campaign_are_read(number):
    reader = FlowAnswersParser(ReadContext(UTC, CALL.fields))
    body = b'{"id":%b,"data":{"1":[]}}' % number
    assert [*reader.feed(body), *reader.close()] == [("1", [])]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_subscribers_without_an_id_are_skipped_and_logged(size, caplog):
    body = b'{"id":"7","data":{"":[{"answer":"x"}],"17":[null,{"answer":"a"}],"":[]}}'
    ((subscriber_id, (answer,)),) = read(body, size).items()
    assert (subscriber_id, answer["answer"]) == ("17", "a")
    assert "Skipped elements of the answer without subscriber id: 2." in caplog.messages


@pytest.mark.parametrize("size", [1, 1000])
def test_subscribers_without_an_id_alone_are_a_wrong_shape(size):
    with pytest.raises(CyTechBotResponseError, match="no subscriber has an id"):
        read(b'{"id":"7","data":{"":[{"answer":"x"}]}}', size)


#: Members with which a server states a failure beside the data, perhaps of a second API.
FAILURES = [
    '"status":"error"',
    '"status":" Error ","message":"Database is busy"',
    '"status":"failed"',
    '"error":{"code":2,"message":"m"}',
    '"error":"timeout"',
    '"errors":["timeout"]',
    '"success":false',
]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("place", ["before", "after"])
def test_data_beside_a_failure_is_no_result(place, failure):
    data = '"data":{"1":[{"id":"4","question":"Q","answer":"a"}]}'
    body = "{" + ",".join([failure, data] if place == "before" else [data, failure]) + "}"
    with pytest.raises(CyTechBotError):
        read(body.encode())
    with pytest.raises(CyTechBotError):
        read(body.encode(), 1)
    with pytest.raises(CyTechBotError):
        decipher(CALL, 200, {}, body.encode())


@pytest.mark.parametrize(
    "member", ['"status":"success"', '"success":true', '"error":""', '"error":null', '"errors":[]']
)
def test_a_member_that_states_no_failure_is_ignored(member):
    body = f'{{{member},"data":{{"1":[{{"id":"4","question":"Q","answer":"a"}}]}},{member}}}'
    assert list(read(body.encode())) == ["1"]
