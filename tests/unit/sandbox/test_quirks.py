from __future__ import annotations

import pytest

from airflow_provider_cytechbot.sandbox.quirks import Quirk, parse_quirks


@pytest.mark.parametrize(
    ("names", "quirks"),
    [
        ("all", set(Quirk)),
        ("none", set()),
        ("", set()),
        ("info_when_unchanged, json_as_html", {Quirk.INFO_WHEN_UNCHANGED, Quirk.JSON_AS_HTML}),
        ([Quirk.OWN_EMAIL_TAKEN, "json_as_html"], {Quirk.OWN_EMAIL_TAKEN, Quirk.JSON_AS_HTML}),
    ],
)
def test_choice(names, quirks):
    assert parse_quirks(names) == quirks


def test_unknown_name_is_named():
    with pytest.raises(ValueError, match=r"no 'nonsense'; known are all, none, .*json_as_html"):
        parse_quirks("json_as_html,nonsense")


@pytest.mark.parametrize("wrong", [3, None, True])
def test_wrong_type_is_named(wrong):
    with pytest.raises(ValueError, match=rf'quirks: must be "all", "none" or a list of names, not {wrong}'):
        parse_quirks(wrong)
