"""Weeks of random changes with kills, lost responses and refusals: the server is compared with the table."""

from __future__ import annotations

import random

import pytest

FIELDS = ("email", "phone_number", "first_name", "last_name")
_FAULTS = ("lose_before", "lose_after", (502, "", {}), (429, "", {}))


class Table:
    """
    A table of people that changes each night.

    The last name of a person is its key, which distinguishes the server's contacts.
    """

    def __init__(self, chance):
        self.chance = chance
        self.people = {}
        self.last_key = 0
        for _ in range(25):
            self.add()

    def add(self, **fields):
        self.last_key += 1
        key = f"k{self.last_key}"
        person = {
            "id": key,
            "email": f"{key}@example.com" if self.chance.random() < 0.8 else "",
            "phone_number": f"+49 {self.last_key}" if self.chance.random() < 0.5 else "",
            "first_name": self.chance.choice(["Ann", "Zoe", ""]),
            "last_name": key,
        }
        if not person["email"] and not person["phone_number"]:
            person["phone_number"] = f"+49 {self.last_key}"
        self.people[key] = {**person, **fields}

    def change(self):
        """Change some people, as a night in a warehouse does."""
        chance = self.chance
        for key in chance.sample(list(self.people), 8):
            person = self.people[key]
            match chance.choice(["rename", "rename", "readdress", "fill", "phone", "gone", "move", "swap"]):
                case "rename":
                    person["first_name"] = f"N{chance.randrange(1000)}"
                case "readdress" if person["email"]:
                    person["email"] = f"{key}-{chance.randrange(1000)}@example.com"
                case "fill" if not person["email"]:
                    person["email"] = f"{key}-{chance.randrange(1000)}@example.com"
                case "phone" if not person["phone_number"]:
                    person["phone_number"] = f"+49 {key[1:]}"
                case "gone":
                    del self.people[key]
                case "move" if person["email"]:
                    # The same person under another key.
                    del self.people[key]
                    self.add(email=person["email"], phone_number=person["phone_number"])
                case "swap" if person["email"]:
                    other = chance.choice([each for each in self.people.values() if each["email"]])
                    person["email"], other["email"] = other["email"], person["email"]
        for _ in range(chance.randrange(5)):
            self.add()

    def rows(self):
        rows = list(self.people.values())
        self.chance.shuffle(rows)
        return rows


class Weeks:
    def __init__(self, server, nights, seed):
        self.chance = random.Random(seed)
        self.server = server
        self.nights = nights
        self.table = Table(self.chance)
        self.foreign = {}
        #: Keys whose contacts were deleted in the dashboard: an unchanged row does not show it.
        self.deleted = set()
        nights.fields |= {
            "sync_mode": "mirror",
            "on_readdress": "recreate",
            "on_missing": "recreate",
            "max_delete_percent": 100,
            "max_concurrency": 3,
        }

    def make_foreign_contacts(self):
        """Somebody works in the dashboard: contacts that the sync must leave alone."""
        number = len(self.foreign)
        contact_id = self.server.add(f"foreign{number}@example.com", "", "Some", f"body {number}")
        self.foreign[contact_id] = dict(self.server.contacts[contact_id])

    def delete_a_contact(self):
        """Somebody deletes a contact of the sync in the dashboard."""
        own = [each for each in self.server.contacts if each not in self.foreign]
        contact = self.server.contacts.pop(self.chance.choice(own))
        self.deleted.add(contact["last_name"])

    def fault(self, endpoint, fields):
        if endpoint.startswith("get_contact_group"):
            return None
        chance = self.chance.random()
        if chance < 0.05:
            return self.chance.choice(_FAULTS)
        if chance < 0.08 and self.server.victim:
            return self.chance.choice(["kill_before", "kill_after"])
        return None

    def run_night(self, *, with_faults):
        """Run a night with up to three tries, as Airflow does."""
        rows = self.table.rows()
        self.server.fault = self.fault if with_faults else lambda *_: None
        night = self.nights.run_in_process(rows)
        for _ in range(3):
            if night.error is not None and "TransportError" not in night.error:
                break
            night = self.nights.run_in_process(rows, is_retry=True)
        self.server.fault = lambda *_: None
        while night.error is None:
            night = self.nights.run_in_process(rows, is_retry=True)
        return night

    def check(self, night):
        """Compare the server with the table."""
        contacts = dict(self.server.contacts)
        for contact_id, contact in self.foreign.items():
            assert contacts.pop(contact_id) == contact, "a contact of somebody else was changed"
        by_key = {}
        for contact_id, contact in contacts.items():
            by_key.setdefault(contact["last_name"], []).append(contact_id)
        assert night.error is not None
        assert "Traceback" not in night.error
        self.deleted.difference_update(by_key)
        outcomes = night.outcomes
        for key, outcome in outcomes.items():
            if outcome not in ("succeeded", "unchanged"):
                continue
            ids = by_key.get(key, [])
            if key not in self.table.people:
                assert ids == [], f"{key} is gone, but has {ids}"
                continue
            if key in self.deleted and outcome == "unchanged":
                continue
            person = self.table.people[key]
            assert len(ids) == 1, f"{key} has the contacts {ids}, but its row {outcome}"
            contact = contacts[ids[0]]
            for field in FIELDS:
                if person[field]:
                    assert contact[field] == person[field], f"{key}: {field} differs, but its row {outcome}"
        # A held create and a replacement that is not finished are the only reasons for a second contact.
        for key, ids in by_key.items():
            assert len(ids) <= 2, key
            if len(ids) == 2:
                assert outcomes.get(key) in ("ambiguous", "failed", "not_attempted", "refused"), key

    def settle(self):
        """Look into the dashboard, as a person does, until nothing is held any more."""
        for _ in range(8):
            night = self.run_night(with_faults=False)
            self.check(night)
            if not night.error:
                return night
            held = [key for key, outcome in night.outcomes.items() if outcome == "ambiguous"]
            found = {}
            for contact_id, contact in list(self.server.contacts.items()):
                key = contact["last_name"]
                if key not in held or contact_id in (*self.foreign, night.ids[key]):
                    continue
                person = self.table.people.get(key, {})
                if all(contact[field] == person.get(field) for field in FIELDS[:2]):
                    found[key] = contact_id
                else:
                    del self.server.contacts[contact_id]  # of a person who is gone or has moved meanwhile
            rows = [{**row, "contact_id": found.get(row["id"], "")} for row in self.table.rows()]
            forget = [key for key in held if key not in found]
            night = self.nights.run_in_process(rows, forget=forget)
            self.check(night)
        raise AssertionError(f"not settled: {night.error}")


@pytest.mark.parametrize("seed", range(4))
def test_after_each_night_the_contacts_are_those_of_the_table(server, nights, seed):
    weeks = Weeks(server, nights, seed)
    for number in range(14):
        weeks.make_foreign_contacts()
        if number:
            weeks.table.change()
        weeks.check(weeks.run_night(with_faults=number % 3 != 2))
        if weeks.chance.random() < 0.2:
            weeks.delete_a_contact()
    weeks.settle()
