from __future__ import annotations

from airflow_provider_cytechbot.bulk.options import FAIL_AT_END, ON_ERROR, BulkOptions


def test_without_parameters_all_rows_are_sent_and_nothing_is_stored():
    options = BulkOptions()
    assert options.on_error == FAIL_AT_END in ON_ERROR
    assert options.shard.shards == 1
    assert (options.state_path, options.report_path, options.owner.is_task) == (None, None, False)
