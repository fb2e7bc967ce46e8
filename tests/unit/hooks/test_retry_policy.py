from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from requests_mock import ANY

from airflow_provider_cytechbot.api import errors

if not AIRFLOW_V_3_3_PLUS:
    pytest.skip("retry policies are new in Airflow 3.3", allow_module_level=True)

from airflow.sdk.definitions import retry_policy
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryDecision

from airflow_provider_cytechbot.hooks.retry_policy import MAX_REASON, CyTechBotRetryPolicy
from airflow_provider_cytechbot.operators.contact_groups import CyTechBotDeleteContactGroupOperator
from airflow_provider_cytechbot.sensors.flow_answers import CyTechBotFlowCampaignSensor
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)
from airflow_provider_cytechbot.transfers.flow_report import CyTechBotFlowReportOperator

CAN_RESCHEDULE = hasattr(RetryDecision, "reschedule")
LATER = RetryAction.RESCHEDULE if CAN_RESCHEDULE else RetryAction.RETRY
OPERATORS = {
    CyTechBotDeleteContactGroupOperator: {"contact_type_id": 1},
    CyTechBotFlowCampaignSensor: {"flow_campaign_id": 1},
    CyTechBotFlowAnswersToObjectStorageOperator: {"flow_campaign_id": 1, "path": "file:///tmp/x.csv"},
    CyTechBotFlowReportOperator: {"flow_campaign_id": 1, "path": "file:///tmp/x.html"},
}


def decide(error, **options):
    return CyTechBotRetryPolicy(**options).evaluate(error, 1, 3, None)


@pytest.mark.parametrize(
    "error",
    [
        errors.CyTechBotRequestError("the API refused."),
        errors.CyTechBotNotFoundError("no such contact."),
        errors.CyTechBotFieldError("bad."),
        errors.CyTechBotAuthError("wrong key."),
        errors.CyTechBotSettingsError("unusable."),
        errors.CyTechBotAmbiguousWriteError("it may have happened."),
        errors.CyTechBotStorageRefusedError("no bucket."),
    ],
)
def test_an_error_that_no_retry_can_help_fails_with_its_reason(error):
    assert decide(error) == RetryDecision.fail(str(error))


@pytest.mark.parametrize(
    ("retry_after", "delay"), [(300.0, 300), (30.0, 30), (0.0, 1), (1e9, 3600), (float("inf"), 3600)]
)
def test_the_next_try_starts_after_the_servers_time(retry_after, delay):
    decision = decide(errors.CyTechBotTransportError("busy.", retry_after=retry_after))
    assert (decision.action, decision.retry_delay, decision.reason) == (
        LATER, timedelta(seconds=delay), "busy.",
    )  # fmt: skip


def test_the_delay_has_a_limit():
    decision = decide(
        errors.CyTechBotTransportError("busy.", retry_after=900.0), max_delay=timedelta(minutes=10)
    )
    assert decision.retry_delay == timedelta(minutes=10)


@pytest.mark.parametrize(
    "error",
    [
        errors.CyTechBotTransportError("cut off."),
        errors.CyTechBotResponseError("no JSON."),
        errors.CyTechBotStorageError("disk full."),
        ValueError("of the DAG's author"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_retried_as_airflow_does(error):
    assert decide(error).action is RetryAction.DEFAULT


def test_a_reason_is_bounded():
    assert len(decide(errors.CyTechBotRequestError("x" * 9999)).reason) == MAX_REASON


def test_a_policy_is_serialized_with_its_parameters():
    policy = CyTechBotRetryPolicy(max_delay=timedelta(minutes=5), max_reschedules=3)
    assert vars(CyTechBotRetryPolicy.deserialize(policy.serialize())) == vars(policy)


def test_airflow_3_4_reschedules_without_using_a_retry(monkeypatch):
    made = {}
    monkeypatch.setattr(CyTechBotRetryPolicy, "needs_retries", False)
    monkeypatch.setattr(
        retry_policy.RetryDecision,
        "reschedule",
        lambda delay, **bounds: made.update(bounds, delay=delay) or "rescheduled",
        raising=False,
    )
    decision = decide(errors.CyTechBotTransportError("busy.", retry_after=300.0), max_reschedules=4)
    assert decision == "rescheduled"
    assert made == {"delay": timedelta(seconds=300), "max_reschedules": 4, "reason": "busy."}


@pytest.mark.parametrize("operator", OPERATORS)
class TestDefault:
    def test_every_operator_has_the_policy(self, operator):
        assert isinstance(operator(task_id="t", **OPERATORS[operator]).retry_policy, CyTechBotRetryPolicy)

    def test_another_policy_replaces_it(self, operator):
        other = ExceptionRetryPolicy(rules=[])
        for given in ({"retry_policy": other}, {"default_args": {"retry_policy": other}}):
            assert operator(task_id="t", **OPERATORS[operator], **given).retry_policy is other

    def test_mapped_tasks_have_the_policy(self, operator):
        (name, value), *others = OPERATORS[operator].items()
        mapped = operator.partial(task_id="t", **dict(others)).expand(**{name: [value]})
        unmapped = mapped.unmap({**OPERATORS[operator]})
        assert isinstance(unmapped.retry_policy, CyTechBotRetryPolicy)


class TestLongWait:
    """A `Retry-After` above a minute."""

    @pytest.fixture
    def answers(self, connect, requests_mock, waits):
        def answers(status=429, retry_after="300"):
            requests_mock.get(
                ANY, [{"status_code": status, "headers": {"Retry-After": retry_after}}, {"json": []}]
            )
            # A key of its own, because calls with one key share their pauses.
            return connect(password=f"key-{uuid4()}", max_retries=3)

        return answers

    @pytest.fixture
    def task(self, monkeypatch):
        def task(policy, try_number=1, max_tries=2):
            ti = SimpleNamespace(
                task=SimpleNamespace(retry_policy=policy), try_number=try_number, max_tries=max_tries
            )
            monkeypatch.setattr(
                "airflow.providers.common.compat.sdk.get_current_context", lambda: {"ti": ti}, raising=False
            )

        return task

    @pytest.mark.parametrize("status", [429, 503])
    def test_ends_the_call_of_a_task_with_retries(self, answers, task, waits, requests_mock, status):
        task(CyTechBotRetryPolicy())
        with pytest.raises(errors.CyTechBotTransportError) as caught:
            answers(status).get_flow_campaigns()
        assert caught.value.retry_after == 300.0
        assert requests_mock.call_count == 1
        assert max(waits, default=0) < 59

    @pytest.mark.skipif(CAN_RESCHEDULE, reason="Airflow 3.4 reschedules tasks without retries")
    def test_is_cut_in_the_last_try(self, answers, task, waits, requests_mock):
        task(CyTechBotRetryPolicy(), try_number=3)
        assert answers().get_flow_campaigns() == []
        assert max(waits) >= 59

    def test_is_cut_with_another_policy(self, answers, task, waits):
        for policy in (None, ExceptionRetryPolicy(rules=[]), object()):
            task(policy)
            assert answers().get_flow_campaigns() == []
        assert sum(wait >= 59 for wait in waits) >= 3

    def test_is_cut_outside_of_a_task(self, answers, waits):
        assert answers().get_flow_campaigns() == []
        assert max(waits) >= 59

    def test_a_short_one_is_waited_for_in_the_call(self, answers, task, requests_mock, waits):
        task(CyTechBotRetryPolicy())
        assert answers(retry_after="20").get_flow_campaigns() == []
        assert requests_mock.call_count == 2
