from __future__ import annotations

import importlib
import inspect
import json
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    AirflowSensorTimeout,
    BaseSensorOperator,
    TaskDeferred,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotFieldError, CyTechBotTransportError
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.sensors.base import GRACE, CyTechBotBaseSensor
from airflow_provider_cytechbot.sensors.flow_answers import (
    CyTechBotFlowCampaignSensor,
    CyTechBotSubscriberFlowSensor,
)
from airflow_provider_cytechbot.triggers.events import failed, reached, timed_out

SENSORS = {CyTechBotFlowCampaignSensor: {}, CyTechBotSubscriberFlowSensor: {"subscriber_id": "31"}}
UNANSWERED = "2"


def make(cls=CyTechBotFlowCampaignSensor, **options):
    return cls(**{"task_id": "wait", "flow_campaign_id": UNANSWERED, **SENSORS[cls], **options})


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


class TestByName:
    @pytest.mark.parametrize("cls", SENSORS)
    @pytest.mark.parametrize("deferrable", [False, True])
    def test_an_unknown_name_fails_at_once(self, cls, deferrable, server):
        sensor = make(cls, flow_campaign_id=None, flow_campaign_name="No such", deferrable=deferrable)
        with pytest.raises(AirflowFailException, match="no flow campaign has the name 'No such'"):
            sensor.execute({})
        assert len(server.requests()) == 1

    @pytest.mark.parametrize("cls", SENSORS)
    @pytest.mark.parametrize("names", [{}, {"flow_campaign_id": "1", "flow_campaign_name": "Feedback"}])
    def test_exactly_one_of_id_and_name_is_needed(self, cls, names, server):
        with pytest.raises(CyTechBotFieldError):
            make(cls, **{"flow_campaign_id": None, **names}).execute({})
        assert server.requests() == []

    def test_the_name_is_looked_up_once_in_a_wait(self, server, monkeypatch):
        name = next(each["flow_name"] for each in CyTechBotHook().get_flow_campaigns() if each["id"] == "2")
        sensor = make(flow_campaign_id=None, flow_campaign_name=name, deferrable=True)
        with pytest.raises(TaskDeferred) as deferred:
            sensor.execute({})
        assert deferred.value.trigger.flow_campaign_id == "2"
        assert deferred.value.kwargs["flow_campaign_id"] == "2"
        resumed = make(
            CyTechBotSubscriberFlowSensor,
            flow_campaign_id=None,
            flow_campaign_name="Renamed",
            deferrable=True,
        )
        for question in ("51", "52"):
            server.answer("2", "31", question, "Yes")
        found = resumed.execute_complete({}, event=reached(), **deferred.value.kwargs)
        assert len(found) == 2
        assert len(server.requests("get_flow_campaigns")) == 2

    def test_a_failed_lookup_is_tolerated_like_a_failed_poll(self, server, monkeypatch):
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        name = next(each["flow_name"] for each in CyTechBotHook().get_flow_campaigns() if each["id"] == "2")
        server.fault("status", "get_flow_campaigns", status=503, times=2)
        with pytest.raises(TaskDeferred) as deferred:
            make(flow_campaign_id=None, flow_campaign_name=name, deferrable=True).execute({})
        assert deferred.value.trigger.flow_campaign_id == "2"
        assert len(server.requests("get_flow_campaigns")) == 4


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="templates of triggers need Airflow 3.3")
@pytest.mark.parametrize("cls", SENSORS)
class TestStartFromTrigger:
    def start(self, cls, **options):
        return make(cls, **{"deferrable": True, "start_from_trigger": True, **options})

    def test_stores_the_trigger_with_all_arguments(self, cls):
        sensor = self.start(
            cls,
            flow_campaign_id="{{ params.campaign }}",
            complete="{{ params.complete }}",
            poke_interval=timedelta(minutes=5),
            timeout=1000,
            max_wait=timedelta(hours=1),
        )
        assert sensor.start_from_trigger is True
        args = sensor.start_trigger_args
        module, _, name = args.trigger_cls.rpartition(".")
        trigger = getattr(importlib.import_module(module), name)(**args.trigger_kwargs)
        assert trigger.is_started_here
        assert (trigger.poke_interval, trigger.timeout, trigger.max_wait) == (300.0, 1000.0, 3600.0)
        assert set(args.trigger_kwargs) & set(sensor.template_fields) >= {"flow_campaign_id", "complete"}
        assert args.timeout == timedelta(seconds=1000 + GRACE)
        assert callable(getattr(sensor, args.next_method))

    def test_counts_the_execution_timeout(self, cls):
        sensor = self.start(cls, timeout=1000, execution_timeout=timedelta(seconds=50))
        assert sensor.start_trigger_args.trigger_kwargs["timeout"] == 50.0

    @pytest.mark.parametrize(
        "options",
        [
            {"deferrable": False},
            {"flow_campaign_id": None, "flow_campaign_name": "Feedback"},
            {"flow_campaign_id": 1.5},
            {"start_from_trigger": False},
        ],
    )
    def test_starts_on_a_worker_where_it_cannot_start_in_the_triggerer(self, cls, options):
        sensor = self.start(cls, **options)
        assert sensor.start_from_trigger is False
        assert not sensor.start_trigger_args

    def test_starts_on_a_worker_with_the_output_of_another_task(self, cls):
        with DAG("d", schedule=None):
            sensor = self.start(cls, flow_campaign_id=make(cls, task_id="other").output)
        assert sensor.start_from_trigger is False

    def test_a_mapped_sensor_starts_on_a_worker(self, cls):
        mapped = cls.partial(task_id="t", deferrable=True, start_from_trigger=True, **SENSORS[cls]).expand(
            flow_campaign_id=["1", "2"]
        )
        assert not mapped.start_trigger_args

    def test_can_be_serialized(self, cls):
        from airflow.serialization.serialized_objects import DagSerialization

        with DAG("d", schedule=None) as dag:
            self.start(cls)
        task = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag)))).get_task(
            "wait"
        )
        assert task.start_from_trigger is True
        assert task.start_trigger_args.next_method == "execute_complete"


@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="Airflow 3.3 can")
def test_before_airflow_3_3_a_sensor_starts_on_a_worker():
    assert make(deferrable=True, start_from_trigger=True).start_from_trigger is False


def test_the_start_of_a_wait_comes_from_the_task_instance(server):
    started = datetime(2026, 1, 1, tzinfo=UTC)
    context = {"ti": SimpleNamespace(start_date=started)}
    with pytest.raises(AirflowSensorTimeout):
        make().execute_complete(context, event=timed_out())
    event = failed(CyTechBotTransportError("cut off."), 1)
    with pytest.raises(TaskDeferred) as deferred:
        make(silent_fail=True, timeout=3 * 10**8).execute_complete(context, event=event)
    assert deferred.value.trigger.started_at == started.timestamp()
