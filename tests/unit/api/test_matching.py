from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotResponseError
from airflow_provider_cytechbot.api.matching import check_match, is_same


@pytest.mark.parametrize(
    ("answered", "requested", "same"),
    [
        ("1", "1", True),
        ("1", "001", True),
        (" A@b.c", "a@B.c", True),
        ("", "1", True),
        ("jos\u00e9@x.org", "JOSE@x.org", True),
        ("e\u0301", "\u00c9", True),
        ("007", "7", True),
        ("a07", "a7", False),
        ("1", "2", False),
        ("1", "10", False),
        ("24994546734902200", "24994546734902201", False),
    ],
)
def test_ids_are_compared_as_the_server_does(answered, requested, same):
    assert is_same(answered, requested) is same


def test_only_what_both_name_is_compared():
    check_match({"id": "1", "email": None}, {"email": "a"}, {"id": "user_id", "email": "email"})
    with pytest.raises(CyTechBotResponseError, match="'id' is not the requested 'user_id'"):
        check_match({"id": "1"}, {"user_id": "2"}, {"id": "user_id"})
