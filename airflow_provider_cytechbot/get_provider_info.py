"""What Airflow reads, at each of its starts, to learn what this provider offers."""

from __future__ import annotations

import copy
from typing import Any

from airflow_provider_cytechbot.connection_form import CONN_FIELDS, UI_FIELD_BEHAVIOUR

INTEGRATION = "CyTechBot"

_FLOW_CAMPAIGNS = "airflow_provider_cytechbot.assets.flow_campaigns"
ASSET_URIS = [
    {
        "schemes": ["cytechbot"],
        "handler": f"{_FLOW_CAMPAIGNS}.sanitize_uri",
        "factory": f"{_FLOW_CAMPAIGNS}.create_asset",
        "to_openlineage_converter": f"{_FLOW_CAMPAIGNS}.convert_asset_to_openlineage",
    }
]


def get_provider_info() -> dict[str, Any]:
    """
    Return the provider's metadata.

    :return: A dictionary in the form of Airflow's ``provider_info.schema.json``; its keys are kebab-case, and
        Airflow ignores any other spelling of them without a word.
    """
    return {
        "package-name": "airflow-provider-cytechbot",
        "name": "CyTechBot",
        "description": "`CyTechBot <https://cytechbot.com/>`__, a chatbot platform built on XeroChat.\n",
        "integrations": [
            {
                "integration-name": INTEGRATION,
                "external-doc-url": "https://cytechbot.com/api",
                "tags": ["service"],
            },
        ],
        "hooks": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [
                    "airflow_provider_cytechbot.hooks.cytechbot",
                    "airflow_provider_cytechbot.hooks.cytechbot_async",
                ],
            },
        ],
        "operators": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [
                    f"airflow_provider_cytechbot.operators.{module}"
                    for module in ("base", "bulk_write", "contact_groups", "contacts", "labels", "users")
                ],
            },
        ],
        "sensors": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [
                    "airflow_provider_cytechbot.sensors.base",
                    "airflow_provider_cytechbot.sensors.flow_answers",
                ],
            },
        ],
        "triggers": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [
                    "airflow_provider_cytechbot.triggers.flow_answers",
                    "airflow_provider_cytechbot.triggers.new_flow_answers",
                ],
            },
        ],
        "transfers": [
            {
                "source-integration-name": INTEGRATION,
                # Airflow's name for what ObjectStoragePath opens.
                "target-integration-name": "Common IO",
                "python-module": f"airflow_provider_cytechbot.transfers.{module}",
            }
            for module in ("flow_answers_to_object_storage", "flow_report")
        ],
        "extra-links": [
            "airflow_provider_cytechbot.operators.links.CyTechBotInstallationLink",
            "airflow_provider_cytechbot.operators.links.CyTechBotFileLink",
        ],
        "asset-uris": copy.deepcopy(ASSET_URIS),
        "dataset-uris": copy.deepcopy(ASSET_URIS),  # their name before Airflow 3.0
        "connection-types": [
            {
                "connection-type": "cytechbot",
                "hook-class-name": "airflow_provider_cytechbot.hooks.cytechbot.CyTechBotHook",
                "hook-name": "CyTechBot",
                "ui-field-behaviour": copy.deepcopy(UI_FIELD_BEHAVIOUR),
                "conn-fields": copy.deepcopy(CONN_FIELDS),
            },
        ],
    }
