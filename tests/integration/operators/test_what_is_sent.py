"""What the operators send when answers are lost, calls refused and tasks retried: counted at the server."""

from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotAuthError,
    CyTechBotRequestError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.operators.contact_groups import (
    CyTechBotCreateContactGroupOperator,
    CyTechBotDeleteContactGroupOperator,
    CyTechBotUpdateContactGroupOperator,
)
from airflow_provider_cytechbot.operators.contacts import (
    CyTechBotCreateContactOperator,
    CyTechBotDeleteContactOperator,
    CyTechBotUpdateContactOperator,
)
from airflow_provider_cytechbot.operators.labels import (
    CyTechBotAssignLabelsOperator,
    CyTechBotCreateLabelOperator,
)
from airflow_provider_cytechbot.operators.users import (
    CyTechBotCreateUserOperator,
    CyTechBotUpdateUserOperator,
)

PAGE = "104857600000001"
USER = {
    "name": "Kim",
    "user_email": "kim.new@example.com",
    "password": "a-password",
    "package_id": 1,
    "expired_date": "2027-01-01",
}

#: By endpoint: the operator, its fields, and the kind of thing that it makes.
CREATES = {
    "create_contact_group": (CyTechBotCreateContactGroupOperator, {"name": "Leads"}, "contact_groups"),
    "create_contact": (
        CyTechBotCreateContactOperator,
        {"contact_type_id": 1, "phone_number": "+49151000"},
        "contacts",
    ),
    "create_system_user": (CyTechBotCreateUserOperator, USER, "users"),
    "create_label": (CyTechBotCreateLabelOperator, {"label_name": "Brand new", "page_id": PAGE}, "labels"),
}
CAN_LOOK = ("create_system_user", "create_label")
IDEMPOTENT = {
    "update_user": (CyTechBotUpdateUserOperator, {"user_id": 2, "mobile": "+4900"}),
    "update_contact_group": (CyTechBotUpdateContactGroupOperator, {"contact_type_id": 1, "name": "New name"}),
    "update_contact": (CyTechBotUpdateContactOperator, {"contact_id": 1, "contact_email": "new@example.com"}),
    "delete_contact_group": (CyTechBotDeleteContactGroupOperator, {"contact_type_id": 1}),
    "delete_contact": (CyTechBotDeleteContactOperator, {"contact_id": 1}),
    "assign_label": (CyTechBotAssignLabelsOperator, {"page_id": PAGE}),
}
#: Answers that leave open whether the server acted, and whether it did.
LOST = {
    "reset, no effect": ("reset_before", {}, False),
    "reset after": ("reset_after", {}, True),
    "gateway lost it": ("status", {"status": 502, "effect": True}, True),
    "unavailable": ("status", {"status": 503}, False),
    "server error": ("status", {"status": 500, "effect": True}, True),
    "cut off": ("truncate", {}, True),
    "cut off, chunked": ("truncate_chunked", {}, True),
    "JSON cut off": ("truncate_json", {}, True),
    "empty": ("body", {"body": ""}, True),
    "a login page": ("html", {}, False),
    "too late": ("delay", {"seconds": 1.5}, True),
    "redirect": ("redirect", {"status": 302}, False),
    "redirect, POST kept": ("redirect", {"status": 308}, False),
}
#: Answers after which the hook does not repeat other writes either.
NOT_REPEATED = ("a login page", "too late", "redirect", "redirect, POST kept")
#: Answers of something in front of the API that surely did nothing, and whether the hook itself sends again.
REJECTED = {
    "too many": ("status", {"status": 429, "retry_after": 0}, True),
    "forbidden": ("status", {"status": 403}, False),
}


@pytest.fixture
def sandbox(cytechbot_sandbox, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_CYTECHBOT_DEFAULT", cytechbot_sandbox.connection_json(max_retries=3, timeout=1)
    )
    return cytechbot_sandbox


def a_label(sandbox):
    """Return the id of a label of the page."""
    return next(each["label_id"] for each in sandbox.state.labels.values() if each["page_id"] == PAGE)


def subscribers(sandbox):
    """Return the ids of the page's subscribers."""
    return [each for each, known in sandbox.state.subscribers.items() if known["page_id"] == PAGE]


def make(operator, fields):
    return lambda: operator(task_id="t", **fields)


def make_idempotent(sandbox, endpoint):
    operator, fields = IDEMPOTENT[endpoint]
    if endpoint == "assign_label":
        label = a_label(sandbox)
        subscriber = next(each for each in subscribers(sandbox) if label not in sandbox.labels_of(each))
        fields = {**fields, "label_ids": [label], "subscriber_id": subscriber}
    return make(operator, fields)


def counts(sandbox, endpoint):
    return sandbox.journal.received(endpoint), sandbox.journal.took_effect(endpoint)


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("endpoint", CREATES)
class TestACreateWithoutAnAnswer:
    def test_is_sent_once(self, sandbox, task, endpoint, lost):
        operator, fields, kind = CREATES[endpoint]
        fault, options, has_effect = LOST[lost]
        before = set(getattr(sandbox.state, kind))
        sandbox.fault(fault, endpoint, times=-1, **options)
        run = task(retries=2)
        if endpoint in CAN_LOOK and has_effect:
            result = run.run(make(operator, fields))
            assert {result} == set(getattr(sandbox.state, kind)) - before
        else:
            with pytest.raises(CyTechBotAmbiguousWriteError):
                run.run(make(operator, fields))
            assert len(set(getattr(sandbox.state, kind)) - before) == has_effect
        assert counts(sandbox, endpoint) == (1, has_effect)
        assert run.tries == 1


@pytest.mark.parametrize("fault", REJECTED)
@pytest.mark.parametrize("endpoint", CREATES)
def test_a_rejected_create_is_sent_again(sandbox, task, endpoint, fault):
    operator, fields, kind = CREATES[endpoint]
    before = set(getattr(sandbox.state, kind))
    name, options, is_sent_again_at_once = REJECTED[fault]
    sandbox.fault(name, endpoint, **options)
    run = task(retries=2)
    assert {run.run(make(operator, fields))} == set(getattr(sandbox.state, kind)) - before
    assert counts(sandbox, endpoint) == (2, 1)
    assert run.tries == (1 if is_sent_again_at_once else 2)


@pytest.mark.parametrize("quirks", ["none", "all"])
@pytest.mark.parametrize("lost", [each for each in LOST if each not in NOT_REPEATED])
@pytest.mark.parametrize("endpoint", IDEMPOTENT)
def test_other_writes_are_repeated_to_success(sandbox, task, endpoint, lost, quirks):
    sandbox.quirks = quirks
    fault, options, _ = LOST[lost]
    sandbox.fault(fault, endpoint, times=2, **options)
    run = task(retries=2)
    assert run.run(make_idempotent(sandbox, endpoint))
    assert counts(sandbox, endpoint) == (3, 1)
    assert run.tries == 1


@pytest.mark.parametrize("endpoint", ["delete_contact", "assign_label"])
def test_other_writes_that_take_too_long_are_repeated(sandbox, task, endpoint):
    sandbox.fault("delay", endpoint, seconds=1.5)
    assert task().run(make_idempotent(sandbox, endpoint))
    assert counts(sandbox, endpoint) == (2, 1)


@pytest.mark.parametrize("quirks", ["none", "all"])
@pytest.mark.parametrize("endpoint", IDEMPOTENT)
def test_other_writes_succeed_in_the_next_try_after_every_response_was_lost(sandbox, task, endpoint, quirks):
    sandbox.quirks = quirks
    sandbox.fault("reset_after", endpoint, times=4)
    run = task(retries=2)
    assert run.run(make_idempotent(sandbox, endpoint))
    assert counts(sandbox, endpoint) == (5, 1)
    assert run.tries == 2


@pytest.mark.parametrize("endpoint", [*CREATES, *IDEMPOTENT])
def test_a_wrong_key_fails_after_one_request(cytechbot_sandbox, connect, task, endpoint):
    connect(cytechbot_sandbox.base_url, "1-wrong-key")
    run = task(retries=3)
    with pytest.raises(CyTechBotAuthError):
        run.run(
            make(*CREATES[endpoint][:2])
            if endpoint in CREATES
            else make_idempotent(cytechbot_sandbox, endpoint)
        )
    assert run.tries == 1
    assert cytechbot_sandbox.journal.received() == 1


@pytest.mark.parametrize("endpoint", CREATES)
def test_a_refused_create_fails_after_one_request(sandbox, task, endpoint):
    operator, fields, _ = CREATES[endpoint]
    sandbox.fault(
        "body", endpoint, times=-1, body='{"status": "error", "message": "Not like this"}', effect=False
    )
    run = task(retries=3)
    with pytest.raises(CyTechBotRequestError, match="Not like this"):
        run.run(make(operator, fields))
    assert run.tries == 1
    assert sandbox.journal.received() == 1


@pytest.mark.parametrize("endpoint", CREATES)
def test_a_server_that_is_down_is_tried_again_by_airflow(connect, task, endpoint):
    connect("http://127.0.0.1:9", max_retries=0)
    run = task(retries=2)
    with pytest.raises(CyTechBotTransportError):
        run.run(make(*CREATES[endpoint][:2]))
    assert run.tries == 3


@pytest.mark.parametrize("has_store", [True, False])
@pytest.mark.parametrize("what", ["hang up", "reset", "half", ("500", ""), ("502", ""), {"status": "?"}, []])
@pytest.mark.parametrize("endpoint", CREATES)
def test_an_independent_server_counts_one_create(server, task, endpoint, what, has_store):
    server.script[endpoint] = what
    run = task(retries=2, has_store=has_store)
    with pytest.raises(CyTechBotAmbiguousWriteError):
        run.run(make(*CREATES[endpoint][:2]))
    assert server.received[endpoint] == 1
    assert run.tries == 1


def test_an_independent_server_is_looked_at_after_a_lost_user(server, task):
    server.script["create_system_user"] = "reset"
    server.script["get_user_info"] = {
        "status": "success",
        "user_info": {"id": "77", "name": "Kim", "email": USER["user_email"]},
    }
    assert task().run(make(CyTechBotCreateUserOperator, USER)) == "77"
    assert server.received == {"create_system_user": 1, "get_user_info": 1}


def test_a_create_never_follows_a_redirect(server, task):
    server.script["create_contact_group"] = ("302", f"Location: {server.url}/elsewhere\r\n")
    with pytest.raises(Exception, match="redirect"):
        task(retries=0).run(make(*CREATES["create_contact_group"][:2]))
    assert server.received == {"create_contact_group": 1}


def test_many_subscribers_are_each_tagged_once(sandbox, task):
    label = a_label(sandbox)
    ids = subscribers(sandbox)
    fields = {"page_id": PAGE, "label_ids": [label], "rows": [*ids, *reversed(ids)], "max_concurrency": 3}
    manifest = task().run(make(CyTechBotAssignLabelsOperator, fields))
    assert manifest["counts"]["succeeded"] == manifest["rows"] == 2 * len(ids)
    assert len({entry.client_port for entry in sandbox.requests("assign_label")}) <= 3
    assert counts(sandbox, "assign_label")[0] == len(ids)
    assert counts(sandbox, "get_all_labels")[0] == 1
    assert all(label in sandbox.labels_of(subscriber_id) for subscriber_id in ids)


def test_one_refused_subscriber_among_many(sandbox, task):
    label = a_label(sandbox)
    first, second, *_ = subscribers(sandbox)
    fields = {"page_id": PAGE, "label_ids": [label], "rows": [first, "999", second]}
    run = task(retries=2)
    with pytest.raises(CyTechBotRequestError, match=r"3 rows: 2 succeeded, 1 refused\. The first: 999: "):
        run.run(make(CyTechBotAssignLabelsOperator, fields))
    assert run.tries == 1
    assert run.xcoms["return_value"]["counts"]["refused"] == 1


def test_unknown_label_ids_that_the_server_would_ignore_are_detected(sandbox, task):
    sandbox.quirks = "unknown_labels_ignored"
    label = a_label(sandbox)
    fields = {"page_id": PAGE, "label_ids": [label, "4711"], "subscriber_id": "1"}
    with pytest.raises(CyTechBotRequestError, match="'4711'"):
        task().run(make(CyTechBotAssignLabelsOperator, fields))
    assert counts(sandbox, "assign_label") == (0, 0)


def test_a_user_that_was_there_before_is_no_success_when_the_refusal_is_lost(sandbox, task):
    there = next(iter(sandbox.state.users.values()))
    sandbox.fault("reset_after", "create_system_user")
    with pytest.raises(CyTechBotAmbiguousWriteError):
        task().run(make(CyTechBotCreateUserOperator, {**USER, "user_email": there["email"]}))


def test_a_label_made_by_two_tasks_at_once(sandbox, task):
    """The server refuses the second, with an object of Facebook's."""
    sandbox.quirks = "all"
    subscriber = subscribers(sandbox)[0]
    fields = {
        "page_id": PAGE,
        "label_names": ["Raced"],
        "create_missing": True,
        "subscriber_id": subscriber,
    }
    # The first read of the labels comes from before the other task's label.
    stale = '{"status": "error", "message": "No Matching Label Found"}'
    sandbox.fault("body", "get_all_labels", body=stale)
    made = task().run(make(CyTechBotCreateLabelOperator, {"label_name": "Raced", "page_id": PAGE}))
    task().run(make(CyTechBotAssignLabelsOperator, fields))
    assert counts(sandbox, "create_label") == (2, 1)
    assert made in sandbox.labels_of(subscriber)
