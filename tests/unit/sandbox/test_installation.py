from __future__ import annotations

import pytest

from airflow_provider_cytechbot.sandbox.faults import Fault, FaultError, FaultKind
from airflow_provider_cytechbot.sandbox.installation import Installation
from airflow_provider_cytechbot.sandbox.quirks import Quirk

GZIP = Fault(FaultKind.GZIP, "get_contact")


@pytest.fixture
def installation():
    return Installation(
        {"contact_groups": [{"id": "1", "type": "x"}]},
        api_key="admin",
        member_api_key="member",
        quirks="json_as_html",
        faults=[GZIP],
        subscribers=2,
    )


def test_reset_returns_to_the_start(installation):
    installation.state.contact_groups.clear()
    installation.quirks = frozenset()
    installation.faults.clear()
    installation.reset()
    assert list(installation.state.contact_groups) == ["1"]
    assert list(installation.state.campaigns) == ["100"]
    assert installation.quirks == {Quirk.JSON_AS_HTML}
    assert installation.faults.pending() == [GZIP]


def test_one_wrong_fault_adds_none(installation):
    with pytest.raises(FaultError, match=r"endpoint: there is no 'x'; known are all, .*get_contact"):
        installation.add_faults([GZIP, Fault(FaultKind.GZIP, "x")])
    assert installation.faults.pending() == [GZIP]


def test_admin_s_key_wins_where_both_are_the_same():
    same = Installation({}, api_key="same", member_api_key="same")
    assert same.user_ids_by_key == {"same": "1"}
