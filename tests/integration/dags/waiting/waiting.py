"""DAGs that wait in all ways, for the tests of sensors and triggers under a real Airflow."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

from airflow.providers.common.compat.sdk import DAG, Asset
from airflow.sdk import AssetWatcher, task

from airflow_provider_cytechbot.sensors.flow_answers import (
    CyTechBotFlowCampaignSensor,
    CyTechBotSubscriberFlowSensor,
)
from airflow_provider_cytechbot.triggers.new_flow_answers import CyTechBotNewFlowAnswersTrigger

#: Where a sensor waits, and its `deferrable`.
MODES = {"worker": False, "deferred": True}
CONF = {"flow_campaign_id": "{{ dag_run.conf['campaign'] }}", "poke_interval": 1, "timeout": 600}

with DAG("wait_campaign", schedule=None):
    for mode, deferrable in MODES.items():
        CyTechBotFlowCampaignSensor(task_id=mode, min_subscribers=2, deferrable=deferrable, **CONF)

with DAG("wait_subscriber", schedule=None):
    for mode, deferrable in MODES.items():
        CyTechBotSubscriberFlowSensor(
            task_id=mode,
            subscriber_id="{{ dag_run.conf['subscriber'] }}",
            deferrable=deferrable,
            **CONF,
        )

with DAG("wait_many", schedule=None):
    CyTechBotSubscriberFlowSensor.partial(task_id="each", deferrable=True, **CONF).expand(
        subscriber_id=[str(number) for number in range(501, 507)]
    )

STARTED = {"deferrable": True, "start_from_trigger": True, **CONF}
with DAG("wait_from_the_start", schedule=None, render_template_as_native_obj=True):
    CyTechBotFlowCampaignSensor(
        task_id="campaign", min_subscribers="{{ 1 + 1 }}", complete="{{ False }}", **STARTED
    )
    CyTechBotSubscriberFlowSensor(
        task_id="subscriber", subscriber_id="{{ dag_run.conf['subscriber'] }}", **STARTED
    )
    CyTechBotFlowCampaignSensor.partial(task_id="mapped", **STARTED).expand(min_subscribers=[1, 2])
    CyTechBotFlowCampaignSensor(task_id="unknown", **STARTED | {"flow_campaign_id": "99"})
    CyTechBotFlowCampaignSensor(
        task_id="in_vain", **STARTED | {"flow_campaign_id": "5", "timeout": 3, "soft_fail": True}
    )
    CyTechBotFlowCampaignSensor(task_id="invalid", **STARTED | {"min_subscribers": "{{ 'many' }}"})


def sensors(*options, **arguments):
    """Make a sensor of either mode, for each option that it is to have, or none."""
    for option, (mode, deferrable) in product(options, MODES.items()):
        CyTechBotFlowCampaignSensor(
            task_id=f"{option}_{mode}",
            cytechbot_conn_id="{{ dag_run.conf.get('connection', 'cytechbot_default') }}",
            deferrable=deferrable,
            **{**CONF, **arguments, **({} if option == "none" else {option: True})},
        )


with DAG("wait_in_vain", schedule=None):
    sensors("none", "soft_fail", "never_fail", timeout=3, retries=1, retry_delay=timedelta(0))

with DAG("wait_refused", schedule=None):
    sensors("none", "soft_fail", retries=1, retry_delay=timedelta(0))

with DAG("wait_for_a_broken_server", schedule=None):
    sensors("none", "never_fail")

with DAG("wait_longer_and_longer", schedule=None):
    for mode, deferrable in MODES.items():
        CyTechBotFlowCampaignSensor(
            task_id=mode,
            deferrable=deferrable,
            exponential_backoff=True,
            max_wait=4,
            # One for each, so that the server counts them separately.
            **CONF | {"flow_campaign_id": "9" if deferrable else "8"},
        )

news = Asset(
    "cytechbot://127.0.0.1/flow_campaigns/7",
    watchers=[
        AssetWatcher(
            name="news",
            trigger=CyTechBotNewFlowAnswersTrigger(flow_campaign_id="7", complete=False, poll_interval=1),
        )
    ],
)

with DAG("on_news", schedule=[news]):

    @task
    def hear(triggering_asset_events=None) -> list[str]:
        """Return the new subscribers."""
        return [
            subscriber_id
            for events in triggering_asset_events.values()
            for event in events
            for subscriber_id in event.extra["payload"]["subscriber_ids"]
        ]

    hear()
