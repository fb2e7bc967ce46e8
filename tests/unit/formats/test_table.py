from __future__ import annotations

from airflow_provider_cytechbot.formats.table import Same, Table

TABLE = Table(3, {"id": ["1", "2", "3"], "flow": Same("a")})


def test_values_are_one_for_each_row():
    assert [list(TABLE.values(name)) for name in ("id", "flow")] == [["1", "2", "3"], ["a", "a", "a"]]


def test_part_has_the_rows_between_two_indexes():
    part = TABLE.part(1, 9)
    assert (part.rows, list(part.values("id")), list(part.values("flow"))) == (2, ["2", "3"], ["a", "a"])


def test_part_that_is_everything_is_not_copied():
    assert TABLE.part(0, 3) is TABLE
