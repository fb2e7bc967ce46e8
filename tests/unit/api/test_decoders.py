from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api import decoders as d
from airflow_provider_cytechbot.api import records as r
from airflow_provider_cytechbot.api.decoders import ReadContext
from airflow_provider_cytechbot.api.errors import CyTechBotResponseError
from airflow_provider_cytechbot.api.json_text import loads

CONTEXT = ReadContext(UTC, {"flow_campaign_id": "7"})


def read_time(text, zone=UTC):
    value = {"id": "1", "created_at": text}
    return d.record(r.ContactGroup)(value, ReadContext(zone, {}))["created_at"]


def read_day(text):
    return d.record(r.Subscriber)({"subscriber_id": "1", "birthdate": text}, CONTEXT)["birthdate"]


@pytest.mark.parametrize(
    ("text", "zone", "iso"),
    [
        ("2020-09-27 08:13:01", UTC, "2020-09-27T08:13:01+00:00"),
        (" 2020-09-27 08:13:01 ", UTC, "2020-09-27T08:13:01+00:00"),
        ("2020-09-27", UTC, "2020-09-27T00:00:00+00:00"),
        ("2020-01-27 08:13:01", ZoneInfo("Europe/Berlin"), "2020-01-27T08:13:01+01:00"),
        ("2020-07-27 08:13:01", ZoneInfo("Europe/Berlin"), "2020-07-27T08:13:01+02:00"),
        # On the night of 2020-10-25 each time between two and three came twice: the first is taken.
        ("2020-10-25 01:59:59", ZoneInfo("Europe/Berlin"), "2020-10-25T01:59:59+02:00"),
        ("2020-10-25 02:30:00", ZoneInfo("Europe/Berlin"), "2020-10-25T02:30:00+02:00"),
        ("2020-10-25 03:00:00", ZoneInfo("Europe/Berlin"), "2020-10-25T03:00:00+01:00"),
        # On the night of 2020-03-29 there was none: it is the time an hour later, as in pendulum.
        ("2020-03-29 02:30:00", ZoneInfo("Europe/Berlin"), "2020-03-29T03:30:00+02:00"),
        ("2020-07-27 08:13:01", ZoneInfo("Asia/Kathmandu"), "2020-07-27T08:13:01+05:45"),
        ("2020-07-27 08:13:01", timezone(timedelta(hours=-3)), "2020-07-27T08:13:01-03:00"),
        ("2020-07-27T08:13:01+02:00", ZoneInfo("Asia/Kathmandu"), "2020-07-27T08:13:01+02:00"),
    ],
)
def test_times_have_the_servers_offset(text, zone, iso):
    assert read_time(text, zone) == iso
    assert datetime.fromisoformat(iso).tzinfo


@pytest.mark.parametrize("read", [read_time, read_day])
@pytest.mark.parametrize(
    "nothing", [None, "", " ", "0000-00-00 00:00:00", "0000-00-00", " 0000-00-00"], ids=repr
)
def test_zero_dates_are_none(read, nothing):
    assert read(nothing) is None


@pytest.mark.parametrize(
    "text", ["yesterday", "2020-13-01 00:00:00", "1601193600", "2020-00-00", [], {"a": "1"}]
)
def test_an_unreadable_time_is_a_wrong_shape(text):
    with pytest.raises(CyTechBotResponseError, match="'created_at' should be a time"):
        read_time(text)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1990-05-01", "1990-05-01"),
        ("1990-05-01 00:00:00", "1990-05-01"),
        ("05/01", "05/01"),
        ("1990-99-99", "1990-99-99"),
        ("in May", "in May"),
    ],
)
def test_days_are_kept_even_where_odd(text, day):
    assert read_day(text) == day


def test_a_record_has_exactly_its_declared_fields():
    label = d.record(r.Label)({"label_id": "1", "secret": "x"}, CONTEXT)
    assert label == {"label_id": "1", "label_name": None}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        ("", ""),
        (None, None),
        (True, "1"),
        (False, "0"),
        (["a", None], '["a",null]'),
        ({"a": "é"}, '{"a":"\\u00e9"}'),
        ("\ud83d\ude00", "\U0001f600"),
        ("cut off \ud83d", "cut off \ufffd"),
        ("\ude00 cut off", "\ufffd cut off"),
    ],
    ids=ascii,
)
def test_text(value, text):
    assert d.record(r.Label)({"label_id": "1", "label_name": value}, CONTEXT)["label_name"] == text


@pytest.mark.parametrize("value", ["12", " 12\n"])
def test_id(value):
    assert d.record(r.Label)({"label_id": value}, CONTEXT)["label_id"] == "12"


@pytest.mark.parametrize(
    ("value", "found"),
    [(None, "null"), ("", "empty"), (" ", "text"), (True, "a boolean"), ([], "a list"), ({}, "an object")],
)
def test_an_id_of_another_type_is_a_wrong_shape(value, found):
    with pytest.raises(CyTechBotResponseError, match=f"'label_id' should be an id, not {found}"):
        d.record(r.Label)({"label_id": value}, CONTEXT)


@pytest.mark.parametrize("value", [None, "x", [], True])
def test_another_type_in_place_of_an_object_is_a_wrong_shape(value):
    with pytest.raises(CyTechBotResponseError, match="an object was expected, not "):
        d.record(r.Label)(value, CONTEXT)
    with pytest.raises(CyTechBotResponseError, match="an object was expected, not "):
        d.read_flow_answers(value, CONTEXT)


@pytest.mark.parametrize("value", ["x", {"a": {}}, {"-1": {}}, {"²": {}}, True])
def test_another_type_in_place_of_a_list_is_a_wrong_shape(value):
    with pytest.raises(CyTechBotResponseError, match="a list was expected, not "):
        d.records(r.Label)(value, CONTEXT)


def test_no_list_is_an_empty_one():
    assert d.records(r.Label)(None, CONTEXT) == []


LISTS = [
    (r.Label, "label_id"),
    (r.Package, "id"),
    (r.FlowCampaign, "id"),
    (r.ContactGroup, "id"),
]


@pytest.mark.parametrize(("shape", "id_name"), LISTS)
@pytest.mark.parametrize("keys", [["0", "1"], ["1", "2"], ["7", "3"]], ids=str)
def test_a_list_that_php_wrote_as_an_object_is_a_list(shape, id_name, keys):
    items = [{id_name: "5"}, {id_name: "6"}]
    found = d.records(shape)(dict(zip(keys, items, strict=True)), CONTEXT)
    assert [each[id_name] for each in found] == ["5", "6"]


def test_an_empty_list_that_php_wrote_as_an_object_is_empty():
    assert d.records(r.Label)({}, CONTEXT) == []
    assert d.read_questions({"id": "1", "questions": {}}, CONTEXT)["questions"] == []


def test_answers_and_questions_that_php_wrote_as_objects():
    value = {"id": "1", "questions": {"1": "a", "3": "b"}}
    assert d.read_questions(value, CONTEXT)["questions"] == ["a", "b"]
    assert len(d.read_answers({"12": {"answer": "a"}, "15": {"answer": "b"}}, CONTEXT)) == 2


@pytest.mark.parametrize("empty", [None, "", " ", False], ids=repr)
@pytest.mark.parametrize(("shape", "id_name"), LISTS)
def test_elements_without_an_id_are_skipped_and_logged(shape, id_name, empty, caplog):
    value = [{id_name: empty}, {id_name: "5"}, {}, None, [], {id_name: "6"}, False, ""]
    assert [each[id_name] for each in d.records(shape)(value, CONTEXT)] == ["5", "6"]
    assert caplog.messages == ["Skipped elements of the answer without id: 6."]


@pytest.mark.parametrize("value", [[None], [{}], [[]], [{"label_id": None, "label_name": None}], {"0": None}])
def test_a_list_of_elements_without_an_id_alone_is_a_wrong_shape(value):
    with pytest.raises(CyTechBotResponseError, match="no element of a list has the id"):
        d.records(r.Label)(value, CONTEXT)


@pytest.mark.parametrize("bad", [True, [[]], "x", {"label_id": True}, {"label_id": []}])
def test_a_wrong_element_among_good_ones_is_a_wrong_shape(bad):
    with pytest.raises(CyTechBotResponseError, match="wrong shape"):
        d.records(r.Label)([{"label_id": "1"}, bad], CONTEXT)


def test_empty_answers_and_subscribers_without_an_id_are_skipped(caplog):
    answers = [None, {"answer": "a"}, [], False, "", {}]
    value = {"id": "1", "data": {"": [{"answer": "x"}], "17": answers, " ": []}}
    data = d.read_flow_answers(value, CONTEXT)["data"]
    assert {key: [each["answer"] for each in answers] for key, answers in data.items()} == {"17": ["a"]}
    assert len(caplog.messages) == 2
    with pytest.raises(CyTechBotResponseError, match="no element of a list has the subscriber id"):
        d.read_flow_answers({"id": "1", "data": {"": []}}, CONTEXT)


@pytest.mark.parametrize("empty", [None, False, "", [], {}], ids=repr)
def test_one_subscriber_without_answers_does_not_spoil_those_of_the_others(empty):
    value = {"id": "1", "data": {"17": empty, "18": [{"answer": "a"}]}}
    data = d.read_flow_answers(value, CONTEXT)["data"]
    assert {key: len(answers) for key, answers in data.items()} == {"17": 0, "18": 1}


@pytest.mark.parametrize("item", [{"qid": "5", "text": "a"}, {"0": "5", "1": "a"}, {"Answer": "a"}], ids=str)
def test_an_answer_without_any_known_field_is_a_wrong_shape(item):
    with pytest.raises(CyTechBotResponseError, match="neither a question id"):
        d.read_answers([{"answer": "a"}, item], CONTEXT)


@pytest.mark.parametrize("wrap", [lambda row: [row], lambda row: {"0": row}], ids=["list", "object"])
@pytest.mark.parametrize("shape", [r.User, r.Subscriber, r.ContactGroup, r.Contact])
def test_a_record_that_php_wrote_as_a_list_of_one_row(shape, wrap):
    row = {"id": "5", "subscriber_id": "5"}
    assert d.record(shape)(wrap(row), CONTEXT) == d.record(shape)(row, CONTEXT)


@pytest.mark.parametrize(
    "value", [[], [{"id": "5"}, {"id": "6"}], [[{"id": "5"}]], {"1": {"id": "5"}}, [None]]
)
def test_a_list_of_another_number_of_rows_is_no_record(value):
    with pytest.raises(CyTechBotResponseError, match="wrong shape"):
        d.record(r.User)(value, CONTEXT)


@pytest.mark.parametrize(("value", "new_id"), [("29", "29"), ("012345678790", "012345678790")])
def test_new_id(value, new_id):
    assert d.read_new_id(value, CONTEXT) == new_id


@pytest.mark.parametrize("value", ["0", " 0 ", "", None, True, []])
def test_no_new_id(value):
    with pytest.raises(CyTechBotResponseError, match="the new id"):
        d.read_new_id(value, CONTEXT)


@pytest.mark.parametrize(
    ("item", "question_id"),
    [
        ({"question_id": "45"}, "45"),
        ({"id": "45"}, "45"),
        ({"question_id": "45", "id": "1"}, "45"),
        ({"question_id": None, "id": "45"}, "45"),
        ({"question_id": None}, None),
    ],
    ids=str,
)
def test_question_id_comes_under_either_name(item, question_id):
    assert d.read_answers([item], CONTEXT) == [{"question_id": question_id, "question": None, "answer": None}]


@pytest.mark.parametrize("data", [[], {}, None, "", False])
@pytest.mark.parametrize(("read", "empty"), [(d.read_flow_answers, {}), (d.read_subscriber_flow_answers, [])])
def test_nobody_answered_yet(read, empty, data):
    value = {"id": None, "flow_name": None, "data": data}
    assert read(value, CONTEXT) == {"id": "7", "flow_name": None, "data": empty}


@pytest.mark.parametrize("read", [d.read_flow_answers, d.read_subscriber_flow_answers])
@pytest.mark.parametrize("value", [{}, {"id": "1", "flow_name": "x"}, {"error": "not authorized"}], ids=str)
def test_an_answer_without_data_is_a_wrong_shape(read, value):
    with pytest.raises(CyTechBotResponseError, match="it has no 'data'"):
        read(value, CONTEXT)


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (d.read_flow_answers, [{"question_id": "1"}]),
        (d.read_flow_answers, "x"),
        (d.read_flow_answers, {"1": "x"}),
        (d.read_flow_answers, {"1": ["x"]}),
        (d.read_flow_answers, {"1": [None]}),
        (d.read_subscriber_flow_answers, {"1": []}),
        (d.read_subscriber_flow_answers, "x"),
    ],
)
def test_data_of_the_wrong_shape(read, data):
    with pytest.raises(CyTechBotResponseError, match="wrong shape"):
        read({"id": "1", "flow_name": "x", "data": data}, CONTEXT)


def test_all_answers():
    value = {
        "id": "1",
        "flow_name": "x",
        "data": {"17": [{"id": "4", "question": "q", "answer": "a"}], "18": None},
    }
    assert d.read_flow_answers(value, CONTEXT) == {
        "id": "1",
        "flow_name": "x",
        "data": {"17": [{"question_id": "4", "question": "q", "answer": "a"}], "18": []},
    }


def test_questions():
    value = {"id": "1", "flow_name": "x", "questions": ["a", None, "5"]}
    assert d.read_questions(value, CONTEXT)["questions"] == ["a", "", "5"]
    assert d.read_questions({**value, "questions": None}, CONTEXT)["questions"] == []
    with pytest.raises(CyTechBotResponseError, match="it has no 'questions'"):
        d.read_questions({"id": "1"}, CONTEXT)
    with pytest.raises(CyTechBotResponseError, match="'id' should be an id"):
        d.read_questions({**value, "id": None}, CONTEXT)


@given(st.text(st.characters()))
def test_cleaned_text_can_be_stored_and_is_otherwise_the_same(text):
    assert d.clean(text).encode().decode() == d.clean(text)
    if text.isascii():
        assert d.clean(text) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_clean_text_stays(text):
    assert d.clean(text) == text


VALUES = st.recursive(
    st.none() | st.booleans() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=4
)


@pytest.mark.parametrize("shape", [r.User, r.Package, r.Subscriber, r.Label, r.ContactGroup, r.Contact])
@given(data=st.data())
def test_anything_becomes_a_serialisable_record_or_a_wrong_shape(shape, data):
    names = list(shape.__annotations__)
    value = data.draw(st.dictionaries(st.sampled_from(names), VALUES) | VALUES)
    try:
        record = d.record(shape)(value, CONTEXT)
    except CyTechBotResponseError:
        return
    assert list(record) == names
    assert json.loads(json.dumps(record)) == record
    assert all(isinstance(each, str | None) for each in record.values())


@pytest.mark.parametrize("number", ["1.0e+17", "29.0", "-1", "-2.5"])
def test_an_id_that_went_through_a_float_is_refused(number):
    value = loads(f'{{"id": {number}}}')["id"]
    with pytest.raises(CyTechBotResponseError, match="should be an id"):
        d.read_new_id(value, CONTEXT)


def test_a_question_id_that_went_through_a_float_is_refused():
    item = loads('[{"question_id": 4.5e1, "question": "Q", "answer": "A"}]')
    with pytest.raises(CyTechBotResponseError, match="'question_id'"):
        d.read_answers(item, CONTEXT)


ROUNDED = ["24994546735000201.0", "5.", "2.4994546735E+16", "2.5e16", "25e+15", "-5", " 5.0 "]


@pytest.mark.parametrize("text", ROUNDED)
def test_the_text_of_a_rounded_number_is_no_id(text):
    for read in (
        lambda: d.record(r.ContactGroup)({"id": text}, CONTEXT),
        lambda: d.read_flow_answers({"id": "7", "flow_name": "F", "data": {text: []}}, CONTEXT),
    ):
        with pytest.raises(CyTechBotResponseError, match="a sign, a fraction or an exponent"):
            read()


@pytest.mark.parametrize("text", ["25e15", "1e3f", "a.5", "5.a", "v1.0", "007", "\uff11\uff12"])
def test_text_ids_of_other_channels_are_read(text):
    assert d.record(r.ContactGroup)({"id": text}, CONTEXT)["id"] == text
