from __future__ import annotations

import json
import subprocess
import sys
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import wtforms
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_cytechbot.connection_form import (
    CONN_FIELDS,
    UI_FIELD_BEHAVIOUR,
    connection_form_widgets,
    ui_field_behaviour,
)
from airflow_provider_cytechbot.get_provider_info import get_provider_info
from airflow_provider_cytechbot.hooks.connection_settings import read_settings


class PostedForm(dict[str, str]):
    """What a browser sends, as WTForms wants it."""

    def getlist(self, name: str) -> list[str]:
        return [self[name]] if name in self else []


def connection(**extra: Any) -> Connection:
    return Connection(
        conn_id="cytechbot_default", conn_type="cytechbot", password="a-key", extra=json.dumps(extra)
    )


def filled_in(**values: str) -> wtforms.Form:
    form = type("ConnectionForm", (wtforms.Form,), connection_form_widgets())
    return form(PostedForm({name: "" for name in CONN_FIELDS if "boolean" not in types(name)} | values))


def types(name: str) -> list[str]:
    return CONN_FIELDS[name]["schema"]["type"]


def test_an_empty_connection_means_what_the_form_shows():
    settings = read_settings(connection())
    shown = {name: field["schema"]["default"] for name, field in CONN_FIELDS.items()}
    assert shown.pop("allow_http") is False
    # Airflow would store a default as an extra, and warn in each log of a secret as short as "UTC".
    assert shown.pop("server_timezone") is None
    assert settings.server_timezone.key == "UTC"
    assert shown == {name: getattr(settings, name) for name in shown}


def test_values_saved_by_an_unchanged_form_are_read(caplog):
    extra = {name: field["schema"]["default"] for name, field in CONN_FIELDS.items()}
    assert read_settings(connection(**extra)) == read_settings(connection())
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        (name, field["schema"][limit])
        for name, field in CONN_FIELDS.items()
        for limit in ("minimum", "maximum")
        if limit in field["schema"] and field["schema"][limit] != field["schema"].get("exclusiveMinimum")
    ],
)
def test_the_limits_of_the_form_are_understood(name, limit):
    assert getattr(read_settings(connection(**{name: limit})), name) == limit


@pytest.mark.parametrize("name", CONN_FIELDS)
def test_field_explains_itself_and_may_be_left_empty(name):
    field = CONN_FIELDS[name]
    assert field["label"]
    assert field["description"].endswith(".")
    jsonschema.Draft202012Validator.check_schema(field["schema"])
    jsonschema.validate(field["schema"]["default"], field["schema"])
    jsonschema.validate(None, field["schema"])


@pytest.mark.parametrize(
    ("name", "value"), [("timeout", 0), ("max_retries", -1), ("requests_per_second", 0), ("timeout", "1")]
)
def test_schema_refuses(name, value):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, CONN_FIELDS[name]["schema"])


def test_port_stays_in_the_form():
    assert UI_FIELD_BEHAVIOUR["hidden-fields"] == ["login", "schema"]


def test_metadata_and_class_methods_show_one_form():
    (connection_type,) = get_provider_info()["connection-types"]
    widgets = connection_form_widgets()
    assert list(widgets) == list(connection_type["conn-fields"])
    for name, field in connection_type["conn-fields"].items():
        assert widgets[name].args == (field["label"],)
        assert widgets[name].kwargs["description"] == field["description"]
        assert widgets[name].kwargs["default"] == field["schema"]["default"]
    assert {key.replace("_", "-"): value for key, value in ui_field_behaviour().items()} == connection_type[
        "ui-field-behaviour"
    ]


def test_behaviour_is_a_copy():
    ui_field_behaviour()["relabeling"].clear()
    assert ui_field_behaviour()["relabeling"]["host"] == "Base URL"


def test_widgets_are_of_the_classes_that_airflow_accepts():
    assert {name: widget.field_class for name, widget in connection_form_widgets().items()} == {
        "timeout": wtforms.IntegerField,
        "max_retries": wtforms.IntegerField,
        "requests_per_second": wtforms.StringField,
        "server_timezone": wtforms.StringField,
        "verify_tls": wtforms.BooleanField,
        "ca_bundle": wtforms.StringField,
        "proxy": wtforms.PasswordField,
        "allow_http": wtforms.BooleanField,
    }


def test_empty_form_can_be_saved():
    form = filled_in()
    assert form.validate(), form.errors
    assert form.data["timeout"] is None


@pytest.mark.parametrize(("name", "value"), [("timeout", "0"), ("timeout", "soon"), ("max_retries", "-1")])
def test_form_refuses(name, value):
    form = filled_in(**{name: value})
    assert not form.validate()
    assert list(form.errors) == [name]


def test_a_new_connection_shows_the_defaults():
    form = type("ConnectionForm", (wtforms.Form,), connection_form_widgets())()
    assert form.data == {name: field["schema"]["default"] for name, field in CONN_FIELDS.items()}


@pytest.fixture
def airflow_2(monkeypatch):
    """Stand-ins for what Airflow 2 draws its form with. Returns the module of the widgets."""
    fieldwidgets: Any = ModuleType("flask_appbuilder.fieldwidgets")
    fieldwidgets.BS3TextFieldWidget = type("BS3TextFieldWidget", (), {})
    fieldwidgets.BS3PasswordFieldWidget = type("BS3PasswordFieldWidget", (wtforms.widgets.PasswordInput,), {})
    views: Any = ModuleType("airflow.www.views")
    views.SENSITIVE_FIELD_PLACEHOLDER = "unchanged"
    for module in (ModuleType("flask_appbuilder"), fieldwidgets, ModuleType("airflow.www"), views):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return fieldwidgets


def test_text_fields_look_as_airflow_2_draws_them(airflow_2):
    widgets = connection_form_widgets()
    assert isinstance(widgets["timeout"].kwargs["widget"], airflow_2.BS3TextFieldWidget)
    assert isinstance(widgets["ca_bundle"].kwargs["widget"], airflow_2.BS3TextFieldWidget)
    assert "widget" not in widgets["verify_tls"].kwargs


def test_the_stand_ins_of_airflow_3_1_are_enough(airflow_2):
    airflow_2.BS3TextFieldWidget = airflow_2.BS3PasswordFieldWidget = type("MockAnyWidget", (), {})
    assert list(connection_form_widgets()) == list(CONN_FIELDS)


def test_airflow_2_gets_a_mark_for_an_unchanged_secret_and_never_the_secret(airflow_2):
    form = type("ConnectionForm", (wtforms.Form,), connection_form_widgets())
    shown = form(data={"proxy": "http://kim:s3cret@proxy"}).proxy()
    assert 'type="password"' in shown
    assert 'value="unchanged"' in shown
    assert 'value=""' in form().proxy()


def test_without_wtforms_the_error_is_the_one_that_airflow_expects(monkeypatch):
    monkeypatch.setitem(sys.modules, "wtforms", None)
    with pytest.raises(ImportError) as error:
        connection_form_widgets()
    assert error.value.name == "wtforms"


def test_airflow_hides_the_proxy_by_its_name():
    masker = pytest.importorskip("airflow._shared.secrets_masker", reason="since Airflow 3.1")
    assert masker.should_hide_value_for_key("proxy")


def test_form_of_airflow_3_2_and_later():
    connections = pytest.importorskip(
        "airflow.api_fastapi.core_api.services.ui.connections", reason="since Airflow 3.1"
    )
    shown = {meta.connection_type: meta for meta in connections.HookMetaService.hook_meta_data()}["cytechbot"]
    assert shown.hook_name == "CyTechBot"
    assert shown.standard_fields.host.title == "Base URL"
    assert shown.standard_fields.password.title == "API key"
    assert shown.standard_fields.login.hidden
    assert not shown.standard_fields.port.hidden
    assert {name: field["schema"]["title"] for name, field in shown.extra_fields.items()} == {
        name: field["label"] for name, field in CONN_FIELDS.items()
    }
    assert shown.extra_fields["timeout"]["value"] == 60


def test_import_costs_nothing_but_the_standard_library():
    program = (
        "import sys; before = set(sys.modules)\n"
        "import airflow_provider_cytechbot.get_provider_info\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["airflow_provider_cytechbot"]
