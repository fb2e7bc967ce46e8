"""The example of contacts in step with a table, night after night through its two weeks."""

from __future__ import annotations

import csv
import json

import pytest

DAG = "cytechbot_contacts_in_step"
PEOPLE = {
    "C-1": ("ada@shop.example", "+49 30 1", "Ada", "Lovelace"),
    "C-2": ("lea.maier@shop.example", "+49 30 2", "Lea", "Maier"),
    "C-3": ("kim@shop.example", "+49 30 3", "Kim", "Novak"),
    "C-5": ("ida@shop.example", "", "Ida", "Rhode"),
    "C-6": ("tom@shop.example", "", "Tom", "Berg"),
    "C-7": ("noor@shop.example", "", "Noor", "Haddad"),
    "C-8": ("leo@shop.example", "", "Leo", "Sand"),
}
#: What each night does, by key: the operation, or the outcome of a row for which nothing is done.
NIGHTS = {
    1: dict.fromkeys(["C-1", "C-2", "C-3", "C-4", "C-5", "C-6"], "create"),
    2: {"C-1": "update"},
    3: {"C-7": "create"},
    4: {"C-3": "update"},
    5: {"C-2": "recreate"},
    6: {},
    8: {"C-4": "delete"},
    9: {"C-8": "refused"},
    10: {"C-8": "refused"},
    11: {"C-8": "create"},
    12: {"C-5": "invalid"},
    13: {},
    14: {},
}


@pytest.fixture
def play(run_dag, tmp_path):
    """Play a night, and return what it did for each key that it did something for, or could not."""
    warehouse = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")})

    def play(night):
        conf = {"night": night, "folder": tmp_path.as_uri()}
        run = run_dag(DAG, conf=conf, env={"AIRFLOW_CONN_WAREHOUSE": warehouse})
        with (tmp_path / f"report-{night}.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        found = {
            line["key"]: line["operation"] if line["outcome"] == "succeeded" else line["outcome"]
            for line in lines
            if line["outcome"] != "unchanged"
        }
        is_complete = set(found.values()) <= {"create", "update", "recreate", "delete"}
        assert run.states["sync_contacts"] == ("success" if is_complete else "failed"), run.log
        return found

    return play


def test_two_weeks_of_a_shop(play, cytechbot_sandbox):
    before = {key: dict(contact) for key, contact in cytechbot_sandbox.state.contacts.items()}
    for night, expected in NIGHTS.items():
        sent = cytechbot_sandbox.journal.took_effect("create_contact")
        assert play(night) == expected, night
        if not expected:
            assert cytechbot_sandbox.journal.took_effect("create_contact") == sent
    contacts = dict(cytechbot_sandbox.state.contacts)
    assert {key: contacts.pop(key) for key in before} == before
    found = [
        tuple(contact[field] for field in ("email", "phone_number", "first_name", "last_name"))
        for contact in contacts.values()
    ]
    assert sorted(found) == sorted(PEOPLE.values())
    assert cytechbot_sandbox.journal.took_effect("create_contact_group") == 1
