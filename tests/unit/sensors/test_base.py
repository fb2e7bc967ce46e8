from __future__ import annotations

import inspect
import json
import time
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import BaseSensorOperator, TaskDeferred

from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotFieldError
from airflow_provider_cytechbot.sensors.base import GRACE, CyTechBotBaseSensor
from airflow_provider_cytechbot.sensors.flow_answers import (
    CyTechBotFlowCampaignSensor,
    CyTechBotSubscriberFlowSensor,
)

SENSORS = {CyTechBotFlowCampaignSensor: {}, CyTechBotSubscriberFlowSensor: {"subscriber_id": "31"}}
UNANSWERED = "2"


def make(cls=CyTechBotFlowCampaignSensor, **options):
    return cls(task_id="wait", **{"flow_campaign_id": UNANSWERED, **SENSORS[cls], **options})


@pytest.fixture
def server(cytechbot_sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", cytechbot_sandbox.connection_json(max_retries=0))
    return cytechbot_sandbox


@pytest.mark.parametrize("cls", [CyTechBotBaseSensor, *SENSORS])
def test_every_parameter_of_airflows_sensors_stands_in_the_signature(cls):
    """YAML DAGs read the types there."""
    own, airflow = inspect.signature(cls).parameters, inspect.signature(BaseSensorOperator).parameters
    for name in ("poke_interval", "timeout", "max_wait"):
        assert "timedelta" in str(own[name].annotation)
    for name in airflow.keys() - {"kwargs", "self"}:
        assert own[name].annotation != inspect.Parameter.empty
    assert {"deferrable", "cytechbot_conn_id", "complete", "flow_campaign_id"} <= own.keys()


@pytest.mark.parametrize("cls", SENSORS)
def test_defaults_are_those_of_airflow(cls):
    sensor, plain = make(cls), BaseSensorOperator(task_id="plain")
    for name in (
        "poke_interval", "timeout", "mode", "exponential_backoff", "max_wait",
        "soft_fail", "silent_fail", "never_fail",
    ):  # fmt: skip
        assert getattr(sensor, name) == getattr(plain, name)


@pytest.mark.parametrize("cls", SENSORS)
def test_durations_can_be_timedeltas(cls):
    sensor = make(
        cls, poke_interval=timedelta(minutes=5), timeout=timedelta(hours=1), max_wait=timedelta(hours=2)
    )
    assert (sensor.poke_interval, sensor.timeout, sensor.max_wait) == (300.0, 3600.0, timedelta(hours=2))


@pytest.mark.parametrize("name", ["poke_interval", "timeout", "max_wait"])
@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -1, 1e300, "5m", True, timedelta(-1), timedelta.max]
)
def test_a_duration_that_cannot_be_used_is_refused_where_the_dag_is_read(name, value):
    with pytest.raises(CyTechBotFieldError, match=name):
        make(**{name: value})


@pytest.mark.parametrize(
    ("execution_timeout", "seconds"),
    [(None, 1000), (timedelta(seconds=300), 300), (timedelta(hours=2), 1000)],
)
def test_an_execution_timeout_counts_while_deferred(server, execution_timeout, seconds):
    sensor = make(deferrable=True, timeout=1000, execution_timeout=execution_timeout)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    assert deferred.value.trigger.timeout == seconds
    assert seconds - 30 < deferred.value.timeout.total_seconds() - GRACE <= seconds


@pytest.mark.parametrize(
    "message", ["Database is busy", "(#613) Calls to this api have exceeded the rate limit.", "Access denied"]
)
@pytest.mark.parametrize("cls", SENSORS)
def test_a_refusal_is_never_taken_for_not_answered_yet(server, cls, message):
    endpoint = {
        CyTechBotFlowCampaignSensor: "get_all_subscriber_flow_info",
        CyTechBotSubscriberFlowSensor: "get_single_subscriber_flow_info",
    }[cls]
    body = json.dumps({"status": "error", "message": message})
    server.fault("body", endpoint, body=body, times=-1)
    sensor = make(cls)
    with pytest.raises(CyTechBotError):  # noqa: PT012
        for _ in range(10):
            sensor.poke({})


def test_a_resumed_wait_keeps_its_start(server):
    started_at = time.time() - 100
    sensor = make(timeout=1000)
    with pytest.raises(TaskDeferred) as deferred:
        sensor._defer(started_at)
    assert deferred.value.trigger.started_at == started_at
