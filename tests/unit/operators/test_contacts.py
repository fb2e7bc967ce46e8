from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotFieldError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.operators.contacts import (
    CyTechBotCreateContactOperator,
    CyTechBotDeleteContactOperator,
    CyTechBotSyncContactsOperator,
    CyTechBotUpdateContactOperator,
)

CONTACT = {"id": "4", "email": "a@b.org", "phone_number": "+1", "first_name": "A", "last_name": None}


def test_create_sends_the_given_fields_and_returns_the_id(run, hook):
    hook.answers["create_contact"] = "4"
    operator = CyTechBotCreateContactOperator(
        task_id="t", contact_type_id=1, contact_email="a@b.org", first_name="A"
    )
    assert run(operator) == "4"
    assert hook.calls == [
        ("create_contact", {"contact_type_id": "1", "email": "a@b.org", "first_name": "A"}),
    ]


def test_create_needs_an_address_or_a_phone_number(run):
    with pytest.raises(CyTechBotFieldError, match="email, phone_number"):
        run(CyTechBotCreateContactOperator(task_id="t", contact_type_id=1, first_name="A"))


def test_the_error_of_an_ambiguous_create_names_the_contact(run, hook, tries, lost):
    operator = CyTechBotCreateContactOperator(task_id="t", contact_type_id=1, phone_number="+1")
    hook.answers["create_contact"] = lost()
    with pytest.raises(CyTechBotAmbiguousWriteError):
        run(operator)
    with pytest.raises(CyTechBotAmbiguousWriteError, match=r"contact '\+1' may have been created"):
        run(operator, tries.retry())
    assert hook.count("create_contact") == 1


def test_update_returns_the_id(run, hook):
    assert run(CyTechBotUpdateContactOperator(task_id="t", contact_id=4, last_name="B")) == "4"
    assert hook.calls == [("update_contact", {"contact_id": "4", "last_name": "B"})]


class TestRefusedUpdate:
    """Some servers count the contact's own address as taken, so that a repeat is refused."""

    def update(self, **fields):
        return CyTechBotUpdateContactOperator(task_id="t", contact_id=4, **fields)

    def test_succeeds_if_the_contact_has_all_values(self, run, hook, caplog):
        caplog.set_level("INFO")
        hook.answers |= {
            "update_contact": CyTechBotRequestError("Please try a different email"),
            "get_contact": CONTACT,
        }
        assert run(self.update(contact_email="a@b.org", first_name="A")) == "4"
        line = (
            "Contact 4 over connection 'cytechbot_default': unchanged. It has these values, although Please"
        )
        assert line in caplog.text

    @pytest.mark.parametrize("other", [{"first_name": "B"}, {"last_name": "B"}])
    def test_fails_if_any_value_differs(self, run, hook, other):
        hook.answers |= {
            "update_contact": CyTechBotRequestError("Please try a different email"),
            "get_contact": CONTACT,
        }
        with pytest.raises(CyTechBotRequestError, match="try a different email"):
            run(self.update(contact_email="a@b.org", **other))

    def test_fails_if_the_contact_does_not_exist(self, run, hook):
        gone = CyTechBotNotFoundError("The contact ID does not exist")
        hook.answers |= {"update_contact": gone, "get_contact": gone}
        with pytest.raises(CyTechBotNotFoundError):
            run(self.update(contact_email="a@b.org"))

    def test_raises_the_refusal_if_the_lookup_fails(self, run, hook):
        hook.answers |= {
            "update_contact": CyTechBotRequestError("no"),
            "get_contact": CyTechBotTransportError("x"),
        }
        with pytest.raises(CyTechBotRequestError, match="no"):
            run(self.update(contact_email="a@b.org"))

    def test_does_not_look_up_if_nothing_was_sent(self, run, hook):
        with pytest.raises(CyTechBotFieldError):
            run(self.update())
        assert hook.calls == []


class TestDelete:
    GONE = "The contact ID does not exist"

    def delete(self, **kwargs):
        return CyTechBotDeleteContactOperator(task_id="t", contact_id=4, **kwargs)

    def test_returns_the_id(self, run, hook):
        assert run(self.delete()) == "4"
        assert hook.calls == [("delete_contact", {"contact_id": "4"})]

    @pytest.mark.parametrize("missing_ok", [False, "False"])
    def test_a_missing_contact_is_an_error(self, run, hook, missing_ok):
        hook.answers["delete_contact"] = CyTechBotNotFoundError(self.GONE)
        with pytest.raises(CyTechBotNotFoundError):
            run(self.delete(missing_ok=missing_ok))

    @pytest.mark.parametrize("missing_ok", [True, "True"])
    def test_a_missing_contact_is_a_success_with_missing_ok(self, run, hook, missing_ok, caplog):
        caplog.set_level("INFO")
        hook.answers["delete_contact"] = CyTechBotNotFoundError(self.GONE)
        assert run(self.delete(missing_ok=missing_ok)) == "4"
        line = f"Nothing to delete for contact_id '4' over connection 'cytechbot_default': {self.GONE}"
        assert line in caplog.text

    @pytest.mark.parametrize("store", [True, False])
    def test_a_missing_contact_in_a_retry_is_a_success(self, run, hook, tries, tries_without_store, store):
        tries = tries if store else tries_without_store
        hook.answers["delete_contact"] = (
            CyTechBotTransportError("cut off."),
            CyTechBotNotFoundError(self.GONE),
        )
        with pytest.raises(CyTechBotTransportError):
            run(self.delete(), tries.context())
        assert run(self.delete(), tries.retry()) == "4"

    def test_a_missing_contact_after_a_clear_is_an_error(self, run, hook, tries):
        run(self.delete())
        hook.answers["delete_contact"] = (
            CyTechBotNotFoundError(self.GONE),
            CyTechBotTransportError("cut off."),
            CyTechBotNotFoundError(self.GONE),
        )
        with pytest.raises(CyTechBotNotFoundError):
            run(self.delete(), tries.clear())
        with pytest.raises(CyTechBotTransportError):
            run(self.delete(), tries.clear())
        assert run(self.delete(), tries.retry()) == "4"

    def test_a_missing_contact_is_an_error_if_the_earlier_try_was_not_sent(self, run, hook, tries, not_sent):
        hook.answers["delete_contact"] = (not_sent(), CyTechBotNotFoundError(self.GONE))
        with pytest.raises(CyTechBotTransportError):
            run(self.delete())
        with pytest.raises(CyTechBotNotFoundError):
            run(self.delete(), tries.retry())

    def test_a_try_that_was_not_sent_keeps_the_state_of_the_one_before(self, run, hook, tries, not_sent):
        lost = CyTechBotTransportError("cut off.")
        hook.answers["delete_contact"] = (lost, not_sent(), CyTechBotNotFoundError(self.GONE))
        for context in (tries.context, tries.retry):
            with pytest.raises(CyTechBotTransportError):
                run(self.delete(), context())
        assert run(self.delete(), tries.retry()) == "4"

    def test_a_missing_contact_after_a_killed_worker_is_a_success(self, run, hook, tries):
        run(self.delete())  # then the worker dies before Airflow gets the result
        hook.answers["delete_contact"] = CyTechBotNotFoundError(self.GONE)
        assert run(self.delete(), tries.retry()) == "4"

    @pytest.mark.parametrize("store", [True, False])
    def test_raised_retries_do_not_turn_the_first_try_into_a_retry(
        self, run, hook, tries, tries_without_store, store
    ):
        tries = tries if store else tries_without_store
        tries.ti.max_tries = 0
        hook.answers["delete_contact"] = CyTechBotNotFoundError(self.GONE)
        with pytest.raises(CyTechBotNotFoundError):
            run(self.delete(), tries.context())

    def test_another_refusal_is_an_error_with_missing_ok(self, run, hook):
        hook.answers["delete_contact"] = CyTechBotRequestError("no")
        with pytest.raises(CyTechBotRequestError):
            run(self.delete(missing_ok=True))


class TestSync:
    @pytest.fixture
    def sync(self, tmp_path):
        def sync(**fields):
            given = {"key": "id", "contact_type_id": "5", "state_path": str(tmp_path / "state"), "rows": []}
            given |= fields
            return CyTechBotSyncContactsOperator(
                task_id="t", **{name: value for name, value in given.items() if value is not None}
            )

        return sync

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"rows": None}, "none is given"),
            ({"path": "/tmp/rows.csv"}, "rows and path are given"),
            ({"state_path": ""}, "'state_path' is needed"),
            ({"key": " "}, "'key' is empty"),
            ({"contact_type_id": None}, "'contact_group_name' is needed"),
            ({"contact_type_id": "x"}, "'contact_type_id'"),
            ({"contact_group_name": "Leads"}, "both are given"),
            ({"create_group": True}, "'create_group' has no meaning"),
            ({"create_group": "yes"}, "'create_group'"),
            ({"sync_mode": "all"}, "'sync_mode' must be one of create, upsert, mirror"),
            ({"on_readdress": "update"}, "'on_readdress' must be one of refuse, recreate"),
            ({"on_missing": "skip"}, "'on_missing' must be one of report, recreate"),
            ({"ambiguous": "forget"}, "'ambiguous' must be one of hold, retry"),
            ({"forget": {"a": 1}}, "'forget'"),
            ({"max_creates": -1}, "'max_creates'"),
            ({"max_deletes": "many"}, "'max_deletes'"),
            ({"max_delete_percent": "10 %"}, "'max_delete_percent'"),
            ({"expected_plan_digest": "None"}, "'expected_plan_digest'"),
            ({"columns": {"mail": "email"}}, "'mail'"),
            ({"rows": [{"email": "a@x.de"}]}, "needs the column 'id'"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_before_anything_is_sent(self, run, hook, sync, fields, words):
        hook.settings = SimpleNamespace(base_url="http://127.0.0.1:9/api", max_retries=0)
        with pytest.raises(CyTechBotFieldError, match=words) as raised:
            run(sync(**fields))
        assert isinstance(raised.value, AirflowFailException)
        assert hook.calls == []

    def test_nothing_to_do_needs_no_call(self, run, hook, sync):
        hook.settings = SimpleNamespace(base_url="http://127.0.0.1:9/api", max_retries=0)
        manifest = run(sync(sync_mode="mirror"))
        assert manifest["rows"] == 0
        assert hook.calls == []

    def test_the_group_is_created_by_its_name(self, run, hook, sync):
        hook.settings = SimpleNamespace(
            base_url="http://127.0.0.1:9/api", max_retries=0, requests_per_second=None
        )
        hook.answers["create_contact_group"] = CyTechBotRequestError("the API refused.")
        task = sync(
            contact_type_id=None,
            contact_group_name=" Leads ",
            create_group="True",
            rows=[{"id": 1, "email": "a@x.de"}],
        )
        with pytest.raises(CyTechBotRequestError, match="the API refused"):
            run(task)
        assert hook.calls == [("create_contact_group", {"name": "Leads"})]

    def test_all_parameters_are_templated(self, sync):
        parameters = set(inspect.signature(CyTechBotSyncContactsOperator.__init__).parameters)
        assert parameters - {"self", "kwargs"} == set(CyTechBotSyncContactsOperator.template_fields)
