from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from airflow.triggers.base import BaseTrigger

import airflow_provider_cytechbot
from airflow_provider_cytechbot.get_provider_info import get_provider_info
from tests.provider_modules import provider_modules

PACKAGE = Path(airflow_provider_cytechbot.__file__).parent
# Below these, keys are names of fields and keywords of JSON Schema.
FREE_KEYS_BELOW = {"conn-fields", "relabeling", "placeholders", "schema"}
SPELT_WITH_UNDERSCORES = {"to_openlineage_converter"}  # by Airflow's schema
BASES = {
    "hooks": BaseHook,
    "operators": BaseOperator,
    "sensors": BaseOperator,
    "transfers": BaseOperator,
    "triggers": BaseTrigger,
}


def airflow_schema(name: str) -> dict[str, Any]:
    return json.loads(importlib.resources.files("airflow").joinpath(name).read_text())


def misspelt_keys(value: Any) -> Iterator[str]:
    """Yield the keys that Airflow would ignore in silence, for it reads kebab-case only."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if ("_" in key and key not in SPELT_WITH_UNDERSCORES) or key != key.lower():
                yield key
            if key == "conn-fields":
                for field in inner.values():
                    yield from misspelt_keys(field)
            elif key not in FREE_KEYS_BELOW:
                yield from misspelt_keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from misspelt_keys(inner)


def modules_that_offer(kind: str) -> list[str]:
    """Name the modules on disk with a public class of that kind; others are parts of them."""
    found = []
    for path in sorted((PACKAGE / kind).rglob("*.py")):
        name = ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts))
        try:
            classes = vars(importlib.import_module(name)).items()
        except ModuleNotFoundError as error:
            if not error.name.startswith("airflow."):
                raise
            continue  # a part of others, for an Airflow that has what it rests on
        except ImportError as error:
            if "needs Airflow" not in str(error):
                raise
            found.append(name)  # it offers something where Airflow is new enough
            continue
        if any(
            isinstance(value, type)
            and issubclass(value, BASES[kind])
            and value.__module__ == name
            and not class_name.startswith("_")
            for class_name, value in classes
        ):
            found.append(name)
    return found


def test_valid_where_airflow_discovers_providers():
    jsonschema.validate(get_provider_info(), airflow_schema("provider_info.schema.json"))


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 wants keys there that Airflow 3 forbids")
def test_valid_in_the_stricter_form_of_airflows_own_providers():
    only_in_airflows_repository = {"state": "ready", "source-date-epoch": 1, "versions": ["0.1.0"]}
    schema = airflow_schema("provider.yaml.schema.json")
    jsonschema.validate(get_provider_info() | only_in_airflows_repository, schema)


def test_keys_are_kebab_case():
    assert list(misspelt_keys(get_provider_info())) == []


@pytest.mark.parametrize("key", ["ui_field_behaviour", "conn_fields", "hook_name", "hook-Name"])
def test_the_check_of_keys_sees_a_wrong_one(key):
    info = get_provider_info()
    info["connection-types"][0][key] = {}
    assert list(misspelt_keys(info)) == [key]


@pytest.mark.parametrize("kind", BASES)
def test_lists_exactly_the_modules_with_public_classes(kind):
    assert sorted(provider_modules(kind)) == modules_that_offer(kind)


def test_connection_type_and_hook_agree():
    (connection_type,) = get_provider_info()["connection-types"]
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert hook.conn_type == connection_type["connection-type"] == "cytechbot"
    assert hook.hook_name == connection_type["hook-name"] == "CyTechBot"


def test_integrations_named_belong_to_an_installed_provider():
    providers = [
        entry_point.load()()
        for entry_point in importlib.metadata.entry_points(group="apache_airflow_provider")
        if entry_point.name == "provider_info"
    ]
    known = {item["integration-name"] for info in providers for item in info.get("integrations", [])}
    info = get_provider_info()
    named = {
        value
        for kind in info.values()
        if isinstance(kind, list)
        for item in kind
        if isinstance(item, dict)
        for key, value in item.items()
        if key.endswith("integration-name")
    }
    assert named <= known


def test_entry_point_leads_here():
    entry_points = importlib.metadata.distribution("airflow-provider-cytechbot").entry_points
    (entry_point,) = entry_points.select(group="apache_airflow_provider")
    assert entry_point.load() is get_provider_info


def test_each_call_returns_an_answer_of_its_own():
    get_provider_info()["connection-types"][0]["conn-fields"].clear()
    assert get_provider_info()["connection-types"][0]["conn-fields"]
