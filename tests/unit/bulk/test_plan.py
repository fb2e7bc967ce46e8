from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.bulk.ledger import Ledger
from airflow_provider_cytechbot.bulk.plan import (
    ColumnMap,
    RowFilter,
    compare,
    digest_of,
    make_plan,
    plain_value,
)
from airflow_provider_cytechbot.bulk.resource import Change, InvalidRowError, PlannedWrite, StateEntry
from airflow_provider_cytechbot.bulk.shards import Shard
from airflow_provider_cytechbot.bulk.state import Identity, RunState

from .things import Things


@pytest.fixture
def ledger():
    ledger = Ledger()
    yield ledger
    ledger.close()


def plan(ledger, rows, columns=None, where=None, **options):
    things = Things()
    return make_plan(
        rows, ledger, things, row_filter=RowFilter(where), column_map=ColumnMap(columns, things), **options
    )


def test_rows_keep_their_numbers_in_the_source(ledger):
    rows = (
        {"key": key, "color": "red", "size": size} for key, size in [("a", 1), ("b", 2), ("", 2), ("c", 2)]
    )
    assert plan(ledger, rows, where={"size": 2}) == 4
    assert [(line.row, line.key, line.outcome) for line in ledger.report_lines()] == [
        (2, "b", None),
        (3, None, "invalid"),
        (4, "c", None),
    ]


def test_plain_values_are_keys(ledger):
    assert plan(ledger, iter(["a", " b ", 5])) == 3
    assert [call.key for call in ledger.calls(0)] == ["a", "b", "5"]


def test_other_columns(ledger):
    plan(ledger, [{"id": "a", "paint": "red", "color": "blue"}], columns={"key": "id", "color": "paint"})
    assert [(call.key, call.payload) for call in ledger.calls(0)] == [("a", "red")]


def test_a_source_without_matching_rows_is_accepted(ledger):
    assert plan(ledger, [{"key": "a", "size": 1}], where={"size": 2}) == 1
    assert ledger.rows() == 0


@pytest.mark.parametrize(
    ("columns", "where", "message"),
    [
        (None, {"shape": "round"}, "where.*'shape'"),
        ({"color": "paint"}, None, "columns.*'paint'"),
        ({"key": "id"}, None, "columns.*'id'"),
        ({"size": "size"}, None, "columns.*'size'"),
        ({"key": "id"}, {"key": "b"}, "columns.*'id'"),
    ],
)
def test_a_column_that_no_row_has_is_an_error(ledger, columns, where, message):
    with pytest.raises(CyTechBotFieldError, match=message):
        plan(ledger, [{"key": "a", "color": "red"}], columns, where)


def test_a_column_that_some_row_has_is_none(ledger):
    plan(ledger, [{"key": "a"}, {"key": "b", "shape": "round"}], where={"shape": "round"})
    assert [call.key for call in ledger.calls(0)] == ["b"]


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("46", 46),
        (46, "46"),
        ("46", " 46 "),
        (["a", "46"], "46"),
        (frozenset(["46"]), "46"),
        ({"46": "Pet"}.keys(), "46"),
        ("46", 46.0),
        (46.0, "46"),
        (Decimal("46.00"), "46"),
        ("46.5", 46.5),
        (True, "true"),
        (True, "True"),
        ("FALSE", False),
        (None, None),
        (None, ""),
        ("", None),
    ],
)
def test_where_compares_text(wanted, value):
    assert RowFilter({"question": wanted})({"question": value})


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("46", "47"),
        (46, 46.5),
        (True, "1"),
        ("nan", float("inf")),
        (["a"], None),
        ([], "a"),
        (None, "None"),
        ("Dog", "dog"),
    ],
)
def test_where_leaves_out_other_values(wanted, value):
    assert not RowFilter({"question": wanted})({"question": value})


def test_a_missing_column_counts_as_none():
    assert RowFilter({"question": None})({})


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Decimal(24994546734902201), 24994546734902201),
        (Decimal("5.00"), 5),
        (Decimal("5.5"), Decimal("5.5")),
        (Decimal("NaN"), None),
        (" a\n", "a"),
        (5.0, 5.0),
    ],
)
def test_values_of_databases_and_files(value, plain):
    found = plain_value(value)
    assert type(found) is type(plain if plain is not None else value)
    assert plain is None or found == plain


def test_an_earlier_report_limits_the_rows(ledger):
    wanted = {"b", None}
    rows = [{"key": "a"}, {"key": "b"}, {"key": ""}]
    assert plan(ledger, rows, is_wanted=lambda key: key in wanted) == 3
    assert [line.row for line in ledger.report_lines()] == [2, 3]


@pytest.mark.parametrize("key", ["x" * 201, "x" * 5_000])
def test_an_earlier_report_finds_keys_that_it_shows_shortened(ledger, key, monkeypatch):
    def refuse(self, values):
        raise InvalidRowError("too long")

    monkeypatch.setattr(Things, "plan", refuse)
    plan(ledger, [{"key": key}])
    (line,) = ledger.report_lines()
    assert line.key != key
    ledger.remember_keys([(line.key, True)])
    plan(ledger, [{}, {"key": key}], is_wanted=ledger.is_wanted)
    assert [line.row for line in ledger.report_lines()] == [1, 2]


def test_the_digest_covers_keys_and_values_in_any_order():
    def digest(*rows):
        ledger = Ledger()
        plan(ledger, [{"key": key, "color": color} for key, color in rows])
        compare(ledger, Things(), RunState(ledger.database, Identity("r", 1)), finds_gone=False)
        try:
            return digest_of(ledger, Things())
        finally:
            ledger.close()

    assert digest(("a", "red"), ("b", "blue")) == digest(("b", "blue"), ("", "red"), ("a", "red"))
    assert digest(("a", "red")) != digest(("a", "blue"))
    assert digest(("a", "red")) != digest(("b", "red"))
    assert len(digest()) == 64


def test_each_row_is_in_one_shard_and_each_shard_reads_all():
    rows = [{"key": str(each)} for each in range(100)] + [{"key": ""}]
    found = []
    for number in range(3):
        ledger = Ledger()
        assert plan(ledger, rows, shard=Shard(number, 3)) == 101
        found += [line.row for line in ledger.report_lines()]
        ledger.close()
    assert sorted(found) == list(range(1, 102))


@pytest.fixture
def state(ledger):
    state = RunState(ledger.database, Identity("r", 1))
    state.load([[("a", b"red", None, None), ("b", b"blue", None, None), ("z", b"red", b"s", "r")]], {}, "")
    return state


def test_keys_are_compared_with_the_state(ledger, state):
    things = Things()
    plan(ledger, [{"key": "a"}, {"key": "b"}, {"key": "c"}, {"key": "a"}])
    compare(ledger, things, state, finds_gone=False)
    assert things.entries == {"a": StateEntry(b"red"), "b": StateEntry(b"blue"), "c": StateEntry()}
    assert [(call.key, call.operation) for call in ledger.calls(0)] == [("b", "paint"), ("c", "paint")]
    assert ledger.counts() == {"unchanged": 2}


def test_keys_of_the_state_without_a_row_are_gone(ledger, state):
    plan(ledger, [{"key": "a"}, {"key": "b"}])
    compare(ledger, Things(), state, finds_gone=True)
    assert [(call.key, call.operation) for call in ledger.calls(1)] == [("z", "delete")]
    ledger.close_open_rows("stopped")
    assert [(line.row, line.key, line.operation) for line in ledger.report_lines()][-1] == (
        None,
        "z",
        "delete",
    )


@pytest.mark.parametrize("rows", [[{"key": ""}, {"key": "a"}], [{"key": "z"}, {"key": "b"}, {"key": "a"}]])
def test_no_key_is_gone_if_a_row_may_have_it(ledger, state, rows):
    plan(ledger, rows)
    compare(ledger, Things(), state, finds_gone=True)
    assert not list(ledger.calls(1))


class Pairs(Things):
    """Things whose colors must be unique. A key with ``?`` cannot be read, a row with ``!`` is invalid."""

    def plan(self, values):
        key, color = values["key"], values.get("color", "")
        if "?" in key:
            raise InvalidRowError("no key")
        if "!" in key:
            raise InvalidRowError("bad color", key)
        return PlannedWrite(key, color, "color", [("color", color)] if color else ())


@pytest.mark.parametrize(
    ("keys", "gone"),
    [("ab", True), (["a", "b", "?"], False), (["a", "b", "1.0?"], False), (["a", "b", "c!"], True)],
)
@pytest.mark.parametrize("number", range(3))
def test_a_key_that_cannot_be_read_leaves_no_key_gone_in_any_shard(ledger, state, keys, gone, number):
    things = Pairs()
    shard = Shard(number, 3)
    rows = [{"key": key} for key in keys]
    make_plan(
        rows, ledger, things, row_filter=RowFilter(None), column_map=ColumnMap(None, things), shard=shard
    )
    compare(ledger, things, state, finds_gone=True)
    found = [call.key for call in ledger.calls(1)]
    assert ("z" in found) == gone
    assert ledger.rows_without_key == sum("?" in key for key in keys)


def test_values_that_must_be_unique_are_compared_with_those_of_other_shards():
    rows = [{"key": str(each), "color": "red" if each < 9 else str(each)} for each in range(30)]
    invalid = []
    for number in range(4):
        ledger, things = Ledger(), Pairs()
        make_plan(
            rows,
            ledger,
            things,
            row_filter=RowFilter(None),
            column_map=ColumnMap(None, things),
            shard=Shard(number, 4),
        )
        invalid += [line.key for line in ledger.report_lines() if line.outcome == "invalid"]
        ledger.close()
    assert sorted(invalid) == [str(each) for each in range(9)]


def test_the_digest_covers_the_fields():
    found = set()
    for fields in ("color", "color,size"):
        ledger = Ledger()
        ledger.add_valid([(1, PlannedWrite("a", "red", fields))])
        ledger.compare_all(lambda write, entry: Change("paint", write.payload, write.fields))
        found.add(digest_of(ledger, Things()))
        ledger.close()
    assert len(found) == 2
