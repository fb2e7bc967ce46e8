from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.api.records import WriteOutcome
from airflow_provider_cytechbot.bulk.resource import InvalidRowError, PlannedCall, StateEntry
from airflow_provider_cytechbot.operators.label_assignments import LabelAssignments, value_of


class Labels:
    """A page with two labels."""

    def __init__(self):
        self.name_of = {"5": "VIP", "10": "Dog people"}
        self.id_of = {name: label_id for label_id, name in self.name_of.items()}
        self.created = []

    def create(self, name):
        self.created.append(name)
        return str(100 + len(self.created))


@pytest.fixture
def labels():
    return Labels()


@pytest.fixture
def make(labels):
    def make(label_ids=None, label_names=None, create_missing=False, max_new_labels=20, full_refresh=False):
        return LabelAssignments(
            labels,
            "9",
            label_ids=label_ids,
            label_names=label_names,
            create_missing=create_missing,
            max_new_labels=max_new_labels,
            full_refresh=full_refresh,
        )

    return make


def test_labels_for_all_ignore_columns_of_a_row(make):
    found = make(label_ids=["10", "5"]).plan({"subscriber_id": "1", "label_names": "Nothing"})
    assert found == ("1", "5,10", "label_ids", ())


def test_the_order_of_labels_makes_no_difference(make):
    assignments = make()
    one = assignments.plan({"subscriber_id": "1", "label_names": ["VIP", "Dog people"]})
    other = assignments.plan({"subscriber_id": "1", "label_names": ["Dog people", "VIP", "VIP"]})
    assert one == other == ("1", "5,10", "label_names", ())
    assert assignments.merge("5", "10,5") == "5,10"


@pytest.mark.parametrize(
    "values",
    [
        {"subscriber_id": "1", "label_names": "ann@example.com"},
        {"subscriber_id": "1", "label_ids": "ann@example.com"},
        {"subscriber_id": "1", "label_ids": "5, 1 2"},
        {"subscriber_id": "1", "label_ids": {"ann@example.com": 1}},
        {"subscriber_id": "1", "label_names": {"ann@example.com": 1}},
    ],
)
def test_reasons_hold_no_value_of_the_row(make, values):
    with pytest.raises(InvalidRowError) as raised:
        make().plan(values)
    assert "example" not in raised.value.reason
    assert raised.value.reason.endswith(".")


def test_new_labels_are_created_once_and_sent_by_their_ids(make, labels):
    assignments = make(create_missing=True)
    first = assignments.plan({"subscriber_id": "1", "label_names": ["New", "VIP"]})
    second = assignments.plan({"subscriber_id": "2", "label_names": "New"})
    assert labels.created == []
    described = assignments.describe(first.payload)
    assert "New" in described.split("\n")
    assignments.prepare(plan_only=False)
    assert labels.created == ["New"]
    sent = []

    async def call(endpoint, **fields):
        sent.append(fields)
        return WriteOutcome(changed=True, message=None)

    hook = SimpleNamespace(call=call)
    values = [
        asyncio.run(
            assignments.write(hook, PlannedCall(1, write.key, "assign", write.payload, 1), None)
        ).value
        for write in (first, second)
    ]
    assert values == [value_of("5,101"), value_of("101")]
    assert [(fields["subscriber_id"], fields["label_ids"]) for fields in sent] == [
        ("1", "5,101"),
        ("2", "101"),
    ]
    assert {fields["max_retries"] for fields in sent} == {0}


def test_new_labels_for_all_count_too(make, labels):
    assignments = make(label_names=["VIP", "New"], create_missing=True)
    assignments.prepare(plan_only=False)
    assert labels.created == ["New"]


def test_memory_for_new_labels_is_bounded(make, labels):
    assignments = make(create_missing=True, max_new_labels=3)
    for number in range(1_000):
        assignments.plan({"subscriber_id": "1", "label_names": f"New {number}"})
    assert len(assignments._new) == 4
    with pytest.raises(CyTechBotFieldError, match="max_new_labels"):
        assignments.prepare(plan_only=True)
    assert labels.created == []


def test_unknown_labels_are_logged(make, caplog):
    assignments = make()
    for name in ("Nothing", "ann@example.com"):
        with pytest.raises(InvalidRowError):
            assignments.plan({"subscriber_id": "1", "label_names": name})
    assignments.prepare(plan_only=False)
    assert "Labels that page 9 does not have: 'Nothing', '***'" in caplog.text


def test_the_same_labels_of_a_subscriber_are_unchanged(make):
    write = make().plan({"subscriber_id": "1", "label_ids": "10,5"})
    entry = StateEntry(value_of("5,10"))
    assert make().compare(write, entry).outcome == "unchanged"
    assert make(full_refresh=True).compare(write, entry).operation == "assign"
    assert make().compare(write, StateEntry(value_of("5"))).operation == "assign"
    assert make().compare(write, StateEntry()).operation == "assign"


def test_the_state_of_a_subscriber_is_small(make):
    assert len(value_of(",".join(map(str, range(100_000, 100_500))))) <= 8


def test_created_labels_are_described_as_the_next_try_finds_them(make, labels):
    assignments = make(create_missing=True)
    write = assignments.plan({"subscriber_id": "1", "label_names": ["New", "VIP"]})
    assignments.prepare(plan_only=False)
    assert assignments.describe(write.payload) == "5,101"
