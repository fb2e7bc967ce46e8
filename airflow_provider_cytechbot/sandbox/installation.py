"""A CyTechBot installation in memory: its data, the quirks and faults it has, the journal of its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.sandbox.endpoints.base import ADMIN_USER_ID, MEMBER_USER_ID
from airflow_provider_cytechbot.sandbox.endpoints.registry import ENDPOINTS
from airflow_provider_cytechbot.sandbox.faults import ALL_ENDPOINTS, Fault, FaultError, FaultPlan
from airflow_provider_cytechbot.sandbox.journal import Journal
from airflow_provider_cytechbot.sandbox.large_campaign import LargeCampaign
from airflow_provider_cytechbot.sandbox.quirks import Quirk, parse_quirks
from airflow_provider_cytechbot.sandbox.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Installation:
    """
    A CyTechBot installation in memory.

    :param seed: the data to start from, as `seed` describes it
    :param api_key: the admin's API key
    :param member_api_key: a member's API key, refused by the admin endpoints
    :param subscribers: the number of subscribers of a generated campaign; 0 for no such campaign
    :param quirks: behaviours beside the vendor's page, as `parse_quirks` reads them
    :param faults: the faults at the start
    """

    def __init__(
        self,
        seed: Mapping[str, Any],
        *,
        api_key: str,
        member_api_key: str,
        subscribers: int = 0,
        quirks: str | Iterable[str] = "none",
        faults: Iterable[Fault] = (),
    ) -> None:
        self._seed = seed
        self._large_campaign = LargeCampaign(subscribers) if subscribers else None
        self._first_quirks = parse_quirks(quirks)
        self._first_faults = tuple(faults)
        self.user_ids_by_key = {member_api_key: MEMBER_USER_ID, api_key: ADMIN_USER_ID}
        self.faults = FaultPlan()
        self.journal = Journal([api_key, member_api_key])
        self.reset()

    def reset(self) -> None:
        """Return to the start: its data, quirks and faults, and an empty journal."""
        self.state = State(self._seed, large_campaign=self._large_campaign)
        self.quirks: frozenset[Quirk] = self._first_quirks
        self.journal.clear()
        self.faults.clear()
        self.add_faults(self._first_faults)

    def add_faults(self, faults: Iterable[Fault]) -> None:
        """
        Add faults for the requests to come: all of them, or none when one is wrong.

        :raises FaultError: when there is no such endpoint
        """
        faults = list(faults)
        known = [ALL_ENDPOINTS, *ENDPOINTS]
        for fault in faults:
            if fault.endpoint not in known:
                raise FaultError(f"endpoint: there is no {fault.endpoint!r}; known are {', '.join(known)}")
        for fault in faults:
            self.faults.add(fault)
