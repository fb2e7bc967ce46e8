"""Data never comes from `default_args`: every operator, sensor and transfer, every parameter."""

from __future__ import annotations

import copy
import importlib
import inspect
import logging
from datetime import UTC, datetime

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator, TaskGroup

from airflow_provider_cytechbot.operators.contact_groups import CyTechBotCreateContactGroupOperator
from airflow_provider_cytechbot.operators.contacts import CyTechBotCreateContactOperator
from airflow_provider_cytechbot.operators.own_arguments import OwnArgumentsMeta, protected_parameters
from airflow_provider_cytechbot.operators.users import CyTechBotUpdateUserOperator
from airflow_provider_cytechbot.sensors.flow_answers import CyTechBotFlowCampaignSensor
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator,
)

from ...provider_modules import provider_modules

START = datetime(2026, 1, 1, tzinfo=UTC)
CLASSES = sorted(
    {
        each
        for module in provider_modules("operators", "sensors", "transfers")
        for each in vars(importlib.import_module(module)).values()
        if inspect.isclass(each)
        and issubclass(each, BaseOperator)
        and each.__module__ == module
        and not module.endswith((".base", ".bulk_write"))
    },
    key=lambda each: each.__name__,
)
HOSTILE = "from default_args"


def parameters(operator):
    """Every parameter that a class of this provider declares, and whether it is required."""
    found = {}
    for cls in reversed(operator.__mro__):
        if cls.__module__.startswith("airflow_provider_cytechbot") and "__init__" in vars(cls):
            found |= {
                name: each
                for name, each in inspect.signature(cls.__init__).parameters.items()
                if name not in ("self", "kwargs")
            }
    return found


def required(operator):
    return {name: "given" for name, each in parameters(operator).items() if each.default is each.empty}


CASES = [
    pytest.param(operator, name, id=f"{operator.__name__}-{name}")
    for operator in CLASSES
    for name in sorted(protected_parameters(operator))
]


def through_dag(operator, defaults, **kwargs):
    with DAG("d", schedule=None, default_args=defaults):
        return operator(task_id="t", **kwargs)


def through_task_group(operator, defaults, **kwargs):
    with DAG("d", schedule=None), TaskGroup("g", default_args=defaults):
        return operator(task_id="t", **kwargs)


def through_the_task(operator, defaults, **kwargs):
    with DAG("d", schedule=None):
        return operator(task_id="t", default_args=defaults, **kwargs)


def through_partial(operator, defaults, **kwargs):
    with DAG("d", schedule=None, start_date=START, default_args=defaults):
        return operator.partial(task_id="t").expand_kwargs([kwargs]).unmap(kwargs)


WAYS = [through_dag, through_task_group, through_the_task, through_partial]


def test_every_operator_has_the_metaclass():
    assert len(CLASSES) >= 13
    assert all(type(each) is OwnArgumentsMeta for each in CLASSES)


@pytest.mark.parametrize("operator", CLASSES)
def test_protected_parameters_come_from_the_signatures(operator):
    airflow = {*inspect.signature(BaseOperator.__init__).parameters}
    if issubclass(operator, BaseSensorOperator):
        airflow |= {*inspect.signature(BaseSensorOperator.__init__).parameters}
    allowed = {
        "cytechbot_conn_id",
        "sql_conn_id",
        "deferrable",
        "start_from_trigger",
        "max_concurrency",
        *airflow,
    }
    assert protected_parameters(operator) == parameters(operator).keys() - allowed


@pytest.mark.parametrize("operator", CLASSES)
def test_every_parameter_is_typed_in_the_signature(operator):
    shown = inspect.signature(operator).parameters
    assert parameters(operator).keys() <= shown.keys()
    assert all(shown[name].annotation is not inspect.Parameter.empty for name in parameters(operator))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("operator", "name"), CASES)
def test_a_parameter_never_comes_from_default_args(operator, name, way):
    given = required(operator)
    if name in given:
        del given[name]
        with pytest.raises(TypeError, match=f"does not take '{name}' from default_args: give it to the"):
            way(operator, {name: HOSTILE}, **given)
        return
    task = way(operator, {name: HOSTILE}, **given)
    assert getattr(task, name) == parameters(operator)[name].default


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("operator", "name"), CASES)
def test_an_explicit_parameter_is_used(operator, name, way):
    task = way(operator, {name: HOSTILE}, **required(operator) | {name: "own"})
    assert getattr(task, name) == "own"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("operator", CLASSES)
def test_connections_come_from_default_args(operator, way):
    assert way(operator, {"cytechbot_conn_id": "shop"}, **required(operator)).cytechbot_conn_id == "shop"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("operator", CLASSES)
def test_airflows_own_parameters_come_from_default_args(operator, way):
    defaults = {"retries": 7, "owner": "etl", "email": "ops@example.com", "pool": "cytechbot"}
    task = way(operator, defaults, **required(operator))
    assert {name: getattr(task, name) for name in defaults} == defaults


@pytest.mark.parametrize("way", WAYS)
def test_the_timing_of_a_sensor_comes_from_default_args(way):
    defaults = {
        "poke_interval": 7,
        "timeout": 77,
        "mode": "reschedule",
        "deferrable": True,
        "soft_fail": True,
    }
    task = way(CyTechBotFlowCampaignSensor, defaults, flow_campaign_id="1")
    assert {name: getattr(task, name) for name in defaults} == defaults


def test_default_args_of_other_operators_are_ignored():
    defaults = {"name": "etl-pod", "image": "python", "mode": "reschedule", "status": "1", "path": "/data"}
    with DAG("d", schedule=None, default_args=defaults):
        user = CyTechBotUpdateUserOperator(task_id="u", user_id="1", expired_date="2027-01-01")
        export = CyTechBotFlowAnswersToObjectStorageOperator(task_id="e", flow_campaign_id="1", path="/a.csv")
    assert (user.name, user.status) == (None, None)
    assert export.path == "/a.csv"


def test_one_warning_names_the_ignored_default_args(caplog):
    defaults = {"name": "etl-pod", "status": "1", "retries": 2, "image": "python"}
    with caplog.at_level(logging.WARNING), DAG("d", schedule=None, default_args=defaults):
        CyTechBotUpdateUserOperator(task_id="extend", user_id="1", expired_date="2027-01-01")
    (warning,) = [each for each in caplog.records if "default_args" in each.getMessage()]
    assert warning.getMessage() == (
        "CyTechBotUpdateUserOperator 'extend' ignores 'name', 'status' of default_args: "
        "such values come from its own arguments only."
    )


def test_no_warning_without_ignored_default_args(caplog):
    with caplog.at_level(logging.WARNING), DAG("d", schedule=None, default_args={"name": "x", "retries": 1}):
        CyTechBotCreateContactGroupOperator(task_id="t", name="Leads")
    assert "default_args" not in caplog.text


class Leads(CyTechBotCreateContactGroupOperator):
    """A subclass outside of the provider, which sets a value and has a parameter of its own."""

    def __init__(self, *, team: str = "none", **kwargs):
        super().__init__(name=f"Leads of {team}", **kwargs)


@pytest.mark.parametrize("way", WAYS)
def test_values_set_by_a_subclass_are_used(way):
    assert way(Leads, {"name": HOSTILE}).name == "Leads of none"


@pytest.mark.parametrize("way", WAYS)
def test_parameters_that_a_subclass_adds_come_from_default_args(way):
    assert way(Leads, {"team": "sales"}).name == "Leads of sales"


def test_the_error_of_a_missing_parameter_is_worded_like_airflows():
    with pytest.raises(TypeError, match="missing keyword argument 'name'"):
        CyTechBotCreateContactGroupOperator(task_id="t")


def test_a_task_can_be_copied():
    with DAG("d", schedule=None, default_args={"contact_email": HOSTILE, "email": "ops@example.com"}):
        task = CyTechBotCreateContactOperator(task_id="t", contact_type_id=1, contact_email="kim@example.com")
    for each in (task, copy.copy(task), copy.deepcopy(task)):
        assert (each.contact_email, each.email) == ("kim@example.com", "ops@example.com")


def test_an_upstream_task_is_found_in_a_parameter():
    with DAG("d", schedule=None):
        group = CyTechBotCreateContactGroupOperator(task_id="group", name="Leads")
        contact = CyTechBotCreateContactOperator(task_id="contact", contact_type_id=group.output)
    assert contact.upstream_task_ids == {"group"}
