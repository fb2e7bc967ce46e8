from __future__ import annotations

from airflow_provider_cytechbot.bulk.resource import InvalidRowError, PlannedWrite


def test_an_invalid_row_has_a_reason():
    assert InvalidRowError("no key").reason == "no key"


def test_a_planned_write_is_a_line_of_the_ledger():
    assert tuple(PlannedWrite("1", "5,10", "label_ids")) == ("1", "5,10", "label_ids")
