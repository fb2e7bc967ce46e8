"""Each documented outcome of a contact sync, over real HTTP, at a server that is not the sandbox."""

from __future__ import annotations

import csv
import gzip
import json
import threading
import time

import pytest

from .conftest import Nights


def row(key, name="Ann", *, email=None, phone="", last="Lee", **more):
    email = f"{key}@example.com" if email is None else email
    return {"id": key, "email": email, "phone_number": phone, "first_name": name, "last_name": last, **more}


def rows(number, **fields):
    return [row(str(key), **fields) for key in range(1, number + 1)]


def first_of(endpoint, *faults):
    """Return faults for the first calls of an endpoint."""
    left = list(faults)
    return lambda name, fields: left.pop(0) if name == endpoint and left else None


def test_a_week_in_mode_mirror(server, nights):
    foreign = server.add("boss@example.com", "", "The", "Boss")
    nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 50}
    night = nights.run(rows(10))
    assert not night.error
    assert night.counts == {"succeeded": 10}
    assert server.writes == 10
    night = nights.run(rows(10))
    assert night.counts == {"unchanged": 10}
    assert server.writes == 10
    changed = [row("1", "Anna"), *rows(10)[2:], row("11"), row("12", email="", phone="+49 1")]
    night = nights.run(changed)
    assert night.counts == {"succeeded": 4, "unchanged": 8}
    assert night.operations == {"1": "update", "2": "delete", "11": "create", "12": "create"}
    assert night.manifest["operations"] == {"create": 2, "delete": 1, "none": 8, "update": 1}
    assert server.writes == 14
    wanted = [(each["email"], each["phone_number"], each["first_name"], "Lee") for each in changed]
    assert server.all_values() == sorted([*wanted, server.values(foreign)])
    assert [line["row"] for line in night.lines][-2:] == ["11", ""]


@pytest.mark.parametrize(
    ("sync_mode", "left"),
    [
        ("create", [("1@example.com", "", "Ann", "Lee"), ("2@example.com", "", "Ann", "Lee")]),
        ("upsert", [("1@example.com", "+49 1", "Zoe", "Lee"), ("2@example.com", "", "Ann", "Lee")]),
        ("mirror", [("1@example.com", "+49 1", "Zoe", "Lee")]),
    ],
)
def test_modes(server, nights, sync_mode, left):
    nights.fields |= {"sync_mode": sync_mode, "max_delete_percent": 100}
    nights.run(rows(2))
    assert not nights.run([row("1", "Zoe", phone="+49 1")]).error
    assert server.all_values() == left


class TestAnotherAddress:
    def test_is_refused_until_it_is_put_back(self, server, nights):
        nights.run(rows(2))
        night = nights.run([row("1", email="new@example.com"), row("2")])
        assert "RequestError" in night.error
        assert night.counts == {"unchanged": 1, "refused": 1}
        assert "on_readdress='recreate'" in night.reasons["1"]
        assert server.writes == 2
        assert nights.run(rows(2)).counts == {"unchanged": 2}

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({"phone": "+49 1"}, {"email": "new@example.com", "phone": "+49 1"}),
            ({"phone": "+49 1"}, {"phone": "+49 2"}),
            ({}, {"email": "new@example.com"}),
            ({"phone": "+49 1"}, {"email": "new@example.com", "phone": "+49 2"}),
            ({"phone": "+49 1"}, {"email": "", "phone": "+49 2"}),
        ],
    )
    def test_recreates_the_contact(self, server, nights, before, after):
        nights.run([row("1", **before)])
        night = nights.run([row("1", "Zoe", **after)], on_readdress="recreate")
        assert not night.error
        assert night.operations == {"1": "recreate"}
        wanted = row("1", "Zoe", **after)
        assert server.all_values() == [(wanted["email"], wanted["phone_number"], "Zoe", "Lee")]
        assert nights.run([row("1", "Zoe", **after)], on_readdress="recreate").counts == {"unchanged": 1}

    def test_that_two_rows_have_exchanged(self, server, nights):
        nights.run(rows(2))
        swapped = [row("1", email="2@example.com"), row("2", email="1@example.com")]
        night = nights.run(swapped, on_readdress="recreate")
        assert not night.error
        assert server.all_values() == [(f"{key}@example.com", "", "Ann", "Lee") for key in "12"]
        assert nights.run(swapped).counts == {"unchanged": 2}

    def test_that_three_rows_have_passed_on(self, server, nights):
        nights.run([*rows(3), row("4", email="", phone="+49 4")])
        passed = [
            row("1", email="1-new@example.com"),
            row("2", email="1@example.com"),
            row("3", email="3-new@example.com"),
            row("4", email="2@example.com", phone="+49 4"),  # an empty field that is filled
            row("5", email="3@example.com"),  # a new row
        ]
        assert not nights.run(passed[::-1], on_readdress="recreate").error
        wanted = [(each["email"], each["phone_number"], "Ann", "Lee") for each in passed]
        assert server.all_values() == sorted(wanted)

    def test_whose_create_is_lost_is_held_and_keeps_the_contact(self, server, nights):
        nights.run([row("1")])
        server.fault = first_of("create_contact", "lose_after")
        night = nights.run([row("1", email="new@example.com")], on_readdress="recreate")
        assert night.counts == {"ambiguous": 1}
        assert len(server.contacts) == 2
        new = server.id_of("new@example.com")
        night = nights.run([row("1", email="new@example.com", contact_id=new)], on_readdress="recreate")
        assert not night.error
        assert server.all_values() == [("new@example.com", "", "Ann", "Lee")]

    @pytest.mark.parametrize("phone", ["", "+49 1"])
    def test_whose_delete_is_lost_is_finished_by_the_next_run(self, server, nights, phone):
        nights.run([row("1", phone=phone)])
        wanted = [row("1", email="new@example.com", phone=phone)]
        server.fault = first_of("delete_contact", *["lose_after"] * 10)
        night = nights.run(wanted, on_readdress="recreate")
        server.fault = lambda *_: None
        if night.error:
            night = nights.run(wanted, on_readdress="recreate")
        assert not night.error
        assert server.all_values() == [("new@example.com", phone, "Ann", "Lee")]


class TestEmptiedFields:
    def test_are_unchanged_with_a_reason(self, server, nights):
        nights.run([row("1", phone="+49 1")])
        night = nights.run([row("1", "", phone="", last="")])
        assert night.counts == {"unchanged": 1}
        assert night.reasons["1"] == "The API cannot empty phone_number and first_name and last_name."
        assert server.writes == 1

    def test_that_were_empty_are_filled(self, server, nights):
        nights.run([row("1", "", last="")])
        assert nights.run([row("1", "Ann", phone="+49 1")]).operations == {"1": "update"}
        assert server.all_values() == [("1@example.com", "+49 1", "Ann", "Lee")]


class TestInvalidRows:
    def test_do_not_stop_the_others_and_are_not_gone(self, server, nights):
        nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 60}
        ids = nights.run(rows(6)).ids
        before = dict(server.contacts)
        night = nights.run(
            [
                row("1", "Zoe"),
                row("1", "Eve"),  # a doubled key
                row("2", "Zoe", email="3@example.com"),
                row("3", "Zoe", email="3@EXAMPLE.com"),  # a doubled address
                row("4", "Zoe", phone=4915112345678),  # a number
                row("7", email=""),  # no address
                row("8"),
            ]
        )
        assert night.counts == {"succeeded": 3, "invalid": 6}
        assert night.operations == {"5": "delete", "6": "delete", "8": "create"}
        for key in "1234":
            assert server.contacts[ids[key]] == before[ids[key]]
        assert "'email' has the same value" in night.reasons["2"]
        assert nights.run(rows(8)[:4]).counts["unchanged"] == 4

    @pytest.mark.parametrize("bad", ["", None, 1.5, "3.0", "1.5E+10"])
    def test_a_row_without_a_readable_key_means_no_deletes(self, server, nights, bad):
        nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100}
        nights.run(rows(3))
        night = nights.run([row("1"), {**row("x"), "id": bad}])
        assert night.counts == {"unchanged": 1, "invalid": 1}
        assert len(server.contacts) == 3


class TestGuards:
    def test_a_tripped_guard_sends_nothing_and_pushes_the_manifest(self, server, nights):
        nights.fields |= {"sync_mode": "mirror"}
        nights.run(rows(20))
        night = nights.run(rows(17))
        assert "3 of 20 contacts would be deleted" in night.error
        assert "set max_delete_percent to 15 or more" in night.error
        assert len(server.contacts) == 20
        assert night.counts == {"unchanged": 17, "not_attempted": 3}
        assert nights.run(rows(17), max_delete_percent=15).counts == {"succeeded": 3, "unchanged": 17}

    def test_an_empty_source_fails(self, server, nights):
        nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100}
        nights.run(rows(3))
        assert "the source is empty, but the state has 3 contacts" in nights.run([]).error
        assert "the source is empty" in nights.run(rows(3), where={"first_name": "Zoe"}).error
        assert len(server.contacts) == 3

    def test_an_empty_source_without_a_state_is_green(self, server, nights):
        night = nights.run([], sync_mode="mirror")
        assert (night.error, night.manifest["rows"]) == ("", 0)


class TestPlans:
    def test_a_plan_sends_and_stores_nothing(self, server, nights, tmp_path):
        plan = nights.run(rows(3), plan_only=True)
        assert plan.counts == {"not_attempted": 3}
        assert plan.manifest["operations"] == {"create": 3}
        assert server.writes == 0
        assert not (tmp_path / "state").exists()
        assert {line["fields"] for line in plan.lines} == {"email,first_name,last_name"}
        assert "Ann" not in json.dumps(plan.lines)

    def test_the_accepted_plan_is_applied(self, server, nights):
        nights.run(rows(3))
        changed = [row("1", "Zoe"), row("2"), row("4")]
        digest = nights.run(changed, plan_only=True).manifest["plan_digest"]
        assert digest == nights.run(changed[::-1], plan_only=True).manifest["plan_digest"]
        night = nights.run([*changed, row("3")], expected_plan_digest=digest)
        assert not night.error
        assert night.manifest["plan_digest"] == digest

    @pytest.mark.parametrize(
        "changed",
        [
            [row("1", "Eve"), row("2"), row("4")],
            [row("1", "Zoe"), row("2"), row("4"), row("5")],
            [row("1", "Zoe"), row("2")],
            [row("1", "Zoe"), row("2"), row("4", "Zoe")],
        ],
    )
    def test_another_plan_is_refused(self, server, nights, changed):
        nights.run(rows(3))
        digest = nights.run([row("1", "Zoe"), row("2"), row("4")], plan_only=True).manifest["plan_digest"]
        night = nights.run(changed, expected_plan_digest=digest)
        assert "Plan again" in night.error
        assert server.writes == 3

    def test_a_retry_finishes_the_accepted_plan(self, server, nights):
        digest = nights.run(rows(30), plan_only=True).manifest["plan_digest"]
        calls = []

        def kill_once(endpoint, fields):
            calls.append(endpoint)
            return "kill_after" if len(calls) == 10 else None

        server.fault = kill_once
        assert nights.run_in_process(rows(30), expected_plan_digest=digest, max_concurrency=2).error is None
        server.fault = lambda *_: None
        night = nights.run_in_process(rows(30), is_retry=True, expected_plan_digest=digest, max_concurrency=2)
        counts = night.manifest["counts"]
        assert counts["ambiguous"] in range(1, 5)
        assert counts["ambiguous"] + counts["succeeded"] + counts["unchanged"] == 30
        assert max(server.calls.values()) <= 30


class TestLostAnswers:
    def test_a_lost_create_is_held_until_it_is_settled(self, server, nights):
        server.fault = first_of("create_contact", "lose_after", "lose_before")
        night = nights.run(rows(5), max_concurrency=1)
        assert night.counts == {"succeeded": 3, "ambiguous": 2}
        server.fault = lambda *_: None
        for again in (nights.retry, nights.clear, nights.run):
            night = again(rows(5))
            assert night.outcomes["1"] == night.outcomes["2"] == "ambiguous"
            assert server.calls["create_contact"] == 5
        found = server.id_of("1@example.com")
        night = nights.run([row("1", contact_id=found), *rows(5)[1:]], forget=["2"])
        assert not night.error
        assert night.ids["1"] == found
        assert server.all_values() == [(f"{key}@example.com", "", "Ann", "Lee") for key in range(1, 6)]
        assert nights.run(rows(5)).counts == {"unchanged": 5}

    def test_a_held_row_is_not_settled_by_another_contact(self, server, nights):
        other = server.add("other@example.com")
        server.fault = first_of("create_contact", "lose_after")
        nights.run([row("1")])
        for contact_id, reason in ((other, "has another email"), ("77", "does not exist")):
            night = nights.run([row("1", contact_id=contact_id)])
            assert night.counts == {"ambiguous": 1}
            assert reason in night.reasons["1"]
        assert nights.run([row("1")]).counts == {"ambiguous": 1}
        assert server.calls["create_contact"] == 1

    @pytest.mark.parametrize(
        ("fault", "outcome"), [("lose_before", "succeeded"), ("lose_after", "ambiguous")]
    )
    def test_retry_in_a_later_run(self, server, nights, fault, outcome):
        server.fault = first_of("create_contact", fault)
        for again in (nights.run, nights.retry, nights.clear):
            assert again(rows(1), ambiguous="retry").counts == {"ambiguous": 1}
        assert server.calls["create_contact"] == 1
        night = nights.run(rows(1), ambiguous="retry")
        assert night.counts == {outcome: 1}
        assert len(server.contacts) == 1
        assert server.calls["create_contact"] == 2

    def test_without_an_email_nothing_is_sent_again(self, server, nights):
        server.fault = first_of("create_contact", "lose_before")
        phone_only = [row("1", email="", phone="+49 1")]
        for _ in range(3):
            assert nights.run(phone_only, ambiguous="retry").counts == {"ambiguous": 1}
        assert server.calls["create_contact"] == 1

    @pytest.mark.parametrize("fault", ["lose_before", "lose_after"])
    @pytest.mark.parametrize("name", ["Ann", "Zoe", "Eve"])
    def test_a_lost_update_is_made_good_whatever_the_table_holds_then(self, server, nights, fault, name):
        nights.run([row("1")])
        server.fault = lambda endpoint, _: fault
        night = nights.run([row("1", "Zoe", phone="+49 1")])
        assert night.counts == {"failed": 1}
        server.fault = lambda *_: None
        night = nights.run([row("1", name, phone="+49 1")])
        assert not night.error
        assert server.all_values() == [("1@example.com", "+49 1", name, "Lee")]

    @pytest.mark.parametrize("fault", ["lose_before", "lose_after"])
    def test_a_key_that_comes_back_after_a_lost_delete_has_a_contact(self, server, nights, fault):
        nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100}
        nights.run(rows(2))
        server.fault = first_of("delete_contact", *[fault] * 9)
        assert nights.run(rows(1)).counts == {"unchanged": 1, "failed": 1}
        server.fault = lambda *_: None
        assert not nights.run(rows(2)).error
        assert server.all_values() == [(f"{key}@example.com", "", "Ann", "Lee") for key in "12"]

    def test_a_rate_limit_is_waited_for(self, server, nights):
        server.fault = first_of("create_contact", *[(429, "", {})] * 3)
        assert nights.run(rows(5)).counts == {"succeeded": 5}
        assert len(server.contacts) == 5


class TestMissingContacts:
    def test_an_update_of_one_is_reported(self, server, nights):
        nights.run(rows(2))
        del server.contacts[server.id_of("1@example.com")]
        for _ in range(2):
            night = nights.run([row("1", "Zoe"), row("2")])
            assert night.counts == {"refused": 1, "unchanged": 1}
            assert "does not exist any more: it was deleted elsewhere" in night.reasons["1"]
        assert not nights.run([row("1", "Zoe"), row("2")], on_missing="recreate").error
        assert server.all_values() == [
            ("1@example.com", "", "Zoe", "Lee"),
            ("2@example.com", "", "Ann", "Lee"),
        ]
        assert nights.run([row("1", "Zoe"), row("2")]).counts == {"unchanged": 2}

    def test_a_delete_of_one_is_done(self, server, nights):
        nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100}
        nights.run(rows(2))
        del server.contacts[server.id_of("1@example.com")]
        night = nights.run([row("2")])
        assert night.counts == {"unchanged": 2}
        assert night.reasons["1"] == "It was deleted already."

    def test_a_deleted_group_stops_at_once(self, server, nights):
        nights.run(rows(2))
        del server.groups["5"]
        night = nights.run(rows(1_000), max_concurrency=2)
        assert "Contact group 5 does not exist" in night.error
        assert server.calls["create_contact"] <= 2 + 4
        assert night.manifest["counts"]["not_attempted"] > 990


class TestOtherPeoplesContacts:
    def test_an_address_that_is_taken_is_refused_each_night_until_it_is_free(self, server, nights):
        foreign = server.add("1@example.com", "", "Some", "Body")
        for _ in range(2):
            night = nights.run(rows(2))
            assert night.outcomes == {"1": "refused", "2": night.outcomes["2"]}
            assert "different email" in night.reasons["1"]
        assert server.values(foreign) == ("1@example.com", "", "Some", "Body")
        del server.contacts[foreign]
        assert nights.run(rows(2)).counts == {"succeeded": 1, "unchanged": 1}

    def test_a_mirror_leaves_them_alone(self, server, nights):
        foreign = server.add("boss@example.com")
        nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100}
        nights.run(rows(2))
        nights.run(rows(1))
        assert server.values(foreign) == ("boss@example.com", "", "", "")

    def test_they_are_adopted_by_their_id(self, server, nights):
        foreign = server.add("1@example.com", "", "Some", "")
        night = nights.run([row("1", phone="+49 1", contact_id=foreign)])
        assert night.counts == {"succeeded": 1}
        assert night.operations == {"1": "update"}
        assert server.all_values() == [("1@example.com", "+49 1", "Ann", "Lee")]
        nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100}
        assert not nights.run([row("2")]).error
        assert foreign not in server.contacts

    @pytest.mark.parametrize(
        ("contact", "reason"),
        [
            ({"email": "1@example.com", "group": "6"}, "is in another contact group"),
            ({"email": "x@example.com"}, "has another email"),
            ({"phone_number": "+49 1"}, "has no address in common"),
        ],
    )
    def test_another_one_is_not_adopted(self, server, nights, contact, reason):
        foreign = server.add(**contact)
        before = dict(server.contacts[foreign])
        night = nights.run([row("1", contact_id=foreign)])
        assert night.counts == {"refused": 1}
        assert reason in night.reasons["1"]
        assert server.contacts == {foreign: before}

    def test_a_contact_cannot_be_adopted_twice(self, server, nights):
        foreign = server.add("1@example.com")
        night = nights.run([row("1", contact_id=foreign), row("2", contact_id=foreign)])
        assert night.counts == {"invalid": 2}
        assert server.writes == 0

    def test_an_adopted_contact_changes_its_key(self, server, nights):
        nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100}
        night = nights.run([row("1")])
        night = nights.run([row("new", email="1@example.com", contact_id=night.ids["1"])])
        assert not night.error
        assert server.all_values() == [("1@example.com", "", "Ann", "Lee")]
        assert nights.run([row("new", email="1@example.com")]).counts == {"unchanged": 1}

    @pytest.mark.parametrize("with_id", [True, False])
    def test_that_changed_its_key_before_the_mode_became_mirror_stays(self, server, nights, with_id):
        contact = nights.run(rows(2)).ids["1"]
        moved = row("new", email="1@example.com", contact_id=contact)
        assert not nights.run([moved, *rows(2)[1:]]).error
        nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100}
        if not with_id:
            del moved["contact_id"]
        night = nights.run([moved, *rows(2)[1:]])
        assert (night.error, night.manifest["operations"]) == ("", {"none": 3})
        assert contact in server.contacts
        # It goes with the key that has it now.
        assert not nights.run(rows(2)[1:]).error
        assert contact not in server.contacts

    @pytest.mark.parametrize("new", [f"new-{number}" for number in range(4)])
    def test_that_changes_its_key_stays_in_whatever_shard_the_keys_are(self, server, nights, new):
        nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100, "shards": 3}

        def run(people):
            for shard in range(3):
                report = str(nights.folder / f"shard-{shard}.csv")
                assert not nights.run(people, shard=shard, report_path=report).error

        run([row("1")])
        (contact,) = server.contacts
        run([row(new, email="1@example.com", contact_id=contact)])
        assert list(server.contacts) == [contact]
        writes = server.writes
        run([row(new, email="1@example.com")])
        assert (list(server.contacts), server.writes) == ([contact], writes)


def test_an_address_moves_from_a_key_that_is_gone_to_a_new_one(server, nights):
    nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100}
    nights.run(rows(3))
    night = nights.run([*rows(2), row("9", "Zoe", email="3@example.com")])
    assert not night.error
    assert server.all_values()[2] == ("3@example.com", "", "Zoe", "Lee")
    assert len(server.contacts) == 3


class TestGroupByName:
    def test_is_created_on_the_first_run_that_needs_it(self, server, nights):
        nights.fields |= {"contact_type_id": None, "contact_group_name": "Leads", "create_group": True}
        assert not nights.run([]).error
        assert server.calls["create_contact_group"] == 0
        assert nights.run(rows(2), plan_only=True).manifest["operations"] == {"create": 2}
        assert server.calls["create_contact_group"] == 0
        for _ in range(2):
            assert not nights.run(rows(2)).error
        assert server.calls["create_contact_group"] == 1
        assert {contact["contact_type_id"] for contact in server.contacts.values()} == {"201"}
        assert not nights.run(rows(3), create_group=None).error

    def test_whose_create_was_lost_needs_its_id_once(self, server, nights):
        nights.fields |= {"contact_type_id": None, "contact_group_name": "Leads", "create_group": True}
        server.fault = first_of("create_contact_group", "lose_after")
        for again in (nights.run, nights.retry, nights.run):
            assert "'contact_type_id' is needed" in again(rows(2)).error
        assert server.calls["create_contact_group"] == 1
        assert server.writes == 1
        night = nights.run(rows(2), contact_type_id="201", contact_group_name=None, create_group=None)
        assert not night.error
        assert nights.run(rows(2)).counts == {"unchanged": 2}


class TestKills:
    @pytest.mark.parametrize("how", ["kill_before", "kill_after"])
    @pytest.mark.parametrize("at", [1, 7, 20])
    def test_of_creates_leave_few_ambiguous_and_double_none(self, server, nights, how, at):
        calls = []

        def kill(endpoint, fields):
            calls.append(endpoint)
            return how if len(calls) == at else None

        server.fault = kill
        assert nights.run_in_process(rows(40), max_concurrency=3).error is None
        server.fault = lambda *_: None
        night = nights.run_in_process(rows(40), is_retry=True, max_concurrency=3)
        counts = night.manifest["counts"]
        assert 1 <= counts["ambiguous"] <= 6
        assert sum(counts.values()) == 40
        emails = [values[0] for values in server.all_values()]
        assert len(emails) == len(set(emails))
        for key, outcome in night.outcomes.items():
            if outcome != "ambiguous":
                assert f"{key}@example.com" in emails
        # As a person does: what is in the dashboard is adopted, the rest forgotten.
        found = {values["email"]: key for key, values in server.contacts.items()}
        settled = [{**each, "contact_id": found.get(each["email"], "")} for each in rows(40)]
        held = [key for key, outcome in night.outcomes.items() if outcome == "ambiguous"]
        night = nights.run(settled, forget=[key for key in held if f"{key}@example.com" not in found])
        assert not night.error
        assert len(server.contacts) == 40

    @pytest.mark.parametrize("how", ["kill_before", "kill_after"])
    @pytest.mark.parametrize("endpoint", ["update_contact", "delete_contact", "create_contact"])
    def test_of_changes_are_made_good(self, server, nights, how, endpoint):
        nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100, "on_readdress": "recreate"}
        nights.run([*rows(12, phone=""), row("a", phone="+49 1"), row("b")])
        changed = [
            *rows(8, name="Zoe"),
            row("a", email="new-a@example.com", phone="+49 1"),
            row("b", email="new-b@example.com"),
        ]
        server.fault = first_of(endpoint, how)
        assert nights.run_in_process(changed, max_concurrency=1).error is None
        server.fault = lambda *_: None
        night = nights.run_in_process(changed, is_retry=True, max_concurrency=1)
        held = [key for key, outcome in night.outcomes.items() if outcome == "ambiguous"]
        assert len(held) <= 2
        if endpoint != "create_contact":
            night = nights.run(changed)
            assert not night.error
            held = []
        found = {values["email"]: key for key, values in server.contacts.items()}
        settled = [{**each, "contact_id": found.get(each["email"], "")} for each in changed]
        night = nights.run(settled, forget=held)
        night = nights.run(changed)
        assert not night.error
        wanted = [(each["email"], each["phone_number"], each["first_name"], "Lee") for each in changed]
        assert server.all_values() == sorted(wanted)


class TestState:
    @pytest.fixture
    def state(self, tmp_path):
        return tmp_path / "state"

    def test_two_runs_at_once_send_nothing_twice(self, server, nights, tmp_path):
        server.delay = 0.3
        other = Nights(server, tmp_path)
        other.number = 100
        first = threading.Thread(target=lambda: results.append(nights.run(rows(8), max_concurrency=1)))
        results = []
        first.start()
        while not server.writes:
            time.sleep(0.01)
        night = other.run(rows(8))
        first.join()
        assert "is in use by task sync of DAG contacts, run night-1" in night.error
        assert results[0].counts == {"succeeded": 8}
        assert server.calls["create_contact"] == 8

    @pytest.mark.parametrize("what", ["state-*", "*", "about.json"])
    def test_a_lost_file_is_an_error(self, server, nights, state, what):
        nights.run(rows(3))
        nights.run(rows(4))
        for file in state.glob(what):
            if what != "*" or not file.name.startswith("about"):
                file.unlink()
        night = nights.run(rows(4))
        if what == "about.json":
            assert night.counts == {"unchanged": 4}
        else:
            assert "has lost" in night.error
        assert server.calls["create_contact"] == 4

    @pytest.mark.parametrize(
        "damage", [lambda data: data[:-20], lambda data: b"", lambda data: b"x" + data[1:]]
    )
    def test_a_damaged_state_is_an_error(self, server, nights, state, damage):
        nights.run(rows(3))
        (file,) = state.glob("state-*")
        file.write_bytes(damage(file.read_bytes()))
        assert "damaged" in nights.run(rows(3)).error
        assert server.calls["create_contact"] == 3

    def test_another_group_or_server_needs_a_state_of_its_own(self, server, nights, monkeypatch):
        nights.run(rows(3))
        server.groups["6"] = "Others"
        assert "the state belongs to contact group 5" in nights.run(rows(3), contact_type_id="6").error
        connection = {"conn_type": "cytechbot", "host": f"{server.url}/other", "password": "1-some-key"}
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
        assert "state" in nights.run(rows(3)).error
        assert server.calls["create_contact"] == 3

    def test_it_holds_no_names_and_addresses(self, server, nights, state):
        nights.run([row("C-1", "Annabel", phone="+49 151 2345678")])
        for file in state.iterdir():
            data = file.read_bytes()
            for text in (data, gzip.decompress(data) if file.suffix == ".gz" else b""):
                assert b"example.com" not in text
                assert b"Annabel" not in text
                assert b"2345678" not in text

    def test_a_contact_takes_less_than_60_bytes_beside_its_key(self, server, nights, state):
        nights.run(rows(200))
        (file,) = state.glob("state-*")
        text = gzip.decompress(file.read_bytes())
        assert (len(text) - 500) / 200 < 60 + len("200")


def test_shards_divide_the_rows_and_see_all_of_them(server, nights):
    people = [*rows(30), row("x", email="1@example.com")]
    for mode in ("create", "mirror"):
        outcomes = {}
        for shard in range(3):
            report = nights.folder / f"{mode}-{shard}.csv"
            nights.run(people, shards=3, shard=shard, report_path=str(report), sync_mode=mode)
            with report.open(newline="") as file:
                outcomes |= {line["key"]: line["outcome"] for line in csv.DictReader(file)}
        assert len(outcomes) == 31
        assert [key for key, outcome in outcomes.items() if outcome == "invalid"] != []
        assert outcomes["1"] == outcomes["x"] == "invalid"
        assert server.writes == 29
    # A row without a key stops the deletes of each shard.
    for shard in range(3):
        night = nights.run(
            [*rows(10), row("")],
            shards=3,
            shard=shard,
            sync_mode="mirror",
            max_delete_percent=100,
            report_path=str(nights.folder / f"last-{shard}.csv"),
        )
        assert "delete" not in night.manifest["operations"]
    assert len(server.contacts) == 30


def test_a_source_that_is_cut_short_sends_nothing(server, nights):
    def people():
        yield from rows(2)
        raise OSError("the connection to the warehouse is gone")

    nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100}
    nights.run(rows(3))
    assert "the connection to the warehouse is gone" in nights.run(people()).error
    assert len(server.contacts) == 3
    assert nights.run(rows(3)).counts == {"unchanged": 3}


def test_an_earlier_report_limits_what_is_sent(server, nights):
    foreign = server.add("1@example.com")
    nights.fields |= {"sync_mode": "mirror", "max_delete_percent": 100}
    nights.run(rows(3))
    report = str(nights.folder / "report-1.csv")
    del server.contacts[foreign]
    night = nights.run([row("1"), row("2", "Zoe")], retry_report=report)
    assert night.operations == {"1": "create"}
    assert len(server.contacts) == 3
