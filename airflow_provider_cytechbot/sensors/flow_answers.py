"""Sensors that wait for answers to a flow campaign, in the worker or deferred."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_cytechbot.api.fields import encode_identifier, read_count
from airflow_provider_cytechbot.api.flow_progress import Progress, ProgressCounts, Questionnaire
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.sensors.base import CyTechBotBaseSensor

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.api.flow_progress import FlowCampaignCount
    from airflow_provider_cytechbot.api.records import FlowAnswer


class CyTechBotFlowCampaignSensor(CyTechBotBaseSensor):
    """
    Wait until a given number of subscribers have answered a flow campaign.

    Calls ``GET get_all_subscriber_flow_info/``. The server's time for it grows with the square of the number
    of answers: choose a long ``poke_interval``, and ``deferrable=True`` for several sensors, because deferred
    ones share a poll. ``GET get_flow_campaign_info/`` is called once, for the questions.

    The campaign, ``min_subscribers``, ``complete`` and the connection are templated.

    :param flow_campaign_id: The campaign's id.
    :param flow_campaign_name: The campaign's name, instead of its id. The id is looked up once in a wait.
    :param min_subscribers: The number of subscribers that must have answered.
    :param complete: Whether each of them must have answered every question; with ``False``, any one
        will do.
    :param deferrable: Whether to wait in the triggerer, which needs no worker slot.
    :param start_from_trigger: Whether a deferrable sensor starts in the triggerer, without a first check on a
        worker. It needs Airflow 3.3, and works with templates. A mapped sensor, or one with
        ``flow_campaign_name`` or another task's output, starts on a worker all the same.
    :param poke_interval: Time between two checks, in seconds or as ``timedelta``.
    :param timeout: Time after which the sensor fails, in seconds or as ``timedelta``.
    :param mode: ``poke`` or ``reschedule``, for a sensor that is not deferrable.
    :param exponential_backoff: Whether each interval is twice the one before.
    :param max_wait: The longest interval between two checks, in seconds or as ``timedelta``.
    :param soft_fail: Whether to skip the task instead of failing it.
    :param silent_fail: Whether to log errors of a check that may be temporary, and go on.
    :param never_fail: Whether to skip the task after any error.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: ``{"flow_campaign_id", "flow_name", "answered", "completed"}``; the last two are numbers of
        subscribers.
    :raises CyTechBotNotFoundError: There is no such campaign.
    :raises CyTechBotRequestError: Several campaigns have the name.
    :raises AirflowSensorTimeout: ``timeout`` ran out.
    """

    template_fields: Sequence[str] = ("min_subscribers", *CyTechBotBaseSensor.template_fields)

    def __init__(
        self,
        *,
        flow_campaign_id: IdInput | None = None,
        flow_campaign_name: str | None = None,
        min_subscribers: int | str = 1,
        complete: bool | str = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        poke_interval: float | timedelta = 60,
        timeout: float | timedelta | None = None,
        mode: str = "poke",
        exponential_backoff: bool = False,
        max_wait: float | timedelta | None = None,
        soft_fail: bool = False,
        silent_fail: bool = False,
        never_fail: bool = False,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            flow_campaign_id=flow_campaign_id,
            flow_campaign_name=flow_campaign_name,
            complete=complete,
            deferrable=deferrable,
            start_from_trigger=start_from_trigger,
            poke_interval=poke_interval,
            timeout=timeout,
            mode=mode,
            exponential_backoff=exponential_backoff,
            max_wait=max_wait,
            soft_fail=soft_fail,
            silent_fail=silent_fail,
            never_fail=never_fail,
            cytechbot_conn_id=cytechbot_conn_id,
            **kwargs,
        )
        self.min_subscribers = min_subscribers
        self.prepare_start_from_trigger("CyTechBotFlowCampaignTrigger", min_subscribers=min_subscribers)

    def check(self) -> FlowCampaignCount | None:
        """Count the subscribers that have answered, and return the counts if they are enough."""
        min_subscribers = self._min_subscribers()
        questionnaire, counts = Questionnaire(self.campaign["questions"]), ProgressCounts()
        start = time.monotonic()
        with self.hook.open_flow_answers(self.campaign_id) as stream:
            for _, answers in stream:
                counts.add(questionnaire.progress(answers))
        self.log.info(
            "Flow campaign %s: %d subscribers have answered, %d of them completely; the request took %.1f s. "
            "Required: %d that have answered%s.",
            self.campaign_id,
            counts.answered,
            counts.completed,
            time.monotonic() - start,
            min_subscribers,
            " completely" if self.required is Progress.COMPLETED else "",
        )
        if not counts.reached(min_subscribers, self.required):
            return None
        return {
            "flow_campaign_id": self.campaign["id"],
            "flow_name": self.campaign["flow_name"],
            "answered": counts.answered,
            "completed": counts.completed,
        }

    def trigger(self, **kwargs: Any) -> BaseTrigger:
        """Return the trigger that waits for the number of subscribers."""
        from airflow_provider_cytechbot.triggers.flow_answers import CyTechBotFlowCampaignTrigger

        return CyTechBotFlowCampaignTrigger(min_subscribers=self._min_subscribers(), **kwargs)

    def result(self, found: FlowCampaignCount) -> FlowCampaignCount:
        """Return the counts of the poll that ended the wait."""
        return found

    def _min_subscribers(self) -> int:
        return self.checked(read_count, "min_subscribers", self.min_subscribers)


class CyTechBotSubscriberFlowSensor(CyTechBotBaseSensor):
    """
    Wait until one subscriber has answered a flow campaign.

    Calls ``GET get_single_subscriber_flow_info/`` and, with ``complete=True``, once
    ``GET get_flow_campaign_info/``, for the questions. Deferred sensors that wait for many subscribers of one
    campaign share a poll of the whole campaign.

    The campaign, the subscriber, ``complete`` and the connection are templated.

    :param flow_campaign_id: The campaign's id.
    :param flow_campaign_name: The campaign's name, instead of its id. The id is looked up once in a wait.
    :param subscriber_id: The subscriber's id.
    :param complete: Whether the subscriber must have answered every question; with ``False``, any one
        will do.
    :param deferrable: Whether to wait in the triggerer, which needs no worker slot.
    :param start_from_trigger: Whether a deferrable sensor starts in the triggerer, without a first check on a
        worker. It needs Airflow 3.3, and works with templates. A mapped sensor, or one with
        ``flow_campaign_name`` or another task's output, starts on a worker all the same.
    :param poke_interval: Time between two checks, in seconds or as ``timedelta``.
    :param timeout: Time after which the sensor fails, in seconds or as ``timedelta``.
    :param mode: ``poke`` or ``reschedule``, for a sensor that is not deferrable.
    :param exponential_backoff: Whether each interval is twice the one before.
    :param max_wait: The longest interval between two checks, in seconds or as ``timedelta``.
    :param soft_fail: Whether to skip the task instead of failing it.
    :param silent_fail: Whether to log errors of a check that may be temporary, and go on.
    :param never_fail: Whether to skip the task after any error.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The answers: ``[{"question_id", "question", "answer"}]``.
    :raises CyTechBotNotFoundError: There is no such campaign.
    :raises CyTechBotRequestError: Several campaigns have the name.
    :raises AirflowSensorTimeout: ``timeout`` ran out.
    """

    template_fields: Sequence[str] = ("subscriber_id", *CyTechBotBaseSensor.template_fields)

    def __init__(
        self,
        *,
        flow_campaign_id: IdInput | None = None,
        flow_campaign_name: str | None = None,
        subscriber_id: IdInput,
        complete: bool | str = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        poke_interval: float | timedelta = 60,
        timeout: float | timedelta | None = None,
        mode: str = "poke",
        exponential_backoff: bool = False,
        max_wait: float | timedelta | None = None,
        soft_fail: bool = False,
        silent_fail: bool = False,
        never_fail: bool = False,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            flow_campaign_id=flow_campaign_id,
            flow_campaign_name=flow_campaign_name,
            complete=complete,
            deferrable=deferrable,
            start_from_trigger=start_from_trigger,
            poke_interval=poke_interval,
            timeout=timeout,
            mode=mode,
            exponential_backoff=exponential_backoff,
            max_wait=max_wait,
            soft_fail=soft_fail,
            silent_fail=silent_fail,
            never_fail=never_fail,
            cytechbot_conn_id=cytechbot_conn_id,
            **kwargs,
        )
        self.subscriber_id = subscriber_id
        self.prepare_start_from_trigger("CyTechBotSubscriberFlowTrigger", subscriber_id=subscriber_id)

    def check(self) -> list[FlowAnswer] | None:
        """Read the subscriber's answers, and return them if they are enough."""
        questions = self.campaign["questions"] if self.required is Progress.COMPLETED else None
        answers = self._answers()
        if not answers:
            _ = self.campaign  # an unknown campaign can have the same empty answer: this read refuses it
        progress = Questionnaire(questions).progress(answers)
        reason = {
            Progress.NOTHING: "not answered yet",
            Progress.ANSWERED: "answered" if questions is None else "answered, but not every question",
            Progress.COMPLETED: "answered every question",
        }
        self.log.info(
            "Flow campaign %s: subscriber %s has %s.",
            self.campaign_id,
            self.subscriber_id,
            reason[progress],
        )
        return answers if progress >= self.required else None

    def trigger(self, **kwargs: Any) -> BaseTrigger:
        """Return the trigger that waits for the subscriber."""
        from airflow_provider_cytechbot.triggers.flow_answers import CyTechBotSubscriberFlowTrigger

        subscriber_id = self.checked(encode_identifier, "subscriber_id", self.subscriber_id)
        return CyTechBotSubscriberFlowTrigger(subscriber_id=subscriber_id, **kwargs)

    def result(self, found: Any) -> list[FlowAnswer] | None:
        """Read the answers, which are not in the trigger's event because Airflow logs events."""
        return self._answers() or None

    def _answers(self) -> list[FlowAnswer]:
        return self.hook.get_subscriber_flow_answers(self.campaign_id, self.subscriber_id)["data"]
