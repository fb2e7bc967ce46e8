"""
Reads the sandbox's data from a seed.

A seed is a JSON object. Every part may be left out. Ids are strings of digits, or whole numbers. Records
take the fields that `records` lists and need only those shown here; an answer may be null::

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
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from airflow_provider_cytechbot.sandbox.records import (
    CONTACT_FIELDS,
    CONTACT_GROUP_FIELDS,
    LABEL_FIELDS,
    PACKAGE_FIELDS,
    PAGE_FIELDS,
    SUBSCRIBER_FIELDS,
    USER_FIELDS,
    Campaign,
    Record,
    listed,
)

NEXT_ID_KINDS = ("user", "label", "contact_group", "contact")
CAMPAIGN_FIELDS = ("id", "flow_name", "questions", "answers")


class DataError(ValueError):
    """A seed or a value that cannot be used; the message is one line and names the field."""


@dataclass
class Seed:
    """The parts of a seed, each by its records' ids; labels are assigned by subscriber."""

    packages: dict[str, Record]
    users: dict[str, Record]
    pages: dict[str, Record]
    enabled_pages: set[str]
    labels: dict[str, Record]
    subscribers: dict[str, Record]
    assigned_labels: dict[str, list[str]]
    contact_groups: dict[str, Record]
    contacts: dict[str, Record]
    campaigns: dict[str, Campaign]
    next_ids: dict[str, str]


def parse_seed(document: Mapping[str, Any]) -> Seed:
    """
    Read a seed, which stays unchanged.

    :param document: a seed as the module describes it
    :raises DataError: for a seed that does not hold together
    """
    reader = _SeedReader(document)
    pages = reader.records("pages", PAGE_FIELDS, key="page_id", flags=("bot_enabled",))
    labels = reader.records("labels", LABEL_FIELDS, key="label_id", required=("label_name", "page_id"))
    subscribers = reader.records(
        "subscribers", SUBSCRIBER_FIELDS, key="subscriber_id", required=("page_id",), lists=("label_ids",)
    )
    seed = Seed(
        packages=reader.records("packages", PACKAGE_FIELDS, key="id"),
        users=reader.records("users", USER_FIELDS, key="id", required=("email",)),
        pages=pages,
        enabled_pages={
            page_id for page_id in pages if reader.flags["pages"][page_id].get("bot_enabled", True)
        },
        labels=labels,
        subscribers=subscribers,
        assigned_labels=reader.lists["subscribers"],
        contact_groups=reader.records("contact_groups", CONTACT_GROUP_FIELDS, key="id", required=("type",)),
        contacts=reader.records("contacts", CONTACT_FIELDS, key="id", required=("contact_type_id",)),
        campaigns=reader.campaigns(),
        next_ids=reader.next_ids(),
    )
    reader.refuse_unknown_parts()
    _check_references(seed)
    for subscriber in subscribers.values():
        subscriber["page_name"] = subscriber["page_name"] or pages[subscriber["page_id"]]["page_name"]
    return seed


def _check_references(seed: Seed) -> None:
    for part, records, name, kind, targets in (
        ("labels", seed.labels, "page_id", "page", seed.pages),
        ("subscribers", seed.subscribers, "page_id", "page", seed.pages),
        ("contacts", seed.contacts, "contact_type_id", "contact group", seed.contact_groups),
    ):
        for index, record in enumerate(records.values()):
            require_known(record[name], targets, kind, f"{part}[{index}].{name}")
    for index, label_ids in enumerate(seed.assigned_labels.values()):
        for label_id in label_ids:
            require_known(label_id, seed.labels, "label", f"subscribers[{index}].label_ids")


class _SeedReader:
    """Reads the parts of a seed one after the other; its errors name the field in one line."""

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
                raise DataError(f"{name}: there is no such part; known are {listed(sorted(self._read))}")

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
            position = f"{part}[{index}]"
            if not isinstance(given, dict):
                raise DataError(f"{position}: must be an object")
            record = dict(fields)
            own_flags: dict[str, bool] = {}
            own_list: list[str] = []
            for name, value in given.items():
                if name in flags:
                    if not isinstance(value, bool):
                        raise DataError(f"{position}.{name}: must be true or false")
                    own_flags[name] = value
                elif name in lists:
                    if not isinstance(value, list):
                        raise DataError(f"{position}.{name}: must be a list")
                    own_list = [read_text(item, f"{position}.{name}[{i}]") for i, item in enumerate(value)]
                elif name in fields:
                    record[name] = read_text(value, f"{position}.{name}")
                else:
                    known = listed([*fields, *flags, *lists])
                    raise DataError(f"{position}.{name}: there is no such field; known are {known}")
            for name in (key, *required):
                if not record[name]:
                    raise DataError(f"{position}.{name}: is required")
            if record[key] in records:
                raise DataError(f"{position}.{key}: {record[key]!r} is there twice")
            records[record[key]] = record
            self.flags[part][record[key]] = own_flags
            self.lists[part][record[key]] = own_list
        return records

    def campaigns(self) -> dict[str, Campaign]:
        campaigns: dict[str, Campaign] = {}
        for index, given in enumerate(self._part("flow_campaigns", list, [])):
            position = f"flow_campaigns[{index}]"
            if not isinstance(given, dict):
                raise DataError(f"{position}: must be an object")
            for name in given:
                if name not in CAMPAIGN_FIELDS:
                    raise DataError(
                        f"{position}.{name}: there is no such field; known are {listed(CAMPAIGN_FIELDS)}"
                    )
            for name in ("id", "flow_name"):
                if name not in given:
                    raise DataError(f"{position}.{name}: is required")
            campaign = Campaign(
                read_text(given["id"], f"{position}.id"),
                read_text(given["flow_name"], f"{position}.flow_name"),
            )
            if campaign.id in campaigns:
                raise DataError(f"{position}.id: {campaign.id!r} is there twice")
            self._questions(campaign, given.get("questions", []), f"{position}.questions")
            self._answers(campaign, given.get("answers", {}), f"{position}.answers")
            campaigns[campaign.id] = campaign
        return campaigns

    @staticmethod
    def _questions(campaign: Campaign, given: Any, position: str) -> None:
        if not isinstance(given, list):
            raise DataError(f"{position}: must be a list")
        for index, question in enumerate(given):
            if not isinstance(question, dict) or set(question) != {"question_id", "question"}:
                raise DataError(f"{position}[{index}]: must be an object of question_id and question")
            question_id = read_text(question["question_id"], f"{position}[{index}].question_id")
            campaign.questions[question_id] = read_text(question["question"], f"{position}[{index}].question")

    @staticmethod
    def _answers(campaign: Campaign, given: Any, position: str) -> None:
        if not isinstance(given, dict):
            raise DataError(f"{position}: must be an object")
        for subscriber_id, answers in given.items():
            if not isinstance(answers, dict):
                raise DataError(f"{position}.{subscriber_id}: must be an object")
            for question_id, text in answers.items():
                field = f"{position}.{subscriber_id}.{question_id}"
                require_known(question_id, campaign.questions, "question", field)
                answers[question_id] = None if text is None else read_text(text, field, or_null=True)
            campaign.answers[subscriber_id] = answers

    def next_ids(self) -> dict[str, str]:
        next_ids: dict[str, str] = {}
        for kind, value in self._part("next_ids", dict, {}).items():
            if kind not in NEXT_ID_KINDS:
                raise DataError(f"next_ids.{kind}: there is no such kind; known are {listed(NEXT_ID_KINDS)}")
            next_ids[kind] = read_text(value, f"next_ids.{kind}")
            if not next_ids[kind].isdecimal():
                raise DataError(f"next_ids.{kind}: must be digits")
        return next_ids


def read_text(value: Any, field: str, *, or_null: bool = False) -> str:
    """
    Return a text of the data; whole numbers become their digits.

    :param value: the value as JSON held it
    :param field: the field's name in the error
    :param or_null: whether the error adds that the field may be null
    :raises DataError: for a value of any other type
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    wanted = "text or null" if or_null else "text"
    raise DataError(f"{field}: must be {wanted}, not {json.dumps(value, default=repr)[:40]}")


def require_known(record_id: str, records: Mapping[str, Any], kind: str, field: str) -> None:
    """
    Check that a record exists.

    :param kind: what the record is, for the error
    :param field: the name of the field that holds the id
    :raises DataError: where it does not; the message lists the ids that there are
    """
    if record_id not in records:
        raise DataError(f"{field}: there is no {kind} {record_id!r}; known are {listed(records)}")


def built_in_seed() -> dict[str, Any]:
    """Return the small data set that the sandbox serves unless another is given."""
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
        parse_seed(document)
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
