"""The sandbox's data while it runs, in memory."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.sandbox.large_campaign import LargeCampaign
from airflow_provider_cytechbot.sandbox.records import PAGE_FIELDS, SUBSCRIBER_FIELDS, Campaign, Record
from airflow_provider_cytechbot.sandbox.seed import DataError, parse_seed, read_text, require_known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _server_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


class State:
    """
    All data of the sandbox. Hold `lock` while reading several things that belong together.

    :param document: a seed, as `seed` describes it
    :param large_campaign: a generated campaign to serve beside the seed's
    :param now: returns the server's time as the API writes it
    :raises DataError: for a seed that does not hold together
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        *,
        large_campaign: LargeCampaign | None = None,
        now: Callable[[], str] = _server_time,
    ) -> None:
        self.lock = threading.RLock()
        self.now = now
        self.large_campaign = large_campaign
        seed = parse_seed(document)
        self.packages = seed.packages
        self.users = seed.users
        self.pages = seed.pages
        self.enabled_pages = seed.enabled_pages
        self.labels = seed.labels
        self.subscribers = seed.subscribers
        self.assigned_labels = seed.assigned_labels
        self.contact_groups = seed.contact_groups
        self.contacts = seed.contacts
        self.campaigns: dict[str, Campaign | LargeCampaign] = dict(seed.campaigns)
        self._next_ids = seed.next_ids
        if large_campaign is not None:
            if large_campaign.id in self.campaigns:
                raise DataError(f"flow_campaigns: the id {large_campaign.id!r} is the generated campaign's")
            self.campaigns[large_campaign.id] = large_campaign

    def subscriber(self, subscriber_id: str) -> Record | None:
        """Return a subscriber's record with the labels as the API shows them: the labels' row numbers."""
        record = self.subscribers.get(subscriber_id)
        if record is None:
            if self.large_campaign is None or self.large_campaign.answers_of(subscriber_id) is None:
                return None
            record = self._generated_subscriber(subscriber_id)
        rows = {label_id: str(row) for row, label_id in enumerate(self.labels, start=1)}
        labels = ",".join(rows[label_id] for label_id in self.assigned_labels.get(subscriber_id, []))
        return {**record, "labels": labels}

    def _generated_subscriber(self, subscriber_id: str) -> Record:
        page = next(iter(self.pages.values()), PAGE_FIELDS)
        name = f"Subscriber {subscriber_id[-6:]}"
        return {
            **SUBSCRIBER_FIELDS,
            **page,
            "subscriber_id": subscriber_id,
            "first_name": name,
            "full_name": name,
        }

    def assign_label(self, subscriber_id: str, label_id: str) -> bool:
        """Give a subscriber a label; False where it had it already."""
        labels = self.assigned_labels.setdefault(subscriber_id, [])
        if label_id in labels:
            return False
        labels.append(label_id)
        return True

    def answer(self, flow_campaign_id: str, subscriber_id: str, question_id: str, text: str | None) -> None:
        """
        Store a subscriber's answer to a question. Ids may be numbers, as in the hook.

        :param text: the answer; None for an answer that the API writes as null
        :raises DataError: for an unknown campaign or question, for the generated campaign, and for an answer
            that is neither text nor None; the message is one line and names the parameter
        """
        flow_campaign_id = read_text(flow_campaign_id, "flow_campaign_id")
        subscriber_id = read_text(subscriber_id, "subscriber_id")
        question_id = read_text(question_id, "question_id")
        with self.lock:
            require_known(flow_campaign_id, self.campaigns, "flow campaign", "flow_campaign_id")
            campaign = self.campaigns[flow_campaign_id]
            if isinstance(campaign, LargeCampaign):
                raise DataError(
                    f"flow_campaign_id: {flow_campaign_id!r} is generated, its answers cannot be changed"
                )
            question = f"question in campaign {flow_campaign_id}"
            require_known(question_id, campaign.questions, question, "question_id")
            answer = None if text is None else read_text(text, "answer", or_null=True)
            campaign.answers.setdefault(subscriber_id, {})[question_id] = answer

    def next_id(self, kind: str) -> str:
        """
        Hand out the id of a new record.

        :param kind: `user`, `label`, `contact_group` or `contact`
        """
        taken: Mapping[str, Record] = getattr(self, f"{kind}s")
        candidate = self._next_ids.get(kind)
        if candidate is None:
            candidate = str(max((int(known) for known in taken if known.isdecimal()), default=0) + 1)
        while candidate in taken:
            candidate = str(int(candidate) + 1).zfill(len(candidate))
        self._next_ids[kind] = str(int(candidate) + 1).zfill(len(candidate))
        return candidate
