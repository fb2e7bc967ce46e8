from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.exports.options import ExportOptions


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"path": "a"}, "path"),
        ({"path": "{day}/a.csv"}, "path"),
        ({"layout": "tall"}, "layout"),
        *[
            ({"export_mode": "changes", "state_path": f"file:///state/{placeholder}"}, "state_path")
            for placeholder in ("{interval}", "{ds}", "{}", "{{ ds }}", "{flow_campaign_id}/{day}")
        ],
        ({"export_mode": "delta"}, "export_mode"),
        ({"export_mode": "changes"}, "state_path"),
        ({"state_path": "file:///state"}, "state_path"),
        ({"export_mode": "changes", "state_path": "file:///state", "layout": "wide"}, "layout"),
        ({"subscriber_fields": None}, "subscriber_fields"),
        ({"subscriber_fields": ["e-mail"]}, "subscriber_fields"),
        ({"subscriber_fields": "email"}, "subscriber_fields"),
        ({"subscriber_fields": ["email", "email"]}, "subscriber_fields"),
        ({"path": "a.parquet", "escape_formulas": True}, "escape_formulas"),
        ({"path": "a.jsonl", "byte_order_mark": True}, "byte_order_mark"),
        ({"path": "a.jsonl", "csv_text_ids": True}, "csv_text_ids"),
        ({"path": "a.parquet", "csv_separator": ";"}, "csv_separator"),
        *[
            ({"csv_separator": each}, "csv_separator")
            for each in ("", None, "|", ",,", "\\t", '"', "'", "\n")
        ],
        ({"path": "a.json", "layout": "wide"}, "layout"),
        ({"path": "a.json", "export_mode": "changes", "state_path": "file:///state"}, "export_mode"),
        ({"path": "a.json", "max_rows_per_file": 5}, "max_rows_per_file"),
        ({"path": "a.json", "subscriber_fields": ["email"]}, "subscriber_fields"),
    ],
)
def test_an_invalid_option_is_named(given, field):
    with pytest.raises(CyTechBotFieldError, match=rf"^Field '{field}' "):
        ExportOptions(**{"path": "a.csv", **given}).file_type()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"path": "{flow_campaign_id}/a.csv"},
        {"layout": "wide", "subscriber_fields": ["email"], "escape_formulas": True, "byte_order_mark": True},
        {"export_mode": "changes", "state_path": "file:///state", "max_rows_per_file": 5},
        {"path": "a.json.gz", "subscriber_fields": []},
        {"csv_separator": ";", "csv_text_ids": True, "escape_formulas": True},
        {"csv_separator": "\t"},
        {"export_mode": "changes", "state_path": "file:///{flow_campaign_id}/state"},
    ],
)
def test_valid_options(given):
    ExportOptions(**{"path": "a.csv", **given}).file_type()


def test_several_campaigns_need_a_path_each():
    with pytest.raises(CyTechBotFieldError, match=r"'path'.*\{flow_campaign_id\}"):
        ExportOptions(path="a.csv").check_several()
    ExportOptions(path="{flow_campaign_id}.csv").check_several()


def test_paths_of_a_campaign():
    options = ExportOptions(
        path="c={flow_campaign_id}/{flow_campaign_id}.csv", state_path="{flow_campaign_id}/state"
    )
    assert (options.path_of("7"), options.state_path_of("7")) == ("c=7/7.csv", "7/state")
