from __future__ import annotations

import asyncio
import json

import pytest

from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.api.records import WriteOutcome
from airflow_provider_cytechbot.operators.contact_calls import ContactCalls, ContactGroupMissingError
from airflow_provider_cytechbot.operators.contact_state import (
    FIELDS,
    UNKNOWN,
    Contact,
    Step,
    StepKind,
    digests_of,
)

SALT = b"salt"
ANN = ["ann@example.com", "+49 1", "Ann", "Lee"]
NOBODY = CyTechBotNotFoundError("the API refused: 'The contact ID does not exist'.")
TAKEN = CyTechBotRequestError("the API refused: 'Please try with different email address'.")


class Server:
    """An asynchronous hook with contacts in a dict. Lost calls act and raise, failing ones raise."""

    def __init__(self):
        self.contacts = {}
        self.calls = []
        self.lost = []
        self.failing = []
        self.group = {"deleted": "0"}
        self.refuses_own_email = False

    def add(self, contact_id, texts, group="5", deleted="0"):
        fields = dict(zip(FIELDS, texts, strict=True))
        self.contacts[contact_id] = {**fields, "id": contact_id, "contact_type_id": group, "deleted": deleted}

    async def call(self, endpoint, *, max_retries=None, **fields):
        assert max_retries == 0  # the engine repeats calls
        call = build(endpoint, **fields)
        self.calls.append(endpoint.name)
        if endpoint.name in self.failing:
            self.failing.remove(endpoint.name)
            raise CyTechBotTransportError("not reached.", was_sent=False)
        answer = getattr(self, endpoint.name)(dict(call.fields))
        if endpoint.name in self.lost:
            self.lost.remove(endpoint.name)
            raise call.as_unanswered(CyTechBotTransportError("the response was lost."))
        return answer

    def get_contact_group(self, fields):
        if self.group is None:
            raise NOBODY
        return self.group

    def get_contact(self, fields):
        if fields["contact_id"] not in self.contacts:
            raise NOBODY
        return self.contacts[fields["contact_id"]]

    def create_contact(self, fields):
        if self.group is None:
            raise NOBODY
        self._refuse_taken(fields)
        contact_id = str(100 + len(self.calls))
        self.add(contact_id, [fields.get(field, "") for field in FIELDS], fields["contact_type_id"])
        return contact_id

    def update_contact(self, fields):
        contact = self.get_contact(fields)
        self._refuse_taken(fields, None if self.refuses_own_email else contact["id"])
        before = dict(contact)
        contact.update({name: text for name, text in fields.items() if name in FIELDS})
        return WriteOutcome(contact != before, None if contact != before else "Nothing changed")

    def delete_contact(self, fields):
        self.get_contact(fields)
        del self.contacts[fields["contact_id"]]
        return WriteOutcome(True, None)

    def _refuse_taken(self, fields, own=None):
        for contact in self.contacts.values():
            taken = any(contact[each] and contact[each] == fields.get(each) for each in FIELDS[:2])
            if taken and contact["id"] != own:
                raise TAKEN


class Recorded:
    """Steps as the engine records them, with what the server had when a step became durable."""

    def __init__(self, server):
        self.server = server
        self.value = "none saved"
        self.durable = "none saved"
        self.kinds = []

    async def begin(self, step):
        self.durable = self.value
        self.kinds.append((Step.decode(step).kind, [*self.server.contacts]))

    def save(self, value):
        self.value = value

    @property
    def contact(self):
        return Contact.decode(self.value)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def steps(server):
    return Recorded(server)


@pytest.fixture
def make():
    def make(on_missing="report", is_released=False):
        return ContactCalls("5", SALT, on_missing, lambda texts: is_released)

    return make


def value_of(contact):
    return contact.encode().hex()


def known(texts=ANN, **fields):
    return Contact("7", digests_of(texts, SALT))._replace(**fields)


def run(call):
    return asyncio.run(call)


class TestCreate:
    def create(self, server, calls, texts=ANN, is_held=False):
        return run(calls.create(server, {"wanted": json.dumps([*texts, "", False]), "is_held": is_held}))

    def test_returns_id_and_state(self, server, make):
        written = self.create(server, make())
        assert server.contacts[written.id]["email"] == ANN[0]
        assert Contact.decode(written.value) == Contact(written.id, digests_of(ANN, SALT))

    def test_empty_fields_are_not_sent(self, server, make):
        written = self.create(server, make(), ["", "+49 1", None, ""])
        assert server.contacts[written.id]["phone_number"] == "+49 1"

    def test_an_address_of_somebody_else_is_refused(self, server, make):
        server.add("1", ANN)
        with pytest.raises(CyTechBotRequestError, match="different email address") as raised:
            self.create(server, make())
        assert "only one contact without" not in raised.value.reason

    @pytest.mark.parametrize(
        ("texts", "words", "field"),
        [
            (["", "+49 1", "", ""], "Please try with different email address", "email"),
            (["a@x.de", "", "", ""], "Please try with different phone_number", "phone_number"),
        ],
    )
    def test_a_refusal_of_a_field_that_is_not_sent_is_explained(
        self, server, make, monkeypatch, texts, words, field
    ):
        def refuse(fields):
            raise CyTechBotRequestError(f"the API refused: '{words}'.")

        server.create_contact = refuse
        with pytest.raises(CyTechBotRequestError, match=f"no {field}, and the server takes only one contact"):
            self.create(server, make(), texts)

    @pytest.mark.parametrize("group", [None, {"deleted": "1"}])
    def test_a_group_that_does_not_exist_concerns_every_row(self, server, make, group):
        server.group = group

        def refuse(fields):
            raise CyTechBotNotFoundError("the API refused: 'The contact ID does not exist'.")

        server.create_contact = refuse
        with pytest.raises(ContactGroupMissingError, match="group 5 does not exist") as raised:
            self.create(server, make())
        assert raised.value.concerns_every_row

    def test_another_refusal_in_the_words_of_a_missing_group_is_the_rows_own(self, server, make):
        def refuse(fields):
            raise CyTechBotNotFoundError("the API refused: 'does not exist'.")

        server.create_contact = refuse
        with pytest.raises(CyTechBotNotFoundError) as raised:
            self.create(server, make())
        assert not raised.value.concerns_every_row

    def test_a_held_create_that_is_refused_stays_ambiguous(self, server, make):
        server.add("1", ANN)
        with pytest.raises(CyTechBotAmbiguousWriteError, match=r"different email address.*look for"):
            self.create(server, make(), is_held=True)

    def test_a_held_create_that_did_not_happen_is_made(self, server, make):
        assert self.create(server, make(), is_held=True).id in server.contacts


class TestUpdate:
    def update(self, server, calls, steps, texts, contact=None, fields=("first_name",), is_unknown=False):
        contact = contact or known()
        payload = {
            "id": "7",
            "wanted": json.dumps([*texts, "", False]),
            "fields": list(fields),
            "is_unknown": is_unknown,
            "value": value_of(contact),
        }
        return run(calls.update(server, "k", payload, steps))

    def test_sends_what_differs_alone(self, server, make, steps):
        server.add("7", [*ANN[:3], "changed in the dashboard"])
        written = self.update(server, make(), steps, [*ANN[:2], "Anna", "Lee"])
        assert server.contacts["7"]["first_name"] == "Anna"
        assert server.contacts["7"]["last_name"] == "changed in the dashboard"
        assert Contact.decode(written.value).digests == digests_of([*ANN[:2], "Anna", "Lee"], SALT)
        assert server.calls == ["update_contact"]

    def test_that_changes_nothing_is_unchanged(self, server, make, steps):
        server.add("7", [*ANN[:2], "Anna", "Lee"])
        written = self.update(server, make(), steps, [*ANN[:2], "Anna", "Lee"])
        assert (written.is_changed, written.reason) == (False, "Nothing changed")

    def test_whose_response_was_lost_is_checked_when_repeated(self, server, make, steps):
        server.add("7", ["", *ANN[1:]])
        server.refuses_own_email = True
        server.lost = ["update_contact"]
        calls, fields = make(), ["email"]
        with pytest.raises(CyTechBotTransportError):
            self.update(server, calls, steps, ANN, known(["", *ANN[1:]]), fields)
        written = self.update(server, calls, steps, ANN, known(["", *ANN[1:]]), fields)
        assert server.contacts["7"]["email"] == ANN[0]
        assert Contact.decode(written.value) == known()
        assert server.calls == ["update_contact", "get_contact"]

    @pytest.mark.parametrize("name", ["Ann", "Anna", "Zoe"])
    def test_after_a_lost_one_the_contact_is_read_first(self, server, make, steps, name):
        server.add("7", [*ANN[:2], "Anna", "Lee"])
        digests = list(known().digests)
        digests[2] = UNKNOWN
        written = self.update(
            server, make(), steps, [*ANN[:2], name, "Lee"], known(digests=tuple(digests)), is_unknown=True
        )
        assert server.contacts["7"]["first_name"] == name
        assert server.calls == ["get_contact", *(["update_contact"] if name != "Anna" else [])]
        assert Contact.decode(written.value) == known([*ANN[:2], name, "Lee"])

    def test_after_a_lost_one_another_address_is_found_and_stored(self, server, make, steps):
        server.add("7", ANN)
        contact = known(digests=(UNKNOWN, *known().digests[1:]))
        with pytest.raises(CyTechBotRequestError, match="has another email"):
            self.update(server, make(), steps, ["new@x.de", *ANN[1:]], contact, ["email"], is_unknown=True)
        assert steps.contact == known()
        assert server.calls == ["get_contact"]

    @pytest.mark.parametrize("is_unknown", [False, True])
    def test_of_a_contact_that_was_deleted_elsewhere_is_reported(self, server, make, steps, is_unknown):
        with pytest.raises(CyTechBotNotFoundError, match=r"Contact 7 does not exist any more.*on_missing"):
            self.update(server, make(), steps, ANN, is_unknown=is_unknown)
        assert server.contacts == {}
        assert steps.value == "none saved"

    @pytest.mark.parametrize("is_unknown", [False, True])
    def test_of_a_contact_that_was_deleted_elsewhere_creates_it_again(self, server, make, steps, is_unknown):
        if is_unknown:
            server.add("7", ANN, deleted="1")
            server.contacts["7"]["email"] = server.contacts["7"]["phone_number"] = ""
        written = self.update(server, make("recreate"), steps, ANN, is_unknown=is_unknown)
        assert server.contacts[written.id]["email"] == ANN[0]
        assert Contact.decode(written.value).id == written.id != "7"
        assert steps.kinds[0][0] is StepKind.CREATE
        assert steps.durable is None

    def test_without_an_address_a_missing_contact_is_reported(self, server, make, steps):
        with pytest.raises(CyTechBotNotFoundError):
            self.update(server, make("recreate"), steps, ["", "", "Anna", ""])

    def test_first_deletes_the_contact_that_was_replaced(self, server, make, steps):
        server.add("6", ["old@x.de", "", "", ""])
        server.add("7", ANN)
        written = self.update(server, make(), steps, [*ANN[:2], "Anna", "Lee"], known(old_id="6"))
        assert list(server.contacts) == ["7"]
        assert Contact.decode(written.value) == known([*ANN[:2], "Anna", "Lee"])
        assert [kind for kind, _ in steps.kinds] == [StepKind.SEVERAL, StepKind.UPDATE]


class TestRecreate:
    NEW = ("new@x.de", "+49 1", "Ann", "Lee")

    def recreate(self, server, calls, steps, *, deletes_first, contact=None, is_held=False, row=NEW):
        payload = {
            "id": "7",
            "wanted": json.dumps([*row, "", False]),
            "deletes_first": deletes_first,
            "is_held": is_held,
            "value": value_of(contact or known()),
        }
        return run(calls.recreate(server, "k", payload, steps))

    def test_deletes_first_where_both_have_an_address(self, server, make, steps):
        server.add("7", ANN)
        written = self.recreate(server, make(), steps, deletes_first=True)
        assert list(server.contacts) == [written.id] != ["7"]
        assert Contact.decode(written.value) == Contact(written.id, digests_of(self.NEW, SALT))
        assert steps.kinds == [(StepKind.DELETE, ["7"]), (StepKind.CREATE, [])]

    def test_creates_first_otherwise(self, server, make, steps):
        server.add("7", ANN)
        row = ["new@x.de", "+49 2", "Ann", "Lee"]
        written = self.recreate(server, make(), steps, deletes_first=False, row=row)
        assert list(server.contacts) == [written.id]
        assert Contact.decode(written.value) == Contact(written.id, digests_of(row, SALT))
        assert steps.kinds == [(StepKind.CREATE, ["7"]), (StepKind.SEVERAL, ["7", written.id])]

    def test_deletes_first_where_another_row_gives_up_the_address(self, server, make, steps):
        server.add("7", ANN)
        self.recreate(server, make(is_released=True), steps, deletes_first=False)
        assert [kind for kind, _ in steps.kinds] == [StepKind.DELETE, StepKind.CREATE]

    def test_that_fails_between_leaves_what_is_missing(self, server, make, steps):
        server.add("7", ANN)
        server.failing = ["create_contact"]
        with pytest.raises(CyTechBotTransportError):
            self.recreate(server, make(), steps, deletes_first=True)
        assert steps.value is None
        assert server.contacts == {}

    def test_whose_delete_fails_remembers_that_it_may_have_happened(self, server, make, steps):
        server.add("7", ANN)
        server.lost = ["delete_contact"]
        with pytest.raises(CyTechBotTransportError):
            self.recreate(server, make(), steps, deletes_first=True)
        assert steps.contact.is_being_deleted
        assert steps.contact.id == "7"

    def test_that_cannot_delete_the_old_contact_keeps_both(self, server, make, steps):
        server.add("7", ANN)
        server.failing = ["delete_contact", "delete_contact"]
        calls, row = make(), ["new@x.de", "+49 2", "Ann", "Lee"]
        for _ in range(2):
            with pytest.raises(CyTechBotTransportError):
                self.recreate(server, calls, steps, deletes_first=False, row=row)
        assert server.calls.count("create_contact") == 1
        assert steps.contact.old_id == "7"
        written = self.recreate(server, calls, steps, deletes_first=False, row=row)
        assert server.calls.count("create_contact") == 1
        assert list(server.contacts) == [written.id]

    def test_that_is_left_over_deletes_alone(self, server, make, steps):
        server.add("6", ["old@x.de", "", "", ""])
        server.add("7", ANN)
        payload = {"id": "7", "wanted": json.dumps([*ANN, "", False]), "value": value_of(known(old_id="6"))}
        written = run(make().recreate(server, "k", payload, steps))
        assert server.calls == ["delete_contact"]
        assert list(server.contacts) == ["7"]
        assert Contact.decode(written.value) == known()

    def test_of_a_contact_that_is_gone_already(self, server, make, steps):
        written = self.recreate(server, make(), steps, deletes_first=True)
        assert list(server.contacts) == [written.id]

    def test_that_is_held_records_no_other_step_before_its_create(self, server, make, steps):
        server.add("7", ANN)
        row = ["new@x.de", "+49 2", "Ann", "Lee"]
        self.recreate(server, make(is_released=True), steps, deletes_first=False, is_held=True, row=row)
        assert [kind for kind, _ in steps.kinds] == [StepKind.SEVERAL]


class TestAdopt:
    def adopt(self, server, calls, steps, row=ANN, *, updates=True, is_held=False, old=""):
        payload = {
            "adopt": "9",
            "wanted": json.dumps([*row, "", False]),
            "updates": updates,
            "is_held": is_held,
            "old": old,
        }
        return run(calls.adopt(server, payload, steps))

    @pytest.mark.parametrize("group", ["5", "4,5", "4, 5"])
    def test_takes_over_a_contact_and_updates_it(self, server, make, steps, group):
        server.add("9", ["ANN@example.com", "", "", "Li"], group)
        written = self.adopt(server, make(), steps)
        assert [server.contacts["9"][field] for field in FIELDS] == ["ANN@example.com", *ANN[1:]]
        assert Contact.decode(written.value) == Contact("9", digests_of(ANN, SALT), is_adopted=True)

    def test_changes_nothing_in_mode_create(self, server, make, steps):
        server.add("9", ["ann@example.com", "", "", "Li"])
        written = self.adopt(server, make(), steps, updates=False)
        assert server.calls == ["get_contact"]
        assert Contact.decode(written.value).digests == digests_of(["ann@example.com", "", "", "Li"], SALT)

    @pytest.mark.parametrize(
        ("texts", "fields", "reason"),
        [
            (ANN, {"group": "6"}, "is in another contact group"),
            (ANN, {"group": "55"}, "is in another contact group"),
            (["bob@example.com", *ANN[1:]], {}, "has another email"),
            ([ANN[0], "+49 2", "", ""], {}, "has another phone_number"),
            (["", "", "Ann", "Lee"], {}, "has no address in common"),
            (ANN, {"deleted": "1"}, "does not exist"),
            (None, {}, "does not exist"),
        ],
    )
    def test_refuses_another_contact(self, server, make, steps, texts, fields, reason):
        if texts:
            server.add("9", texts, **fields)
        before = json.dumps(server.contacts)
        with pytest.raises(CyTechBotRequestError, match=f"Contact 9 {reason}"):
            self.adopt(server, make(), steps)
        with pytest.raises(CyTechBotAmbiguousWriteError, match=f"Contact 9 {reason}"):
            self.adopt(server, make(), steps, is_held=True)
        assert json.dumps(server.contacts) == before

    def test_deletes_the_contact_that_it_replaces(self, server, make, steps):
        server.add("7", ["old@x.de", "", "", ""])
        server.add("9", ANN)
        written = self.adopt(server, make(), steps, is_held=True, old="7")
        assert list(server.contacts) == ["9"]
        assert Contact.decode(written.value) == Contact("9", digests_of(ANN, SALT), is_adopted=True)


class TestDelete:
    def delete(self, server, calls, ids=("7",)):
        return run(calls.delete(server, "k", {"wanted": json.dumps(ids)}))

    def test_removes_contact_and_state(self, server, make):
        server.add("7", ANN)
        written = self.delete(server, make())
        assert (written.is_changed, written.id, written.value, server.contacts) == (True, "7", None, {})

    def test_of_nothing_is_unchanged(self, server, make):
        written = self.delete(server, make())
        assert (written.is_changed, written.reason, written.value) == (False, "It was deleted already.", None)

    def test_whose_response_was_lost_has_succeeded_when_repeated(self, server, make):
        server.add("7", ANN)
        server.lost = ["delete_contact"]
        calls = make()
        with pytest.raises(CyTechBotTransportError):
            self.delete(server, calls)
        assert self.delete(server, calls).is_changed

    def test_removes_the_contact_that_was_replaced(self, server, make):
        server.add("6", ["old@x.de", "", "", ""])
        server.add("7", ANN)
        assert self.delete(server, make(), ["6", "7"]).is_changed
        assert server.contacts == {}
