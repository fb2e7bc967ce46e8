"""
The sandbox's data: how a seed file is read, and the state it becomes.

A seed is a JSON object. Every part may be left out. Ids are strings of digits, or whole numbers. Records
take the fields of the tables below and need only those shown here::

    {
      "packages":       [{"id": "1", "package_name": "Trial"}],
      "users":          [{"id": "1", "email": "anna@example.com"}],
      "pages":          [{"page_id": "11", "page_name": "Bike shop", "bot_enabled": true}],
      "labels":         [{"label_id": "21", "label_name": "VIP", "page_id": "11"}],
      "subscribers":    [{"subscriber_id": "31", "page_id": "11", "label_ids": ["21"]}],
      "contact_groups": [{"id": "1", "type": "Newsletter"}],
      "contacts":       [{"id": "1", "contact_type_id": "1", "email": "anna@example.com"}],
      "flow_campaigns": [{"id": "1", "flow_name": "Feedback",
                          "questions": [{"question_id": "45", "question": "Why?"}],
                          "answers": {"31": {"45": "Because"}}}],
      "next_ids":       {"user": 29, "label": "012345678790", "contact_group": 276, "contact": 45}
    }
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from airflow_provider_cytechbot.sandbox.large_campaign import LargeCampaign

Record = dict[str, str]

ZERO_DATE = "0000-00-00"
ZERO_TIME = "0000-00-00 00:00:00"

# The order of the keys is the order in which the API writes them.
PACKAGE_FIELDS = {
    "id": "",
    "package_name": "",
    "module_ids": "",
    "price": "0",
    "validity": "0",
    "deleted": "0",
    "visible": "1",
    "highlight": "0",
}
USER_FIELDS = {
    "id": "",
    "name": "",
    "email": "",
    "mobile": "",
    "address": "",
    "user_type": "Member",
    "status": "1",
    "add_date": ZERO_TIME,
    "last_login_at": ZERO_TIME,
    "expired_date": ZERO_TIME,
    "package_id": "",
    "last_login_ip": "",
}
PAGE_FIELDS = {"page_id": "", "page_name": ""}
LABEL_FIELDS = {"label_id": "", "label_name": "", "page_id": ""}
SUBSCRIBER_FIELDS = {
    "subscriber_id": "",
    "labels": "",
    "first_name": "",
    "last_name": "",
    "full_name": "",
    "gender": "",
    "locale": "",
    "timezone": "",
    "page_name": "",
    "page_id": "",
    "unavailable": "0",
    "last_error_message": "",
    "refferer_source": "",
    "subscribed_at": ZERO_TIME,
    "email": "",
    "phone_number": "",
    "birthdate": ZERO_DATE,
    "last_subscriber_interaction_time": ZERO_TIME,
}
CONTACT_GROUP_FIELDS = {"id": "", "user_id": "1", "type": "", "created_at": ZERO_TIME, "deleted": "0"}
CONTACT_FIELDS = {
    "id": "",
    "user_id": "1",
    "contact_type_id": "",
    "first_name": "",
    "last_name": "",
    "phone_number": "",
    "email": "",
    "notes": "",
    "unsubscribed": "0",
    "deleted": "0",
}

NEXT_ID_KINDS = ("user", "label", "contact_group", "contact")


class DataError(ValueError):
    """A seed that cannot be used; the message is one line and names the field."""


@dataclass
class Campaign:
    """A flow campaign, its questions by id, and its answers by subscriber and question."""

    id: str
    flow_name: str
    questions: dict[str, str] = field(default_factory=dict)
    answers: dict[str, dict[str, str]] = field(default_factory=dict)

    def answers_of(self, subscriber_id: str) -> dict[str, str] | None:
        """Return a subscriber's answers by question id, None where there are none."""
        return self.answers.get(subscriber_id)


def _server_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


class State:
    """
    Everything the sandbox knows, in memory. Hold `lock` while reading several things that belong together.

    :param document: a seed as the module describes it
    :param large_campaign: a generated campaign to serve beside the seed's
    :param now: gives the server's time as the API writes it
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
        reader = _SeedReader(document)
        self.packages = reader.records("packages", PACKAGE_FIELDS, key="id")
        self.users = reader.records("users", USER_FIELDS, key="id", required=("email",))
        self.pages = reader.records("pages", PAGE_FIELDS, key="page_id", flags=("bot_enabled",))
        self.enabled_pages = {
            page_id for page_id in self.pages if reader.flags["pages"][page_id].get("bot_enabled", True)
        }
        self.labels = reader.records(
            "labels", LABEL_FIELDS, key="label_id", required=("label_name", "page_id")
        )
        self.subscribers = reader.records(
            "subscribers", SUBSCRIBER_FIELDS, key="subscriber_id", required=("page_id",), lists=("label_ids",)
        )
        self.assigned_labels: dict[str, list[str]] = reader.lists["subscribers"]
        self.contact_groups = reader.records(
            "contact_groups", CONTACT_GROUP_FIELDS, key="id", required=("type",)
        )
        self.contacts = reader.records("contacts", CONTACT_FIELDS, key="id", required=("contact_type_id",))
        self.campaigns: dict[str, Campaign | LargeCampaign] = dict(reader.campaigns())
        self._next_ids = reader.next_ids()
        reader.refuse_unknown_parts()

        reader.check_references("labels", self.labels, "page_id", self.pages)
        reader.check_references("subscribers", self.subscribers, "page_id", self.pages)
        reader.check_references("contacts", self.contacts, "contact_type_id", self.contact_groups)
        for index, label_ids in enumerate(self.assigned_labels.values()):
            for label_id in label_ids:
                if label_id not in self.labels:
                    raise DataError(f"subscribers[{index}].label_ids: there is no label {label_id!r}")
        for subscriber in self.subscribers.values():
            subscriber["page_name"] = (
                subscriber["page_name"] or self.pages[subscriber["page_id"]]["page_name"]
            )
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

    def answer(self, flow_campaign_id: str, subscriber_id: str, question_id: str, text: str) -> None:
        """
        Write down what a subscriber answered, as if the bot had just heard it.

        :raises KeyError: when the campaign or the question does not exist
        :raises ValueError: when the campaign is the generated one
        """
        with self.lock:
            campaign = self.campaigns[flow_campaign_id]
            if isinstance(campaign, LargeCampaign):
                raise ValueError(f"campaign {flow_campaign_id} is generated: its answers cannot be changed")
            if question_id not in campaign.questions:
                raise KeyError(question_id)
            campaign.answers.setdefault(subscriber_id, {})[question_id] = text

    def next_id(self, kind: str) -> str:
        """
        Hand out the id of a new record.

        :param kind: `user`, `label`, `contact_group` or `contact`
        """
        taken: Mapping[str, Record] = {
            "user": self.users,
            "label": self.labels,
            "contact_group": self.contact_groups,
            "contact": self.contacts,
        }[kind]
        candidate = self._next_ids.get(kind)
        if candidate is None:
            candidate = str(max((int(known) for known in taken if known.isdecimal()), default=0) + 1)
        while candidate in taken:
            candidate = str(int(candidate) + 1).zfill(len(candidate))
        self._next_ids[kind] = str(int(candidate) + 1).zfill(len(candidate))
        return candidate


class _SeedReader:
    """Reads a seed's parts one by one and says in one line what is wrong where."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        if not isinstance(document, Mapping):
            raise DataError("the seed must be a JSON object")
        self._document = copy.deepcopy(dict(document))
        self._read: set[str] = set()
        self.flags: dict[str, dict[str, dict[str, bool]]] = {}
        self.lists: dict[str, dict[str, list[str]]] = {}

    def _part(self, name: str, kind: type[Any], empty: Any) -> Any:
        self._read.add(name)
        part = self._document.get(name, empty)
        if not isinstance(part, kind):
            raise DataError(f"{name}: must be {'a list' if kind is list else 'an object'}")
        return part

    def refuse_unknown_parts(self) -> None:
        for name in self._document:
            if name not in self._read:
                raise DataError(f"{name}: there is no such part; known are {', '.join(sorted(self._read))}")

    def records(
        self,
        part: str,
        fields: Mapping[str, str],
        *,
        key: str,
        required: tuple[str, ...] = (),
        flags: tuple[str, ...] = (),
        lists: tuple[str, ...] = (),
    ) -> dict[str, Record]:
        records: dict[str, Record] = {}
        self.flags[part] = {}
        self.lists[part] = {}
        for index, given in enumerate(self._part(part, list, [])):
            place = f"{part}[{index}]"
            if not isinstance(given, dict):
                raise DataError(f"{place}: must be an object")
            record = dict(fields)
            own_flags: dict[str, bool] = {}
            own_list: list[str] = []
            for name, value in given.items():
                if name in flags:
                    if not isinstance(value, bool):
                        raise DataError(f"{place}.{name}: must be true or false")
                    own_flags[name] = value
                elif name in lists:
                    if not isinstance(value, list):
                        raise DataError(f"{place}.{name}: must be a list")
                    own_list = [_text(item, f"{place}.{name}[{i}]") for i, item in enumerate(value)]
                elif name in fields:
                    record[name] = _text(value, f"{place}.{name}")
                else:
                    raise DataError(f"{place}.{name}: there is no such field; known are {', '.join(fields)}")
            for name in (key, *required):
                if not record[name]:
                    raise DataError(f"{place}.{name}: is required")
            if record[key] in records:
                raise DataError(f"{place}.{key}: {record[key]!r} is there twice")
            records[record[key]] = record
            self.flags[part][record[key]] = own_flags
            self.lists[part][record[key]] = own_list
        return records

    @staticmethod
    def check_references(
        part: str, records: Mapping[str, Record], name: str, targets: Mapping[str, Record]
    ) -> None:
        for index, record in enumerate(records.values()):
            if record[name] not in targets:
                raise DataError(f"{part}[{index}].{name}: there is no {record[name]!r}")

    def campaigns(self) -> dict[str, Campaign]:
        campaigns: dict[str, Campaign] = {}
        for index, given in enumerate(self._part("flow_campaigns", list, [])):
            place = f"flow_campaigns[{index}]"
            if not isinstance(given, dict):
                raise DataError(f"{place}: must be an object")
            for name in given:
                if name not in ("id", "flow_name", "questions", "answers"):
                    raise DataError(
                        f"{place}.{name}: there is no such field; known are id, flow_name, questions, answers"
                    )
            for name in ("id", "flow_name"):
                if name not in given:
                    raise DataError(f"{place}.{name}: is required")
            campaign = Campaign(
                _text(given["id"], f"{place}.id"), _text(given["flow_name"], f"{place}.flow_name")
            )
            if campaign.id in campaigns:
                raise DataError(f"{place}.id: {campaign.id!r} is there twice")
            self._questions(campaign, given.get("questions", []), f"{place}.questions")
            self._answers(campaign, given.get("answers", {}), f"{place}.answers")
            campaigns[campaign.id] = campaign
        return campaigns

    @staticmethod
    def _questions(campaign: Campaign, given: Any, place: str) -> None:
        if not isinstance(given, list):
            raise DataError(f"{place}: must be a list")
        for index, question in enumerate(given):
            if not isinstance(question, dict) or set(question) != {"question_id", "question"}:
                raise DataError(f"{place}[{index}]: must be an object of question_id and question")
            question_id = _text(question["question_id"], f"{place}[{index}].question_id")
            campaign.questions[question_id] = _text(question["question"], f"{place}[{index}].question")

    @staticmethod
    def _answers(campaign: Campaign, given: Any, place: str) -> None:
        if not isinstance(given, dict):
            raise DataError(f"{place}: must be an object")
        for subscriber_id, answers in given.items():
            if not isinstance(answers, dict):
                raise DataError(f"{place}.{subscriber_id}: must be an object")
            for question_id, text in answers.items():
                if question_id not in campaign.questions:
                    raise DataError(
                        f"{place}.{subscriber_id}.{question_id}: the campaign has no such question"
                    )
                answers[question_id] = _text(text, f"{place}.{subscriber_id}.{question_id}")
            campaign.answers[subscriber_id] = answers

    def next_ids(self) -> dict[str, str]:
        next_ids: dict[str, str] = {}
        for kind, value in self._part("next_ids", dict, {}).items():
            if kind not in NEXT_ID_KINDS:
                raise DataError(
                    f"next_ids.{kind}: there is no such kind; known are {', '.join(NEXT_ID_KINDS)}"
                )
            next_ids[kind] = _text(value, f"next_ids.{kind}")
            if not next_ids[kind].isdecimal():
                raise DataError(f"next_ids.{kind}: must be digits")
        return next_ids


def _text(value: Any, place: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{place}: must be text, not {json.dumps(value)[:40]}")


def built_in_seed() -> dict[str, Any]:
    """Return the small data set that the sandbox serves unless it is given another."""
    seed: dict[str, Any] = json.loads(
        (resources.files(__package__) / "seed.json").read_text(encoding="utf-8")
    )
    return seed


def read_seed(path: str | Path) -> dict[str, Any]:
    """
    Read a seed file.

    :param path: a JSON file as the module describes it
    :return: the seed, known to be usable
    :raises DataError: when it cannot be read or used; the message is one line and names file and field
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        State(document)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: is not JSON: {error}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    loaded: dict[str, Any] = document
    return loaded
