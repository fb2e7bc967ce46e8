from __future__ import annotations

import json
import logging
import re
import time
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAuthError,
    CyTechBotFieldError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.sensors.base import GRACE
from airflow_provider_cytechbot.sensors.flow_answers import (
    CyTechBotFlowCampaignSensor,
    CyTechBotSubscriberFlowSensor,
)
from airflow_provider_cytechbot.triggers.events import (
    CyTechBotTriggerEventError,
    failed,
    reached,
    timed_out,
)
from airflow_provider_cytechbot.triggers.waiters import MAX_FAILED_POLLS

CAMPAIGN, ALL = "get_flow_campaign_info", "get_all_subscriber_flow_info"
ONE = "get_single_subscriber_flow_info"
FEEDBACK, UNANSWERED = "1", "2"
SUBSCRIBER = "24994546734902201"
#: Airflow's own, which the sensors here keep.
POKE_INTERVAL = 60


@pytest.fixture
def server(cytechbot_sandbox, monkeypatch):
    connection = cytechbot_sandbox.connection_json(max_retries=0)
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", connection)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    cytechbot_sandbox.quirks = "all"
    return cytechbot_sandbox


def campaign_sensor(flow_campaign_id=FEEDBACK, **options):
    return CyTechBotFlowCampaignSensor(task_id="wait", flow_campaign_id=flow_campaign_id, **options)


def subscriber_sensor(flow_campaign_id=FEEDBACK, subscriber_id=SUBSCRIBER, **options):
    return CyTechBotSubscriberFlowSensor(
        task_id="wait", flow_campaign_id=flow_campaign_id, subscriber_id=subscriber_id, **options
    )


def answer_completely(server):
    """Add a subscriber with all answers to the campaign without answers."""
    for question in ("51", "52"):
        server.answer(UNANSWERED, SUBSCRIBER, question, "Yes")


def between_pokes(monkeypatch, do):
    """Do something each time that a sensor sleeps from one poke to the next."""
    monkeypatch.setattr("time.sleep", lambda seconds: do() if seconds == POKE_INTERVAL else None)


def resumed(event, started_at=None):
    """Return the sensor that Airflow resumes after a deferral."""
    return "execute_complete", {"event": event, "started_at": started_at or time.time()}


@pytest.mark.parametrize("deferrable", [False, True])
def test_existing_answers_are_returned_at_once(server, deferrable):
    assert campaign_sensor(min_subscribers=8, deferrable=deferrable).execute({}) == {
        "flow_campaign_id": "1",
        "flow_name": "Product feedback",
        "answered": 8,
        "completed": 8,
    }
    answers = subscriber_sensor(deferrable=deferrable).execute({})
    assert [each["question_id"] for each in answers] == ["45", "46", "47"]


def test_the_log_shows_how_long_the_server_took(server, caplog, capsys):
    """The log helps to choose the interval."""
    server.fault("delay", ALL, seconds=0.3)
    with caplog.at_level(logging.INFO):
        campaign_sensor().execute({})
    shown = caplog.text + capsys.readouterr().out  # the logging depends on the version of Airflow
    line = r"8 of them completely; the request took (\S+) s. Required: 1 that have answered completely\."
    (seconds,) = set(re.findall(line, shown))
    assert float(seconds) >= 0.3


@pytest.mark.parametrize(
    ("answers", "complete", "reason"),
    [
        ([], True, "not answered yet"),
        (["51"], True, "answered, but not every question"),
        (["51"], False, "answered"),
        (["51", "52"], True, "answered every question"),
    ],
)
def test_the_log_shows_how_far_the_subscriber_has_come(server, caplog, capsys, answers, complete, reason):
    for question_id in answers:
        server.answer(UNANSWERED, SUBSCRIBER, question_id, "Yes")
    with caplog.at_level(logging.INFO):
        subscriber_sensor(UNANSWERED, complete=complete).poke({})
    shown = caplog.text + capsys.readouterr().out
    assert f"Flow campaign {UNANSWERED}: subscriber {SUBSCRIBER} has {reason}." in shown


def test_the_questions_are_read_once_and_an_empty_campaign_is_not_yet(server, monkeypatch):
    pokes = iter(range(3))

    def answer_later():
        if next(pokes) == 2:
            answer_completely(server)

    between_pokes(monkeypatch, answer_later)
    result = campaign_sensor(UNANSWERED).execute({})
    assert (result["answered"], result["completed"]) == (1, 1)
    assert len(server.requests(ALL)) == 4
    assert len(server.requests(CAMPAIGN)) == 1


def test_any_answer_is_enough_with_complete_false(server):
    server.answer(UNANSWERED, SUBSCRIBER, "51", "Yes")
    assert subscriber_sensor(UNANSWERED, complete=False).execute({})[0]["answer"] == "Yes"
    assert campaign_sensor(UNANSWERED, complete="False").execute({})["completed"] == 0
    with pytest.raises(TaskDeferred):
        subscriber_sensor(UNANSWERED, deferrable=True).execute({})
    assert len(server.requests(CAMPAIGN)) == 2  # no such request for a subscriber with any answer


def test_the_trigger_gets_the_sensors_parameters_and_no_secret(server):
    sensor = campaign_sensor(
        UNANSWERED,
        min_subscribers="3",
        deferrable=True,
        poke_interval=timedelta(minutes=5),
        timeout=1000,
        exponential_backoff=True,
        max_wait=timedelta(hours=1),
    )
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    path, kwargs = deferred.value.trigger.serialize()
    assert path.endswith("triggers.flow_answers.CyTechBotFlowCampaignTrigger")
    assert abs(kwargs.pop("started_at") - time.time()) < 60
    assert kwargs == {
        "min_subscribers": 3,
        "cytechbot_conn_id": "cytechbot_default",
        "flow_campaign_id": "2",
        "complete": True,
        "poke_interval": 300.0,
        "exponential_backoff": True,
        "max_wait": 3600.0,
        "timeout": 1000.0,
    }
    json.dumps(kwargs)
    assert server.api_key not in repr(deferred.value.trigger)
    assert 0 < 1000 + GRACE - deferred.value.timeout.total_seconds() < 60
    assert deferred.value.method_name == "execute_complete"


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("options", "raised"), [({}, AirflowFailException), ({"soft_fail": True}, AirflowSkipException)]
)
def test_an_unknown_campaign_fails_at_once(server, deferrable, options, raised):
    with pytest.raises(raised):
        campaign_sensor("99", deferrable=deferrable, **options).execute({})
    assert len(server.requests()) == 1


def test_an_unknown_campaign_with_an_empty_answer_fails_at_once(server):
    """Such an answer does not show whether the campaign exists."""
    server.fault("body", ONE, body='{"id": null, "flow_name": null, "data": []}')
    with pytest.raises(AirflowFailException):
        subscriber_sensor("99", complete=False, deferrable=True).execute({})


def test_a_few_failed_polls_are_tolerated(server):
    server.fault("status", ALL, status=503, times=MAX_FAILED_POLLS)
    assert campaign_sensor().execute({})["answered"] == 8


def test_only_failed_polls_in_a_row_are_counted(server, monkeypatch):
    pokes = iter(range(20))

    def break_again():
        if next(pokes) == MAX_FAILED_POLLS:  # this poke does not fail
            server.fault("status", ALL, status=503, times=MAX_FAILED_POLLS)
            answer_completely(server)

    server.fault("status", ALL, status=503, times=MAX_FAILED_POLLS)
    between_pokes(monkeypatch, break_again)
    assert campaign_sensor(UNANSWERED).execute({})["completed"] == 1
    assert len(server.requests(ALL)) == 2 * MAX_FAILED_POLLS + 2


@pytest.mark.parametrize(
    ("options", "raised"),
    [
        ({}, CyTechBotTransportError),
        ({"soft_fail": True}, CyTechBotTransportError),
        ({"never_fail": True}, AirflowSkipException),
    ],
)
def test_one_failed_poll_too_many_fails_the_task(server, options, raised):
    """`soft_fail` skips the same errors as in Airflow's own loop, in both modes."""
    server.fault("status", ALL, status=503, times=-1)
    with pytest.raises(raised):
        campaign_sensor(**options).execute({})
    assert len(server.requests(ALL)) == MAX_FAILED_POLLS + 1
    event = failed(CyTechBotTransportError("HTTP 503."), MAX_FAILED_POLLS + 1)
    with pytest.raises(raised):
        campaign_sensor(**options).resume_execution(*resumed(event), {})


def test_silent_fail_goes_on_waiting_in_both_modes(server):
    server.fault("status", ALL, status=503, times=MAX_FAILED_POLLS + 3)
    assert campaign_sensor(silent_fail=True).execute({})["answered"] == 8
    event = failed(CyTechBotTransportError("HTTP 503."), MAX_FAILED_POLLS + 1)
    with pytest.raises(TaskDeferred):
        campaign_sensor(silent_fail=True).resume_execution(*resumed(event), {})
    refused = failed(CyTechBotAuthError("the API refused."), 1)
    with pytest.raises(CyTechBotAuthError):
        campaign_sensor(silent_fail=True).resume_execution(*resumed(refused), {})


def test_a_poll_that_fails_does_not_keep_a_deferral(server):
    server.fault("status", ALL, status=503, times=-1)
    with pytest.raises(TaskDeferred):
        campaign_sensor(deferrable=True).execute({})


@pytest.mark.parametrize(
    ("options", "raised"),
    [
        ({}, AirflowSensorTimeout),
        ({"soft_fail": True}, AirflowSkipException),
        ({"never_fail": True}, AirflowSkipException),
    ],
)
def test_a_sensor_times_out(server, options, raised):
    with pytest.raises(raised):
        campaign_sensor(UNANSWERED, timeout=0, **options).execute({})
    with pytest.raises(raised):
        campaign_sensor(**options).resume_execution(*resumed(timed_out()), {})


@pytest.mark.parametrize(
    ("options", "raised"),
    [
        ({}, CyTechBotAuthError),
        ({"soft_fail": True}, AirflowSkipException),
        ({"never_fail": True}, AirflowSkipException),
    ],
)
def test_a_wrong_key_after_a_deferral(server, options, raised):
    event = failed(CyTechBotAuthError("the API refused."), 1)
    with pytest.raises(raised):
        campaign_sensor(**options).resume_execution(*resumed(event), {})


def test_after_a_deferral_the_result_is_the_same(server):
    counts = {"flow_campaign_id": "1", "flow_name": "Product feedback", "answered": 8, "completed": 8}
    assert campaign_sensor().resume_execution(*resumed(reached(counts)), {}) == counts
    subscriber = subscriber_sensor()
    assert subscriber.resume_execution(*resumed(reached()), {}) == subscriber_sensor().execute({})


def test_answers_that_cannot_be_read_after_the_wait_are_waited_for_again(server):
    started_at = time.time() - 1000
    server.fault("status", ONE, status=503)
    with pytest.raises(TaskDeferred) as deferred:
        subscriber_sensor(timeout=3000).resume_execution(*resumed(reached(), started_at), {})
    assert deferred.value.kwargs == {"started_at": started_at, "flow_campaign_id": FEEDBACK}
    assert deferred.value.trigger.started_at == started_at  # the same wait with the same timeout
    assert 2000 <= deferred.value.timeout.total_seconds() - GRACE + 1 <= 2001
    with pytest.raises(TaskDeferred):  # the answers were deleted meanwhile
        subscriber_sensor(UNANSWERED).resume_execution(*resumed(reached()), {})


@pytest.mark.parametrize("event", [None, {"status": "success"}, {**reached(), "version": 99}])
def test_an_event_of_another_version_is_rejected_and_not_skipped(server, event):
    with pytest.raises(CyTechBotTriggerEventError):
        campaign_sensor(soft_fail=True).resume_execution(*resumed(event), {})


@pytest.mark.parametrize("options", [{"min_subscribers": 0}, {"min_subscribers": 1.5}, {"complete": "maybe"}])
def test_a_wrong_parameter_fails_at_once(server, options):
    with pytest.raises(CyTechBotFieldError):
        campaign_sensor(**options).execute({})
