from __future__ import annotations

import json
from datetime import datetime

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout

from airflow_provider_cytechbot.api.calls import Call
from airflow_provider_cytechbot.api.endpoints import CREATE_USER
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotAuthError,
    CyTechBotFieldError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.operators.contact_groups import CyTechBotCreateContactGroupOperator
from airflow_provider_cytechbot.operators.create_once import Create
from airflow_provider_cytechbot.operators.labels import CyTechBotCreateLabelOperator
from airflow_provider_cytechbot.operators.task_memory import STORE_KEY
from airflow_provider_cytechbot.operators.users import CyTechBotCreateUserOperator

GROUP = {"id": "7", "deleted": "0"}


class Killed(BaseException):
    """The worker dies, and no more code of the operator runs."""


def group(name="Leads", **kwargs):
    return CyTechBotCreateContactGroupOperator(task_id="t", name=name, **kwargs)


def label():
    return CyTechBotCreateLabelOperator(task_id="t", label_name="VIP", page_id="9")


def labels(*ids):
    return [{"label_id": label_id, "label_name": "VIP"} for label_id in ids]


def kill_at(monkeypatch, tries, moment):
    """Kill the worker `before` or `after` it stores the begin or the end of the create."""
    real = tries.store.set

    def set_or_die(key, value, **kwargs):
        stored = "finish" if "id" in value else "begin"
        if moment == f"before {stored}":
            raise Killed
        real(key, value, **kwargs)
        if moment == f"after {stored}":
            raise Killed

    monkeypatch.setattr(tries.store, "set", set_or_die)
    return lambda: monkeypatch.setattr(tries.store, "set", real)


def assert_has_steps(error):
    """Check that the error has the steps for both cases."""
    for step in (
        "If it is there",
        "XCom return_value",
        "/xcomEntries",
        "mark this task as success",
        "clear the failed tasks downstream",
        "If it is not there, clear this task",
    ):
        assert step in str(error)


def assert_has_one_step(error):
    """Check that the error has the only step after a create that the next try can look for."""
    assert "Clear this task with those downstream" in str(error)
    assert "XCom" not in str(error)


@pytest.mark.parametrize(
    ("operator", "endpoint", "check", "assert_steps"),
    [
        (group, "create_contact_group", "look for the name in the CyTechBot dashboard", assert_has_steps),
        (label, "create_label", "get_labels(page_id)", assert_has_one_step),
    ],
    ids=["group", "label"],
)
def test_a_lost_response_is_an_error_with_all_steps(
    run, hook, tries, lost, operator, endpoint, check, assert_steps
):
    hook.answers[endpoint] = lost()
    hook.answers["get_all_labels"] = []
    with pytest.raises(CyTechBotAmbiguousWriteError) as raised:
        run(operator())
    assert "The create began at 2" in str(raised.value)
    assert check in str(raised.value)
    assert str(raised.value).count("not sent again") == 1
    assert_steps(raised.value)


def test_without_a_store_a_clear_does_not_look_and_all_steps_are_needed(run, hook, tries_without_store, lost):
    hook.answers |= {"create_label": lost(), "get_all_labels": []}
    with pytest.raises(CyTechBotAmbiguousWriteError) as raised:
        run(label(), tries_without_store.context())
    assert_has_steps(raised.value)


def test_an_unknown_start_is_left_out(run, hook, tries_without_store):
    hook.answers["create_contact_group"] = CyTechBotAmbiguousWriteError("The answer was lost.")
    with pytest.raises(CyTechBotAmbiguousWriteError) as raised:
        run(group(), tries_without_store.retry())
    assert "began at" not in str(raised.value)
    assert_has_steps(raised.value)


def test_the_first_try_creates_and_returns_the_id(run, hook):
    hook.answers["create_contact_group"] = "7"
    assert run(group()) == "7"
    assert hook.calls == [("create_contact_group", {"name": "Leads"})]


class TestRunsSideBySide:
    """Celery delivers a message twice, and both runs of the task get past Airflow's own check."""

    def test_the_later_one_sends_nothing_and_its_retry_returns_the_id(self, run, hook, tries, monkeypatch):
        hook.answers["create_contact_group"] = ("7", "8")
        real, outcomes = tries.store.get, []

        def read_then_be_late(*arguments):
            monkeypatch.setattr(tries.store, "get", real)
            entry = real(*arguments)
            outcomes.append(run(group()))
            return entry

        monkeypatch.setattr(tries.store, "get", read_then_be_late)
        with pytest.raises(CyTechBotTransportError, match="Another run of this task") as raised:
            run(group())
        assert not isinstance(raised.value, AirflowFailException)
        assert run(group(), tries.retry()) == "7"
        assert outcomes == ["7"]
        assert hook.count("create_contact_group") == 1


class TestKilledGroup:
    """A contact group cannot be looked up."""

    def die(self, run, hook, monkeypatch, tries, moment):
        hook.answers["create_contact_group"] = ("7", "8")
        revive = kill_at(monkeypatch, tries, moment)
        with pytest.raises(Killed):
            run(group())
        revive()

    def test_killed_before_the_create_began(self, run, hook, monkeypatch, tries):
        self.die(run, hook, monkeypatch, tries, "before begin")
        assert hook.calls == []
        assert run(group(), tries.retry()) == "7"

    @pytest.mark.parametrize("moment", ["after begin", "before finish"])
    def test_killed_between_begin_and_result(self, run, hook, monkeypatch, tries, moment):
        self.die(run, hook, monkeypatch, tries, moment)
        sent = len(hook.calls)
        with pytest.raises(CyTechBotAmbiguousWriteError) as raised:
            run(group(), tries.retry())
        assert isinstance(raised.value, AirflowFailException)
        began = datetime.fromisoformat(tries.store.entries[STORE_KEY]["began"])
        assert str(raised.value).startswith(
            "POST create_contact_group (connection 'cytechbot_default'): contact group 'Leads' may have been "
            f"created. The create began at {began:%Y-%m-%d %H:%M:%S} UTC. An earlier try of this task sent "
            "the create and ended before it had the result. It is not sent again. The API cannot list "
            "contact groups: look for the name in the CyTechBot dashboard. If it is there, pass its id to"
        )
        assert_has_steps(raised.value)
        assert len(hook.calls) == sent

    def test_killed_after_the_result_was_stored(self, run, hook, monkeypatch, tries):
        self.die(run, hook, monkeypatch, tries, "after finish")
        assert run(group(), tries.retry()) == "7"
        assert run(group(), tries.retry()) == "7"
        assert hook.count("create_contact_group") == 1

    def test_fields_that_changed_between_tries_do_not_send_it_again(self, run, hook, monkeypatch, tries):
        self.die(run, hook, monkeypatch, tries, "before finish")
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(group("Leads, second try"), tries.retry())
        assert hook.count("create_contact_group") == 1

    def test_a_stored_id_is_returned_although_fields_changed(self, run, hook, monkeypatch, tries):
        self.die(run, hook, monkeypatch, tries, "after finish")
        assert run(group("Leads, second try"), tries.retry()) == "7"

    def test_a_clear_before_the_error_was_reported_is_not_confirmation(self, run, hook, monkeypatch, tries):
        # With retries=0 the error was never shown, so a clear does not confirm a second create.
        self.die(run, hook, monkeypatch, tries, "before finish")
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(group(), tries.clear())
        assert hook.count("create_contact_group") == 1
        assert run(group(), tries.clear()) == "8"

    def test_a_clear_with_other_fields_still_reports_the_open_create(self, run, hook, monkeypatch, tries):
        self.die(run, hook, monkeypatch, tries, "before finish")
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(group("New leads"), tries.clear())

    def test_a_retry_after_the_report_is_not_a_clear(self, run, hook, monkeypatch, tries):
        self.die(run, hook, monkeypatch, tries, "before finish")
        for _ in range(2):
            with pytest.raises(CyTechBotAmbiguousWriteError):
                run(group(), tries.retry())
        assert hook.count("create_contact_group") == 1


class TestLostResponseOfAGroup:
    def test_fails_at_once_and_is_sent_again_only_when_cleared(self, run, hook, lost, tries):
        hook.answers["create_contact_group"] = (lost(), "8")
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(group())
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(group(), tries.retry())
        assert hook.count("create_contact_group") == 1
        assert run(group(), tries.clear()) == "8"
        assert run(group(), tries.retry()) == "8"
        assert hook.count("create_contact_group") == 2

    def test_cleared_and_not_sent_is_retried(self, run, hook, lost, not_sent, tries):
        hook.answers["create_contact_group"] = (lost(), not_sent(), "8")
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(group())
        with pytest.raises(CyTechBotTransportError):
            run(group(), tries.clear())
        assert run(group(), tries.retry()) == "8"

    def test_cleared_and_killed_is_reported_again(self, run, hook, lost, tries):
        hook.answers["create_contact_group"] = (lost(), Killed(), "8")
        for context, error in (
            (tries.context, CyTechBotAmbiguousWriteError),
            (tries.clear, Killed),
            (tries.clear, CyTechBotAmbiguousWriteError),
        ):
            with pytest.raises(error):
                run(group(), context())
        assert hook.count("create_contact_group") == 2

    def test_an_execution_timeout_is_a_lost_response(self, run, hook):
        hook.answers["create_contact_group"] = AirflowTaskTimeout()
        with pytest.raises(CyTechBotAmbiguousWriteError, match="execution_timeout ended it"):
            run(group())

    def test_an_execution_timeout_is_a_lost_response_before_airflow_3_3(self, run, hook, tries_without_store):
        hook.answers["create_contact_group"] = AirflowTaskTimeout()
        with pytest.raises(CyTechBotAmbiguousWriteError) as raised:
            run(group(), tries_without_store.context())
        assert isinstance(raised.value, AirflowFailException)


class TestNotCreated:
    @pytest.mark.parametrize(
        "error",
        [
            CyTechBotRequestError("no."),
            CyTechBotAuthError("wrong key."),
            CyTechBotTransportError("x", was_sent=False),
        ],
    )
    def test_the_stored_state_is_removed(self, run, hook, tries, error):
        hook.answers["create_contact_group"] = (error, "7")
        with pytest.raises(type(error)):
            run(group())
        assert tries.store.entries == {}
        assert run(group(), tries.retry()) == "7"

    def test_a_state_that_cannot_be_removed_makes_the_next_try_ambiguous(self, run, hook, not_sent, tries):
        hook.answers["create_contact_group"] = (not_sent(), "7")
        tries.store.failing = ("delete",)
        with pytest.raises(CyTechBotTransportError):
            run(group())
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(group(), tries.retry())


class TestFailingStore:
    @pytest.mark.parametrize("verb", ["get", "set"])
    def test_nothing_is_sent_without_a_working_store(self, run, hook, tries, verb):
        tries.store.failing = (verb,)
        with pytest.raises(RuntimeError):
            run(group())
        assert hook.calls == []

    def test_a_result_that_cannot_be_stored_is_returned(self, run, hook, tries, caplog):
        def create(_):
            tries.store.failing = ("set",)
            return "7"

        hook.answers["create_contact_group"] = create
        assert run(group()) == "7"
        assert "The task state store could not be written (RuntimeError)" in caplog.text

    def test_an_unreadable_entry_is_ignored(self, run, hook, tries):
        tries.store.entries["cytechbot_create"] = "what is this"
        hook.answers["create_contact_group"] = "7"
        assert run(group()) == "7"


class TestClearedAfterSuccess:
    def test_returns_the_existing_record(self, run, hook, tries):
        hook.answers |= {"create_contact_group": "7", "get_contact_group": GROUP}
        run(group())
        assert run(group(), tries.clear()) == "7"
        assert [name for name, _ in hook.calls] == ["create_contact_group", "get_contact_group"]

    def test_creates_again_if_the_record_is_gone(self, run, hook, tries):
        gone = CyTechBotNotFoundError("The contact type ID does not exist")
        hook.answers |= {"create_contact_group": ("7", "8"), "get_contact_group": gone}
        run(group())
        assert run(group(), tries.clear()) == "8"

    def test_creates_again_if_the_record_is_marked_deleted(self, run, hook, tries):
        hook.answers |= {"create_contact_group": ("7", "8"), "get_contact_group": {**GROUP, "deleted": "1"}}
        run(group())
        assert run(group(), tries.clear()) == "8"

    def test_a_clear_is_detected_after_the_retries_were_changed(self, run, hook, tries):
        gone = CyTechBotNotFoundError("The contact type ID does not exist")
        hook.answers |= {"create_contact_group": ("7", "8"), "get_contact_group": gone}
        run(group())
        tries.retries = tries.ti.task.retries = 1  # so that a clear does not change max_tries
        assert run(group(), tries.clear()) == "8"

    def test_creates_again_if_the_fields_were_corrected(self, run, hook, tries):
        hook.answers |= {"create_contact_group": ("7", "8"), "get_contact_group": GROUP}
        run(group())
        assert run(group("New leads"), tries.clear()) == "8"

    def test_creates_again_if_the_connection_was_changed(self, run, hook, tries):
        # The same id names another group on another server.
        hook.answers |= {"create_contact_group": ("7", "8"), "get_contact_group": GROUP}
        run(group())
        hook.cytechbot_conn_id = "cytechbot_production"
        assert run(group(), tries.clear()) == "8"

    def test_a_failed_lookup_does_not_create_again(self, run, hook, not_sent, tries):
        hook.answers |= {"create_contact_group": "7", "get_contact_group": not_sent()}
        run(group())
        with pytest.raises(CyTechBotTransportError):
            run(group(), tries.clear())
        assert hook.count("create_contact_group") == 1


class TestWithSearch:
    """A label is found by its name."""

    def test_after_a_lost_response_the_record_is_looked_up(self, run, hook, lost, tries, caplog):
        caplog.set_level("INFO")
        hook.answers |= {"create_label": lost(), "get_all_labels": labels("5")}
        assert run(label()) == "5"
        assert hook.count("create_label") == 1
        assert (
            "Found label 'VIP' over connection 'cytechbot_default', which an earlier try created: id 5."
            in caplog.text
        )
        assert run(label(), tries.retry()) == "5"
        assert hook.count("create_label") == 1

    def test_after_a_lost_response_without_a_record_the_task_fails_at_once(self, run, hook, lost):
        hook.answers |= {"create_label": lost(), "get_all_labels": []}
        with pytest.raises(CyTechBotAmbiguousWriteError) as raised:
            run(label())
        assert isinstance(raised.value, AirflowFailException)

    def test_a_failed_lookup_raises_the_first_error(self, run, hook, lost, not_sent):
        hook.answers |= {"create_label": lost(), "get_all_labels": not_sent()}
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(label())

    def test_after_an_execution_timeout_the_next_try_searches(self, run, hook, tries):
        hook.answers |= {"create_label": AirflowTaskTimeout(), "get_all_labels": labels("5")}
        with pytest.raises(AirflowTaskTimeout):
            run(label())
        assert run(label(), tries.retry()) == "5"

    @pytest.mark.parametrize("store", [True, False])
    def test_killed_and_created(self, run, hook, tries, tries_without_store, store):
        tries = tries if store else tries_without_store
        hook.answers |= {"create_label": Killed(), "get_all_labels": labels("5")}
        with pytest.raises(Killed):
            run(label(), tries.context())
        assert run(label(), tries.retry()) == "5"
        assert hook.count("create_label") == 1

    @pytest.mark.parametrize("store", [True, False])
    def test_killed_and_not_created(self, run, hook, tries, tries_without_store, store):
        tries = tries if store else tries_without_store
        hook.answers |= {"create_label": (Killed(), "6"), "get_all_labels": []}
        with pytest.raises(Killed):
            run(label(), tries.context())
        assert run(label(), tries.retry()) == "6"

    def test_killed_and_created_after_the_lookup(self, run, hook, tries):
        refusal = CyTechBotRequestError("(#100) Label name already exists.")
        hook.answers |= {"create_label": (Killed(), refusal), "get_all_labels": ([], labels("5"))}
        with pytest.raises(Killed):
            run(label())
        assert run(label(), tries.retry()) == "5"

    def test_killed_then_refused_for_another_reason(self, run, hook, tries):
        refusal = CyTechBotRequestError("No Enabled Bot Found")
        hook.answers |= {"create_label": (Killed(), refusal), "get_all_labels": []}
        with pytest.raises(Killed):
            run(label())
        with pytest.raises(CyTechBotRequestError, match="No Enabled Bot"):
            run(label(), tries.retry())

    def test_a_try_that_was_not_sent_keeps_the_state_of_the_one_before(self, run, hook, not_sent, tries):
        refusal = CyTechBotRequestError("(#100) Label name already exists.")
        hook.answers |= {
            "create_label": (Killed(), not_sent(), refusal),
            "get_all_labels": ([], [], labels("5")),
        }
        with pytest.raises(Killed):
            run(label())
        with pytest.raises(CyTechBotTransportError):
            run(label(), tries.retry())
        assert run(label(), tries.retry()) == "5"

    def test_an_existing_record_is_refused_in_the_first_try(self, run, hook):
        refusal = CyTechBotRequestError("(#100) Label name already exists.")
        hook.answers |= {"create_label": refusal, "get_all_labels": labels("5")}
        with pytest.raises(CyTechBotRequestError):
            run(label())
        assert hook.count("get_all_labels") == 0

    def test_fields_that_changed_between_tries_are_not_looked_up(self, run, hook, tries):
        # The search would use the fields of this try, not those of the first one.
        hook.answers |= {"create_label": (Killed(), "6"), "get_all_labels": []}
        with pytest.raises(Killed):
            run(label())
        other = CyTechBotCreateLabelOperator(task_id="t", label_name="VIP of try 2", page_id="9")
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(other, tries.retry())
        assert hook.count("create_label") == 1

    def test_cleared_after_success(self, run, hook, tries):
        hook.answers |= {"create_label": ("5", "6"), "get_all_labels": (labels("5"), [])}
        run(label())
        assert run(label(), tries.clear()) == "5"
        assert run(label(), tries.clear()) == "6"


class TestWithoutStore:
    def test_a_retry_creates_the_group_again(self, run, hook, not_sent, tries_without_store):
        hook.answers["create_contact_group"] = (not_sent(), "7")
        with pytest.raises(CyTechBotTransportError):
            run(group(), tries_without_store.context())
        assert run(group(), tries_without_store.retry()) == "7"

    def test_a_cleared_label_is_not_looked_up(self, run, hook, tries_without_store):
        hook.answers |= {"create_label": "5", "get_all_labels": labels("4")}
        assert run(label(), tries_without_store.clear()) == "5"
        assert hook.count("get_all_labels") == 0


def test_the_password_is_neither_stored_nor_shown(run, hook, tries, time_machine):
    user = CyTechBotCreateUserOperator(
        task_id="t",
        name="Kim",
        user_email="k@x.org",
        password="hunter2hunter2",
        package_id=1,
        expired_date="2027-01-01",
    )
    hook.answers["create_system_user"] = "3"
    time_machine.move_to("2026-03-01T12:00:00Z", tick=False)
    run(user)
    first = tries.store.entries.pop(STORE_KEY)
    assert "hunter2" not in json.dumps(first)
    user.password = "another"
    run(user)
    second = tries.store.entries[STORE_KEY]
    assert second | {"run": first["run"]} == first  # not even a digest of it
    assert "hunter2" not in repr(Create("user", Call(CREATE_USER, {"password": "hunter2"}), is_present=bool))


def test_a_name_of_another_type_is_refused(run):
    with pytest.raises(CyTechBotFieldError, match="'name' must be text, not dict"):
        run(group({1: "a", "b": 2}))
