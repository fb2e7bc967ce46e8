from __future__ import annotations

import json

import pytest

from airflow_provider_cytechbot.bulk.resource import NO_ENTRY, Change, Settled, StateEntry
from airflow_provider_cytechbot.operators import contact_plan
from airflow_provider_cytechbot.operators.contact_plan import (
    AddressFilter,
    ContactPlan,
    ContactRules,
    decode_payload,
    describe_payload,
)
from airflow_provider_cytechbot.operators.contact_rows import ContactRow
from airflow_provider_cytechbot.operators.contact_state import (
    EMPTY,
    UNKNOWN,
    Contact,
    Step,
    StepKind,
    digests_of,
)

SALT = b"salt"
ANN = ("ann@example.com", "+49 1", "Ann", "Lee")


def make(sync_mode="upsert", **rules):
    return ContactPlan(ContactRules(sync_mode, **rules), SALT)


def known(texts=ANN, step=None, **fields):
    contact = Contact("7", digests_of(texts, SALT))._replace(**fields)
    return StateEntry(contact.encode(), step.encode() if step else None)


def held(texts=ANN, *, is_of_this_run=False, value=None):
    return StateEntry(value, Step(StepKind.CREATE, digests_of(texts[:2], SALT)).encode(), is_of_this_run)


def of_row(entry, texts=ANN, *, contact_id="", is_forgotten=False, sync_mode="upsert", **rules):
    return make(sync_mode, **rules).of_row(ContactRow(texts, contact_id, is_forgotten), entry)


def change(planned):
    """Return operation, fields and payload of a change."""
    assert isinstance(planned, Change), planned
    wanted, how = decode_payload(planned.payload)
    return planned.operation, planned.fields, {**how, "wanted": json.loads(wanted)}


def settled(planned):
    assert isinstance(planned, Settled), planned
    return planned.outcome, planned.reason


class TestNewKeys:
    @pytest.mark.parametrize("sync_mode", contact_plan.SYNC_MODES)
    def test_are_created_in_each_mode(self, sync_mode):
        operation, fields, payload = change(of_row(NO_ENTRY, sync_mode=sync_mode))
        assert (operation, fields) == ("create", "email,phone_number,first_name,last_name")
        assert payload == {"wanted": [*ANN, "", False], "is_held": False}

    @pytest.mark.parametrize(
        "texts", [("", "", "Ann", ""), (None, None, "Ann", None), (None, "", "Ann", "Lee")]
    )
    def test_need_an_address(self, texts):
        assert settled(of_row(NO_ENTRY, texts)) == (
            "invalid",
            "A new contact needs an e-mail address or a phone number.",
        )

    @pytest.mark.parametrize("texts", [("a@x.de", None, None, None), ("", "+49 1", "", None)])
    def test_need_one_address_only(self, texts):
        assert change(of_row(NO_ENTRY, texts))[0] == "create"

    def test_are_not_repeated_and_recorded_before(self):
        planned = of_row(NO_ENTRY)
        assert not planned.is_repeatable
        assert Step.decode(planned.step).digests == digests_of(ANN[:2], SALT)


class TestKnownKeys:
    @pytest.mark.parametrize("sync_mode", contact_plan.SYNC_MODES)
    @pytest.mark.parametrize("texts", [ANN, ("ANN@Example.com", *ANN[1:]), (None, None, None, None)])
    def test_without_a_difference_are_unchanged(self, sync_mode, texts):
        assert settled(of_row(known(), texts, sync_mode=sync_mode)) == ("unchanged", "")

    @pytest.mark.parametrize(
        ("texts", "fields"),
        [
            ((*ANN[:2], "Anna", "Lee"), "first_name"),
            ((*ANN[:2], "ann", "Li"), "first_name,last_name"),
            ((*ANN[:3], "李"), "last_name"),
        ],
    )
    def test_get_new_names(self, texts, fields):
        operation, found, payload = change(of_row(known(), texts))
        assert (operation, found) == ("update", fields)
        assert (payload["id"], payload["wanted"][:4], payload["is_unknown"]) == ("7", list(texts), False)

    @pytest.mark.parametrize("at", [0, 1])
    def test_get_an_address_that_was_empty(self, at):
        before = list(ANN)
        before[at] = ""
        operation, fields, _ = change(of_row(known(tuple(before))))
        assert (operation, fields) == ("update", ["email", "phone_number"][at])

    @pytest.mark.parametrize(
        ("texts", "listed"),
        [
            (("", *ANN[1:]), "email"),
            ((*ANN[:2], "", ""), "first_name and last_name"),
            (("", "", "", ""), "email and phone_number and first_name and last_name"),
        ],
    )
    def test_keep_what_the_row_has_emptied(self, texts, listed):
        assert settled(of_row(known(), texts)) == ("unchanged", f"The API cannot empty {listed}.")

    @pytest.mark.parametrize("texts", [("new@x.de", "+49 2", "Anna", ""), ("", "", "", "")])
    def test_are_left_alone_in_mode_create(self, texts):
        assert settled(of_row(known(), texts, sync_mode="create")) == ("unchanged", "")


class TestAnotherAddress:
    @pytest.mark.parametrize(
        ("texts", "listed"),
        [
            (("new@x.de", *ANN[1:]), "email"),
            ((ANN[0], "+49 2", *ANN[2:]), "phone_number"),
            (("new@x.de", "+49 2", "Anna", ""), "email and phone_number"),
        ],
    )
    def test_is_refused(self, texts, listed):
        outcome, reason = settled(of_row(known(), texts))
        assert outcome == "refused"
        assert reason.startswith(f"The API cannot change {listed} of a contact.")
        assert "on_readdress='recreate'" in reason

    @pytest.mark.parametrize(
        ("before", "after", "deletes_first"),
        [
            (("a@x.de", "1"), ("b@x.de", "1"), True),
            (("a@x.de", "1"), ("a@x.de", "2"), True),
            (("a@x.de", "1"), ("A@x.de", "2"), True),
            (("a@x.de", "1"), ("b@x.de", "2"), False),
            (("a@x.de", ""), ("b@x.de", ""), False),
            (("a@x.de", ""), ("b@x.de", "2"), False),
            (("a@x.de", "1"), ("b@x.de", ""), False),
        ],
    )
    def test_replaces_the_contact(self, before, after, deletes_first):
        planned = of_row(known((*before, "", "")), (*after, "Ann", ""), on_readdress="recreate")
        operation, _, payload = change(planned)
        assert (operation, payload["id"], payload["deletes_first"]) == ("recreate", "7", deletes_first)
        assert not planned.is_repeatable


class TestHeldCreates:
    def test_stay_ambiguous(self):
        outcome, reason = settled(of_row(held()))
        assert outcome == "ambiguous"
        assert "contact_id" in reason
        assert "forget" in reason

    def test_are_sent_again_in_a_later_run_if_wanted(self):
        planned = of_row(held(), ambiguous="retry")
        assert change(planned) == (
            "create",
            "email,phone_number,first_name,last_name",
            {"wanted": [*ANN, "", False], "is_held": True},
        )
        assert planned.is_repeatable

    @pytest.mark.parametrize(
        ("entry", "texts"),
        [
            (held(is_of_this_run=True), ANN),
            (held(("", *ANN[1:])), ("", *ANN[1:])),
            (held(), ("other@example.com", *ANN[1:])),
            (held(("", *ANN[1:])), ANN),
        ],
        ids=["in the same run", "without an e-mail address", "another address", "an address since"],
    )
    def test_are_not_sent_again_where_that_could_double_them(self, entry, texts):
        assert settled(of_row(entry, texts, ambiguous="retry"))[0] == "ambiguous"

    def test_are_created_after_forget(self):
        operation, _, payload = change(of_row(held(), is_forgotten=True))
        assert (operation, payload["is_held"]) == ("create", False)

    def test_forget_leaves_known_contacts_alone(self):
        assert settled(of_row(known(), is_forgotten=True))[0] == "unchanged"

    def test_are_settled_by_adoption(self):
        planned = of_row(held(), contact_id="9")
        assert change(planned)[2]["is_held"]
        assert planned.step == held().step

    def test_of_a_replacement_keep_the_contact_that_is_there(self):
        entry = held(("new@x.de", "", "", ""), value=known().value)
        assert settled(of_row(entry, on_readdress="recreate"))[0] == "ambiguous"
        operation, _, payload = change(of_row(entry, is_forgotten=True))
        assert (operation, payload["value"]) == ("none", known().value.hex())
        assert change(of_row(entry, contact_id="9"))[2]["old"] == "7"


class TestAdoption:
    @pytest.mark.parametrize(
        ("sync_mode", "fields", "updates"),
        [
            ("create", "contact_id", False),
            ("upsert", "contact_id,email,phone_number,first_name,last_name", True),
            ("mirror", "contact_id,email,phone_number,first_name,last_name", True),
        ],
    )
    def test_of_a_contact_that_the_sync_has_not_made(self, sync_mode, fields, updates):
        operation, found, payload = change(of_row(NO_ENTRY, contact_id="9", sync_mode=sync_mode))
        assert (operation, found) == ("update", fields)
        assert (payload["adopt"], payload["updates"], payload["is_held"]) == ("9", updates, False)

    @pytest.mark.parametrize(("contact_id", "reason"), [("7", ""), ("9", "already has another contact")])
    def test_happens_once(self, contact_id, reason):
        outcome, found = settled(of_row(known(), contact_id=contact_id))
        assert outcome == "unchanged"
        assert reason in found


class TestLostCalls:
    @pytest.mark.parametrize("name", ["Ann", "Anna", "Zoe"])
    def test_an_update_is_sent_again_whatever_the_table_holds_now(self, name):
        entry = known(step=Step(StepKind.UPDATE, fields=["first_name"]))
        operation, fields, payload = change(of_row(entry, (*ANN[:2], name, "Lee")))
        assert (operation, fields, payload["is_unknown"]) == ("update", "first_name", True)

    def test_an_address_that_a_lost_update_may_have_set_is_no_other_address(self):
        entry = known(("", *ANN[1:]), Step(StepKind.UPDATE, fields=["email"]))
        assert change(of_row(entry, ("new@x.de", *ANN[1:])))[:2] == ("update", "email")

    @pytest.mark.parametrize(
        "entry", [known(step=Step(StepKind.DELETE)), known(is_being_deleted=True)], ids=["killed", "failed"]
    )
    @pytest.mark.parametrize("sync_mode", contact_plan.SYNC_MODES)
    def test_a_key_that_comes_back_after_a_lost_delete_is_created_again(self, entry, sync_mode):
        operation, _, payload = change(of_row(entry, sync_mode=sync_mode))
        assert (operation, payload["deletes_first"]) == ("recreate", True)

    def test_a_key_that_comes_back_without_an_address_is_invalid(self):
        assert settled(of_row(known(is_being_deleted=True), ("", "", "Ann", "")))[0] == "invalid"

    @pytest.mark.parametrize("sync_mode", contact_plan.SYNC_MODES)
    def test_a_contact_that_was_replaced_is_deleted_by_the_next_run(self, sync_mode):
        operation, _, payload = change(of_row(known(old_id="6"), sync_mode=sync_mode))
        assert operation == "recreate"
        assert Contact.decode(bytes.fromhex(payload["value"])).old_id == "6"

    def test_a_change_also_deletes_a_contact_that_was_replaced(self):
        operation, fields, payload = change(of_row(known(old_id="6"), (*ANN[:3], "Li")))
        assert (operation, fields) == ("update", "last_name")
        assert Contact.decode(bytes.fromhex(payload["value"])).old_id == "6"

    def test_several_calls_of_which_none_was_sent_change_nothing(self):
        assert settled(of_row(known(step=Step(StepKind.SEVERAL))))[0] == "unchanged"


class TestGoneKeys:
    def gone(self, entry, adopted=(), before=(), **rules):
        plan = make("mirror", **rules)
        for texts in before:
            plan.of_row(ContactRow(texts), NO_ENTRY)
        return plan.of_gone("k", entry, adopted)

    def test_are_deleted_after_all_else(self):
        planned = self.gone(known(), before=[("other@x.de", "+49 2", "", "")])
        assert change(planned)[0] == "delete"
        assert planned.phase > of_row(NO_ENTRY).phase

    @pytest.mark.parametrize(
        "texts", [(ANN[0], "", "", ""), ("", ANN[1], "", ""), ("ANN@example.com",) + ("",) * 3]
    )
    def test_are_deleted_first_where_a_row_needs_their_address(self, texts):
        assert self.gone(known(), before=[texts]).phase < of_row(NO_ENTRY).phase

    @pytest.mark.parametrize(
        ("entry", "ids"),
        [
            (known(), ["7"]),
            (known(old_id="6"), ["6", "7"]),
            (known(is_being_deleted=True), ["7"]),
            (known(step=Step(StepKind.DELETE)), ["7"]),
            (known(step=Step(StepKind.UPDATE, fields=["email"])), ["7"]),
        ],
    )
    def test_delete_all_contacts_of_the_key(self, entry, ids):
        assert change(self.gone(entry))[2]["wanted"] == ids

    @pytest.mark.parametrize("value", [None, known().value])
    def test_whose_create_is_held_stay_ambiguous(self, value):
        assert settled(self.gone(held(value=value)))[0] == "ambiguous"

    def test_whose_create_is_held_are_dropped_by_forget(self):
        assert change(self.gone(held(), forget=frozenset({"k"})))[0] == "none"
        assert change(self.gone(held(value=known().value), forget=frozenset({"k"})))[0] == "delete"

    def test_of_a_contact_that_another_row_adopts_are_dropped(self):
        assert change(self.gone(known(), {"7"}))[0] == "none"
        assert change(self.gone(known(), {"8"}))[0] == "delete"

    def test_without_a_contact_need_nothing(self):
        assert self.gone(StateEntry(None, Step(StepKind.SEVERAL).encode())) is None


def test_an_address_that_another_row_gives_up_is_released():
    plan = make(on_readdress="recreate")
    plan.of_row(ContactRow(("new@x.de", "", "", "")), known())
    assert plan.is_released(ContactRow((ANN[0], "", "", "")))
    assert plan.is_released(ContactRow(("", ANN[1], "", "")))
    assert not plan.is_released(ContactRow(("new@x.de", "", "Ann", "Lee")))


def test_payloads_of_two_states_describe_the_same():
    texts = (*ANN[:2], "Anna", "Lee")
    one = of_row(known(), texts)
    other = ContactPlan(ContactRules("upsert"), b"other").of_row(
        ContactRow(texts), StateEntry(Contact("7", digests_of(ANN, b"other")).encode())
    )
    assert one.payload != other.payload
    assert describe_payload(one.payload) == describe_payload(other.payload)
    assert describe_payload(one.payload) != describe_payload(of_row(known(), (*ANN[:3], "Li")).payload)


@pytest.mark.parametrize(
    "planned",
    [
        of_row(NO_ENTRY),
        of_row(NO_ENTRY, contact_id="9"),
        of_row(known(), (*ANN[:3], "Li")),
        of_row(known(), ("new@x.de", *ANN[1:]), on_readdress="recreate"),
        of_row(known(old_id="6")),
        of_row(held(value=known().value), is_forgotten=True),
    ],
)
def test_a_row_and_its_call_describe_the_same(planned):
    row = ContactRow.decode(describe_payload(planned.payload))
    assert describe_payload(planned.payload) == describe_payload(row.encode()) == row.encode()


def test_the_filter_of_addresses_finds_all_and_few_others():
    some = digests_of(ANN, SALT)
    addresses = AddressFilter()
    assert some[0] not in addresses
    addresses.add([*some, EMPTY, UNKNOWN])
    assert all(each in addresses for each in some)
    assert EMPTY not in addresses
    assert UNKNOWN not in addresses
    others = [digests_of((str(number), "", "", ""), SALT)[0] for number in range(2_000)]
    addresses.add(others[:1_000])
    assert all(each in addresses for each in others[:1_000])
    assert sum(each in addresses for each in others[1_000:]) < 10
