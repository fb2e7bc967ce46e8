from __future__ import annotations

import pytest

from airflow_provider_cytechbot.bulk.masking import mask_addresses


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ann@example.com is taken", "*** is taken"),
        ('"ann.b+c@mail.example.co.uk".', '"***".'),
        ("<ann@example.com>", "<***>"),
        ("email=ann@example.com;", "email=***;"),
        ("call +49 151 234-567 now", "call *** now"),
        ("+4915123456", "***"),
        ("no user 24994546734902201 (#100)", "no user 24994546734902201 (#100)"),
        ("", ""),
    ],
)
def test_addresses_are_masked_and_ids_are_not(text, masked):
    assert mask_addresses(text) == masked
