from __future__ import annotations

from airflow_provider_cytechbot.bulk.resource import NO_ENTRY, BulkResource, InvalidRowError, PlannedWrite

from .things import Things


def test_an_invalid_row_has_a_reason():
    assert InvalidRowError("no key").reason == "no key"


def test_a_planned_write_is_a_line_of_the_ledger():
    assert tuple(PlannedWrite("1", "5,10", "label_ids")) == ("1", "5,10", "label_ids", ())


def test_a_resource_needs_only_the_protocols_methods():
    resource: BulkResource = Things()
    methods = {name for name in vars(BulkResource) if not name.startswith("_")}
    assert methods <= set(dir(resource))


def test_a_key_that_the_state_does_not_have_is_empty():
    assert NO_ENTRY == (None, None, False)
