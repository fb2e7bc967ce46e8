from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotFieldError,
    CyTechBotRequestError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.bulk.resource import (
    NO_ENTRY,
    Change,
    InvalidRowError,
    PlanFigures,
    PlannedCall,
    StateEntry,
    Written,
)
from airflow_provider_cytechbot.operators.contact_options import ContactGroupChoice, PlanGuards
from airflow_provider_cytechbot.operators.contact_plan import ContactRules, encode_payload
from airflow_provider_cytechbot.operators.contact_rows import ContactRow
from airflow_provider_cytechbot.operators.contact_state import Contact, digests_of
from airflow_provider_cytechbot.operators.contact_sync import ContactSync

ANN = ("ann@example.com", "+49 1", "Ann", "Lee")
BY_ID = ContactGroupChoice("5")
NO_LIMITS = PlanGuards()


class State:
    """What the state remembers, from run to run."""

    is_durable = True
    salt = b"salt"

    def __init__(self):
        self.header = {}
        self.run = "run 1"

    def remember(self, name, value):
        self.header[name] = value

    def entry(self, key):
        return NO_ENTRY


@pytest.fixture
def state():
    return State()


@pytest.fixture
def make(state):
    def make(group=BY_ID, *, guards=NO_LIMITS, on_missing="report", key="customer", **rules):
        rules.setdefault("sync_mode", "upsert")
        sync = ContactSync(ContactRules(**rules), guards, group, key=key, on_missing=on_missing)
        sync.open_state(state)
        return sync

    return make


def figures(state_keys=100, digest="d", unreadable_keys=0, **operations):
    return PlanFigures(operations, 100, unreadable_keys, state_keys, digest, False)


class TestRows:
    def test_a_row_is_planned_under_its_key(self, make):
        write = make().plan({"customer": 17, "email": "Ann@Example.com", "first_name": "Ann"})
        assert write.key == "17"
        assert json.loads(write.payload)[:4] == ["Ann@Example.com", None, "Ann", None]

    @pytest.mark.parametrize(
        ("one", "other", "is_same"),
        [
            ({"email": "a@x.de"}, {"email": "A@X.de"}, True),
            ({"phone_number": "1"}, {"phone_number": "1"}, True),
            ({"email": "a@x.de", "phone_number": "1"}, {"email": "b@x.de", "phone_number": "1"}, True),
            ({"email": "a@x.de", "contact_id": "7"}, {"email": "b@x.de", "contact_id": 7}, True),
            ({"email": "a@x.de"}, {"email": "b@x.de"}, False),
            ({"email": "1"}, {"phone_number": "1"}, False),
            ({"email": "a@x.de", "phone_number": ""}, {"email": "b@x.de", "phone_number": None}, False),
            ({"email": "a@x.de", "first_name": "A"}, {"email": "b@x.de", "first_name": "A"}, False),
        ],
    )
    def test_addresses_and_ids_must_be_unique(self, make, one, other, is_same):
        sync = make()
        shared = set(sync.plan({"customer": "1", **one}).unique) & set(
            sync.plan({"customer": "2", **other}).unique
        )
        assert bool(shared) == is_same

    def test_values_are_not_in_what_must_be_unique(self, make):
        write = make().plan({"customer": "1", "email": "ann@example.com", "phone_number": "+49 1"})
        assert "ann@example.com" not in str(write.unique)

    def test_a_doubled_key_is_invalid(self, make):
        with pytest.raises(InvalidRowError, match="more than one row"):
            make().merge("[]", "[]")

    @pytest.mark.parametrize("values", [{}, {"customer": ""}, {"customer": 1.5}, {"customer": "1.0"}])
    def test_a_row_without_a_readable_key_shows_none(self, make, values):
        with pytest.raises(InvalidRowError) as raised:
            make().plan(values)
        assert raised.value.key is None

    def test_an_invalid_row_shows_its_key(self, make):
        with pytest.raises(InvalidRowError) as raised:
            make().plan({"customer": 17, "phone_number": 4915})
        assert raised.value.key == "17"

    @pytest.mark.parametrize(
        ("key", "fields"),
        [
            ("customer", ("customer", "email", "phone_number", "first_name", "last_name", "contact_id")),
            ("email", ("email", "phone_number", "first_name", "last_name", "contact_id")),
        ],
    )
    def test_the_key_may_be_a_field(self, make, key, fields):
        sync = make(key=key)
        assert sync.fields == fields
        if key == "email":
            assert sync.plan({"email": "Ann@example.com"}).key == "Ann@example.com"

    def test_forget_is_part_of_the_row(self, make):
        sync, other = make(forget=frozenset({"1"})), make()
        values = {"customer": "1", "email": "a@x.de"}
        assert sync.describe(sync.plan(values).payload) != other.describe(other.plan(values).payload)

    def test_a_key_that_is_gone_does_not_delete_what_another_row_adopts(self, make):
        sync = make(sync_mode="mirror")
        sync.compare(sync.plan({"customer": "2", "email": ANN[0], "contact_id": "7"}), NO_ENTRY)
        gone = StateEntry(Contact("7", digests_of(ANN, b"salt")).encode())
        assert sync.gone("1", gone).operation == "none"
        assert sync.gone("1", StateEntry(gone.value.replace(b"7", b"8"))).operation == "delete"

    @pytest.mark.parametrize(("sync_mode", "finds"), [("create", False), ("upsert", False), ("mirror", True)])
    def test_only_a_mirror_finds_gone_keys(self, make, sync_mode, finds):
        assert make(sync_mode=sync_mode).finds_gone_keys is finds


class TestGuards:
    @pytest.mark.parametrize(
        ("guards", "planned"),
        [
            (PlanGuards(), {"create": 1_000, "delete": 10}),
            (PlanGuards(), {"create": 5, "state_keys": 0}),
            (PlanGuards(max_creates=5, max_deletes=5), {"create": 5, "delete": 5}),
            (PlanGuards(max_creates=0, max_deletes=0), {"update": 50}),
            (PlanGuards(max_creates=55, max_deletes=60), {"create": 5, "delete": 10, "recreate": 50}),
            (PlanGuards(), {"recreate": 100}),
            (PlanGuards(max_deletes=0, max_delete_percent=0), {"state_keys": 0}),
            (PlanGuards(max_delete_percent=None), {"delete": 100}),
            (PlanGuards(max_delete_percent=33.5), {"delete": 67, "state_keys": 200}),
        ],
    )
    def test_let_a_plan_through(self, make, guards, planned):
        make(guards=guards).check(figures(**planned), plan_only=False)

    @pytest.mark.parametrize(
        ("guards", "planned", "words"),
        [
            (
                PlanGuards(max_creates=5),
                {"create": 6},
                "'max_creates' is 5, but 6 contacts.*max_creates to 6",
            ),
            (PlanGuards(max_creates=0), {"create": 1}, "max_creates to 1 or more"),
            (PlanGuards(max_creates=5), {"create": 3, "recreate": 3}, "6 contacts would be created"),
            (PlanGuards(max_deletes=5), {"delete": 3, "recreate": 3}, "6 contacts would be deleted"),
            (
                PlanGuards(max_deletes=5, max_delete_percent=None),
                {"delete": 6},
                "'max_deletes' is 5, but 6.*max_deletes to 6",
            ),
            (PlanGuards(), {"delete": 11}, "is 10, but 11 of 100 contacts.*max_delete_percent to 11"),
            (PlanGuards(), {"delete": 1, "state_keys": 3}, "1 of 3 contacts.*max_delete_percent to 34"),
            (PlanGuards(), {"delete": 2_001, "state_keys": 20_000}, "max_delete_percent to 11"),
            (PlanGuards(max_delete_percent=0), {"delete": 1}, "max_delete_percent to 1"),
            (PlanGuards(max_delete_percent=50), {"delete": 1, "state_keys": 0}, "1 of 0 contacts"),
        ],
    )
    def test_fail_before_anything_is_sent(self, make, guards, planned, words):
        with pytest.raises(CyTechBotFieldError, match=words):
            make(guards=guards).check(figures(**planned), plan_only=False)

    def test_are_logged_alone_with_plan_only(self, make, caplog):
        make(guards=PlanGuards(max_creates=5)).check(figures(create=6), plan_only=True)
        assert "this plan would be refused: max_creates is 5" in caplog.text

    def test_an_empty_source_of_a_mirror_fails(self, make):
        sync = make(sync_mode="mirror", guards=PlanGuards(max_delete_percent=None))
        with pytest.raises(CyTechBotFieldError, match="the source is empty, but the state has 3"):
            sync.check(figures(state_keys=3, delete=3), plan_only=False)

    @pytest.mark.parametrize(("sync_mode", "state_keys"), [("mirror", 0), ("upsert", 3), ("create", 3)])
    def test_an_empty_source_is_no_failure_otherwise(self, make, sync_mode, state_keys):
        make(sync_mode=sync_mode).check(figures(state_keys=state_keys), plan_only=False)

    def test_rows_without_a_key_are_logged(self, make, caplog):
        make(sync_mode="mirror").check(figures(state_keys=0, unreadable_keys=2), plan_only=False)
        assert "2 rows have no readable key: no contact is deleted" in caplog.text


class TestPlanDigest:
    def test_another_plan_is_refused(self, make, state):
        with pytest.raises(
            CyTechBotFieldError, match=r"'expected_plan_digest' is the digest of another.*again"
        ):
            make(guards=PlanGuards(expected_plan_digest="e")).check(figures(), plan_only=False)
        assert state.header == {}

    def test_the_accepted_one_holds_for_the_retry_of_the_run(self, make, state):
        guards = PlanGuards(expected_plan_digest="d")
        make(guards=guards).check(figures(digest="d"), plan_only=False)
        make(guards=guards).check(figures(digest="what is left"), plan_only=False)
        state.run = "run 2"
        with pytest.raises(CyTechBotFieldError):
            make(guards=guards).check(figures(digest="another"), plan_only=False)

    def test_is_not_accepted_where_a_guard_trips(self, make, state):
        with pytest.raises(CyTechBotFieldError):
            make(guards=PlanGuards(0, expected_plan_digest="d")).check(figures(create=1), plan_only=False)
        assert state.header == {}

    def test_is_not_accepted_with_plan_only(self, make, state, caplog):
        for digest in ("d", "e"):
            make(guards=PlanGuards(expected_plan_digest=digest)).check(figures(), plan_only=True)
        assert state.header == {}
        assert "expected_plan_digest is the digest of another plan" in caplog.text


class TestGroup:
    @pytest.fixture
    def created(self):
        return []

    @pytest.fixture
    def by_name(self, created):
        def create(name):
            created.append(name)
            return "276"

        return ContactGroupChoice(name="Customers", create=create)

    def run(self, sync, plan_only=False, **operations):
        sync.check(figures(**operations), plan_only=plan_only)
        sync.prepare(plan_only=plan_only)

    def test_an_id_is_remembered(self, make, state):
        self.run(make())
        assert state.header == {"contact_type_id": "5"}

    def test_a_state_belongs_to_one_group(self, make, state):
        self.run(make())
        with pytest.raises(CyTechBotFieldError, match="is 6, but the state belongs to contact group 5"):
            make(ContactGroupChoice("6"))

    def test_a_name_is_created_once(self, make, state, by_name, created):
        self.run(make(by_name), create=1)
        self.run(make(by_name), create=1)
        self.run(make(ContactGroupChoice(name="Customers")), create=1)
        assert created == ["Customers"]
        assert state.header["contact_type_id"] == "276"

    @pytest.mark.parametrize("arguments", [{"plan_only": True, "create": 1}, {"create": 0}])
    def test_nothing_is_created_where_no_contact_is(self, make, state, by_name, created, arguments):
        self.run(make(by_name), **arguments)
        assert created == []
        assert state.header == {}

    def test_another_name_is_another_group(self, make, by_name):
        self.run(make(by_name), create=1)
        with pytest.raises(
            CyTechBotFieldError, match="is 'Leads', but the state belongs to contact group 'Cust"
        ):
            make(ContactGroupChoice(name="Leads"))

    def test_a_name_alone_finds_no_group(self, make):
        with pytest.raises(CyTechBotFieldError, match="create_group=True"):
            make(ContactGroupChoice(name="Customers"))

    def test_a_lost_create_is_held_until_the_id_is_given(self, make, state, created):
        def create(name):
            created.append(name)
            raise CyTechBotAmbiguousWriteError("the response was lost.")

        by_name = ContactGroupChoice(name="Customers", create=create)
        with pytest.raises(
            CyTechBotRequestError, match=r"'contact_type_id' is needed.*may have been created"
        ):
            self.run(make(by_name), create=1)
        with pytest.raises(
            CyTechBotRequestError, match=r"'contact_type_id' is needed.*may have been created"
        ):
            make(by_name)
        assert created == ["Customers"]
        self.run(make(ContactGroupChoice("276")), create=1)
        self.run(make(by_name), create=1)
        assert created == ["Customers"]

    def test_a_kill_while_the_group_is_created_is_held_too(self, make, state):
        def create(name):
            raise KeyboardInterrupt

        by_name = ContactGroupChoice(name="Customers", create=create)
        with pytest.raises(KeyboardInterrupt):
            self.run(make(by_name), create=1)
        with pytest.raises(CyTechBotRequestError, match="may have been created"):
            make(by_name)

    def test_a_create_that_did_not_happen_is_sent_by_the_next_run(self, make, created):
        def create(name):
            created.append(name)
            if len(created) == 1:
                raise CyTechBotTransportError("not reached.", was_sent=False)
            return "276"

        by_name = ContactGroupChoice(name="Customers", create=create)
        with pytest.raises(CyTechBotError, match="not reached"):
            self.run(make(by_name), create=1)
        self.run(make(by_name), create=1)
        assert created == ["Customers", "Customers"]


class TestCalls:
    @pytest.mark.parametrize(
        ("operation", "payload", "name"),
        [
            ("update", {"adopt": "9"}, "adopt"),
            ("create", {}, "create"),
            ("recreate", {}, "recreate"),
            ("update", {}, "update"),
            ("delete", {}, "delete"),
        ],
    )
    def test_go_where_they_belong(self, make, operation, payload, name):
        async def done(*_):
            return Written(id=name)

        sync = make()
        sync._calls = SimpleNamespace(**{name: done})
        call = PlannedCall(1, "k", operation, encode_payload("[]", payload), 1)
        with pytest.raises(StopIteration) as stopped:
            sync.write(None, call, None).send(None)
        assert stopped.value.value.id == name

    def test_forget_sends_nothing(self, make):
        sync = make()
        sync.prepare(plan_only=False)
        with pytest.raises(StopIteration) as stopped:
            sync.write(
                None, PlannedCall(1, "k", "none", encode_payload("[]", {"forget": True}), 1), None
            ).send(None)
        assert stopped.value.value == Written(value=None)


def test_a_change_is_described_without_the_salt(make, state):
    values = {"customer": "1", "email": ANN[0], "first_name": "Anna"}
    found = set()
    for salt in (b"salt", b"other"):
        state.salt = salt
        sync = make()
        change = sync.compare(
            sync.plan(values), StateEntry(Contact("7", digests_of((ANN[0], "", "Ann", ""), salt)).encode())
        )
        assert isinstance(change, Change)
        found.add(sync.describe(change.payload))
    assert len(found) == 1


class TestAddressesThatAreFreed:
    TAKEN = CyTechBotRequestError("the API refused: 'Please try with different email address'.")

    def refusals(self, sync, operation="create", payload=None, texts=ANN):
        """Return the errors of a call that is always refused."""

        async def refuse(*_):
            raise self.TAKEN

        sync._calls = SimpleNamespace(create=refuse, update=refuse, adopt=refuse)
        row = ContactRow(texts).encode()
        call = PlannedCall(1, "k", operation, encode_payload(row, payload or {}), 1)
        errors = []
        for _ in range(5):
            with pytest.raises(CyTechBotError) as raised:
                sync.write(None, call, None).send(None)
            errors.append(raised.value)
        return errors

    @pytest.fixture
    def sync(self, make, state):
        sync = make(on_readdress="recreate")
        before = Contact("7", digests_of(ANN, state.salt)).encode()
        sync.compare(sync.plan({"customer": "1", "email": "new@x.de"}), StateEntry(before))
        return sync

    @pytest.mark.parametrize("operation", ["create", "update"])
    def test_are_waited_for_a_few_times(self, sync, operation):
        *waits, first, second = self.refusals(sync, operation)
        assert all(isinstance(error, CyTechBotTransportError) and error.is_transient for error in waits)
        assert len(waits) == 3
        assert first is second is self.TAKEN

    @pytest.mark.parametrize(
        ("payload", "texts"), [({"adopt": "9"}, ANN), ({}, ("other@x.de", "+49 2", "Ann", "Lee"))]
    )
    def test_are_not_waited_for_otherwise(self, sync, payload, texts):
        assert set(self.refusals(sync, "update", payload, texts)) == {self.TAKEN}
