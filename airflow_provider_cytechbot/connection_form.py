"""The form of a ``cytechbot`` connection, defined once for every Airflow version that shows it.

Airflow 3.2 and later read the two dictionaries from the provider metadata and never import the hook for it;
2.11 to 3.1 call the hook's class methods, which are derived from the same dictionaries here.
"""

from __future__ import annotations

import copy
from typing import Any

CONN_FIELDS: dict[str, dict[str, Any]] = {
    "timeout": {
        "label": "Timeout (seconds)",
        "description": "How long to wait for the next bytes of an answer before giving up.",
        "schema": {"type": ["integer", "null"], "default": 60, "minimum": 1, "maximum": 86_400},
    },
    "max_retries": {
        "label": "Retries",
        "description": (
            "How often a call that got no usable answer is repeated. "
            "Calls that could act twice are never repeated. 0: no call is."
        ),
        "schema": {"type": ["integer", "null"], "default": 4, "minimum": 0},
    },
    "requests_per_second": {
        "label": "Requests per second",
        "description": (
            "The most requests per second of one process, more than 0. Each running task is a process, and "
            "each triggerer. A limit across tasks needs an Airflow pool or max_active_tis_per_dag. "
            "Empty: no limit."
        ),
        # The form supports "minimum" only, and so lets 0 through; the hook refuses it.
        "schema": {"type": ["number", "null"], "default": None, "minimum": 0, "exclusiveMinimum": 0},
    },
    "server_timezone": {
        "label": "Server time zone",
        "description": (
            "IANA name of the time zone of the server, which sends its times without one. Empty: UTC."
        ),
        # No "UTC" as default: Airflow would store it as an extra and warn in each log of so short a secret.
        "schema": {
            "type": ["string", "null"],
            "default": None,
            "examples": ["UTC", "America/New_York", "Asia/Dhaka", "Asia/Singapore", "Europe/London"],
        },
    },
    "verify_tls": {
        "label": "Verify the server's certificate",
        "description": (
            "Switch this off for a test server only: anybody on the way can then read the API key."
        ),
        "schema": {"type": ["boolean", "null"], "default": True},
    },
    "ca_bundle": {
        "label": "CA bundle",
        "description": (
            "Path, on the workers, of a PEM file with the certificates to trust. Empty: the usual ones."
        ),
        "schema": {"type": ["string", "null"], "default": None},
    },
    "proxy": {
        "label": "Proxy",
        "description": (
            "URL of a proxy to send every call through, such as http://proxy.example.com:3128. "
            "Airflow treats it as a secret, because such a URL may hold a password. Empty: none."
        ),
        # Airflow's REST API and logs hide an extra by its name, "proxy" among them, and not by its format.
        # The format makes the form hide it as well.
        "schema": {"type": ["string", "null"], "default": None, "format": "password"},
    },
    "allow_http": {
        "label": "Allow plain http://",
        "description": (
            "Allow the API key to travel unencrypted to a server other than this machine itself. "
            "For test networks only."
        ),
        "schema": {"type": ["boolean", "null"], "default": False},
    },
}
"""The extras of a connection by name, in the order of the form (``conn-fields`` of the provider metadata)."""

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    # Not "port": Airflow 3.3's Test button sends 0 for a port left empty, and Airflow then refuses to test
    # the connection, with no word on why. Only the caption can explain this, as a port has no description.
    "hidden-fields": ["login", "schema"],
    "relabeling": {"host": "Base URL", "password": "API key", "port": "Port (Test needs it: 443)"},
    "placeholders": {
        "host": "https://cytechbot.com/api",
        "password": "the API key of your CyTechBot account",
    },
}
"""What the form does with Airflow's own fields (``ui-field-behaviour`` of the provider metadata)."""


def connection_form_widgets() -> dict[str, Any]:
    """
    Build the form fields that Airflow 2.11 to 3.1 read from a hook.

    :return: An unbound WTForms field for each extra, by its name.
    :raises ImportError: WTForms is missing; Airflow expects that, and shows the form without the extras.
    """
    from wtforms import BooleanField, IntegerField, PasswordField, StringField
    from wtforms.validators import NumberRange, Optional

    try:
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    except ImportError:
        text_widget = password_widget = None
    else:
        text_widget = BS3TextFieldWidget()

        # A function and no subclass: Airflow 3.1 puts a stand-in in the place of the class, which takes no
        # arguments either.
        def password_widget(field: Any, **kwargs: Any) -> Any:
            """Draw a secret as unchanged, which Airflow 2 then keeps: it removes what comes back empty."""
            from airflow.www.views import SENSITIVE_FIELD_PLACEHOLDER

            value = SENSITIVE_FIELD_PLACEHOLDER if field.data else ""
            return BS3PasswordFieldWidget(hide_value=False)(field, **kwargs, value=value)

    widgets: dict[str, Any] = {}
    for name, field in CONN_FIELDS.items():
        schema = field["schema"]
        options: dict[str, Any] = {"description": field["description"], "default": schema["default"]}
        # WTForms takes an empty number for a mistake unless the field is optional.
        validators = [Optional()]
        if "boolean" in schema["type"]:
            field_class = BooleanField
        elif "integer" in schema["type"]:
            field_class, options["widget"] = IntegerField, text_widget
            validators.append(NumberRange(min=schema["minimum"], max=schema.get("maximum")))
        elif schema.get("format") == "password":
            field_class, options["widget"] = PasswordField, password_widget
        else:
            # Numbers with a fraction too, as Airflow accepts no other class: the hook reads them from text.
            field_class, options["widget"] = StringField, text_widget
        widgets[name] = field_class(field["label"], validators=validators, **options)
    return widgets


def ui_field_behaviour() -> dict[str, Any]:
    """
    Describe what the form of Airflow 2.11 to 3.1 does with its own fields.

    :return: :data:`UI_FIELD_BEHAVIOUR` under the names that a hook's class method uses (with underscores).
    """
    return {key.replace("-", "_"): copy.deepcopy(value) for key, value in UI_FIELD_BEHAVIOUR.items()}
