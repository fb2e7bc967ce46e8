from __future__ import annotations

import pytest

from airflow_provider_cytechbot.sandbox import records
from airflow_provider_cytechbot.sandbox.records import Campaign, listed


@pytest.mark.parametrize("name", [name for name in dir(records) if name.endswith("_FIELDS")])
def test_default_of_each_field_is_text(name):
    assert all(isinstance(value, str) for value in getattr(records, name).values())


def test_answers_of_a_subscriber():
    campaign = Campaign("1", "Feedback", {"45": "Why?"}, {"31": {"45": None}})
    assert campaign.answers_of("31") == {"45": None}
    assert campaign.answers_of("32") is None


@pytest.mark.parametrize(
    ("names", "text"),
    [([], "none"), (["b", "a"], "b, a"), (map(str, range(4)), "0, 1, 2, and 1 more"), ("abc", "a, b, c")],
)
def test_listed(names, text):
    assert listed(names, limit=3) == text
