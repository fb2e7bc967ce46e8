"""Sensors that wait for answers to a flow campaign, in the worker or deferred."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotUnansweredError
from airflow_provider_cytechbot.api.fields import encode_identifier, encode_number
from airflow_provider_cytechbot.api.flow_progress import Progress, Questionnaire, Tally
from airflow_provider_cytechbot.operators.base import CyTechBotBaseOperator
from airflow_provider_cytechbot.triggers.events import CyTechBotTriggerEventError, error_of, validate
from airflow_provider_cytechbot.triggers.rhythm import MAX_FAILED_POLLS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.api.flow_progress import FlowCampaignCount
    from airflow_provider_cytechbot.api.records import FlowAnswer, FlowCampaignQuestions

#: Seconds beyond the sensor's timeout after which Airflow itself gives a deferred wait up, where no
#: triggerer runs that would.
GRACE = 60.0


class _FlowAnswersSensor(CyTechBotBaseOperator, BaseSensorOperator):
    """
    The common part of the two sensors.

    The first check happens on the worker, also of a deferred sensor: what is there already is not waited for.
    Polls that fail for a passing reason are borne, up to
    :data:`~airflow_provider_cytechbot.triggers.rhythm.MAX_FAILED_POLLS` in a row; in the mode ``reschedule``,
    where each poke is a process of its own, as often as the connection's ``max_retries`` says.

    :param flow_campaign_id: The campaign's id.
    :param complete: Whether every question must be answered, and not just any.
    :param deferrable: Whether to wait in the triggerer, where a wait costs next to nothing.
    """

    template_fields: Sequence[str] = (
        "flow_campaign_id",
        "complete",
        *CyTechBotBaseOperator.template_fields,
    )
    ui_color = "#e1ecf4"

    def __init__(
        self,
        *,
        flow_campaign_id: IdInput,
        complete: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_campaign_id = flow_campaign_id
        self.complete = complete
        self.deferrable = deferrable
        self._started_at: float | None = None
        self._failed_polls = 0

    def check(self) -> Any:
        """Look once, and return what the sensor returns, or ``None`` if the wait goes on."""
        raise NotImplementedError

    def trigger(self, **kwargs: Any) -> BaseTrigger:
        """
        Return the trigger that waits instead of the worker.

        :param kwargs: The arguments that both triggers have.
        """
        raise NotImplementedError

    def result(self, found: Any) -> Any:
        """
        Return what the sensor returns after a deferral.

        :param found: What the trigger found out.
        """
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Wait, here or deferred."""
        if self.deferrable:
            self._started_at = time.time()
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            if not self.never_fail:
                raise
        raise AirflowSkipException("Skipping due to never_fail is set to True: the sensor has timed out.")

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral; ``never_fail`` skips a timeout also where Airflow (3.0) does not."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSensorTimeout:
            if not self.never_fail:
                raise
        raise AirflowSkipException("Skipping due to never_fail is set to True: the sensor has timed out.")

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once; defer where that is wanted and the wait goes on."""
        failure: CyTechBotError | None = None
        found = None
        try:
            found = self.check()
            self._failed_polls = 0
        except CyTechBotUnansweredError as error:
            failure = error
        if failure is not None:
            self._bear(failure)
        if found is not None:
            return PokeReturnValue(is_done=True, xcom_value=found)
        if self._started_at is not None:
            self._defer(self._started_at)
        return False

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """
        Go on after a deferral.

        :param event: What the trigger said.
        """
        try:
            return self._complete(event)
        except (CyTechBotError, CyTechBotTriggerEventError) as error:
            if not self.never_fail:
                raise
            problem = str(error)
        # Airflow itself makes a skip of its own exceptions alone.
        raise AirflowSkipException(f"Skipping due to never_fail is set to True: {problem}")

    @cached_property
    def wanted(self) -> Progress:
        """The progress that is waited for."""
        return Progress.wanted(self.as_bool("complete", self.complete))

    @cached_property
    def campaign(self) -> FlowCampaignQuestions:
        """The campaign with its questions, read once."""
        return self.hook.get_flow_campaign(self.flow_campaign_id)

    def _bear(self, failure: CyTechBotError) -> None:
        self._failed_polls += 1
        is_last = self.mode == "reschedule" and self._started_at is None
        if is_last or self._failed_polls > MAX_FAILED_POLLS:
            raise failure
        self.log.warning(
            "%s Failed polls in a row: %d; %d are borne.", failure, self._failed_polls, MAX_FAILED_POLLS
        )

    def _defer(self, started_at: float) -> None:
        timeout = float(self.timeout)
        max_wait = self.max_wait.total_seconds() if isinstance(self.max_wait, timedelta) else self.max_wait
        self.defer(
            trigger=self.trigger(
                cytechbot_conn_id=self.cytechbot_conn_id,
                flow_campaign_id=self.encoded(encode_number, "flow_campaign_id", self.flow_campaign_id),
                complete=self.wanted is Progress.COMPLETED,
                poke_interval=float(self.poke_interval),
                exponential_backoff=self.exponential_backoff,
                max_wait=max_wait,
                started_at=started_at,
                timeout=timeout,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, started_at + timeout - time.time()) + GRACE),
        )

    def _complete(self, event: Any) -> Any:
        told = validate(event)
        if told["status"] == "timeout":
            raise AirflowSensorTimeout(
                f"Sensor has timed out: what it waits for was not there within {self.timeout:g} seconds."
            )
        if told["status"] == "error":
            raise self.hook.failure(error_of(told))
        return self.result(told["result"])


class CyTechBotFlowCampaignSensor(_FlowAnswersSensor):
    """
    Wait until so many subscribers have answered a flow campaign.

    Rests on ``GET get_all_subscriber_flow_info/``, which costs the server time that grows with the square of
    the answers: choose a long ``poke_interval``, and ``deferrable=True`` where several wait, as those share
    one poll. ``GET get_flow_campaign_info/`` is asked once, for the questions.

    :param flow_campaign_id: The campaign's id.
    :param min_subscribers: How many subscribers.
    :param complete: Whether each of them must have answered every question, and not just any.
    :param deferrable: Whether to wait in the triggerer.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: ``{"flow_campaign_id", "flow_name", "answered", "completed"}``, the last two numbers of
        subscribers.
    :raises CyTechBotNotFoundError: There is no such campaign.
    """

    template_fields: Sequence[str] = ("min_subscribers", *_FlowAnswersSensor.template_fields)

    def __init__(self, *, min_subscribers: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.min_subscribers = min_subscribers

    def check(self) -> FlowCampaignCount | None:
        """Count who has come how far, and return the counts if those are enough."""
        min_subscribers = self._min_subscribers()
        questionnaire, tally = Questionnaire(self.campaign["questions"]), Tally()
        with self.hook.open_flow_answers(self.flow_campaign_id) as stream:
            for _, answers in stream:
                tally.add(questionnaire.progress(answers))
        self.log.info(
            "Flow campaign %s: %d subscribers have answered, %d of them completely",
            self.flow_campaign_id,
            tally.answered,
            tally.completed,
        )
        if not tally.reached(min_subscribers, self.wanted):
            return None
        return {
            "flow_campaign_id": self.campaign["id"],
            "flow_name": self.campaign["flow_name"],
            "answered": tally.answered,
            "completed": tally.completed,
        }

    def trigger(self, **kwargs: Any) -> BaseTrigger:
        """Return the trigger that waits for so many subscribers."""
        from airflow_provider_cytechbot.triggers.flow_answers import CyTechBotFlowCampaignTrigger

        return CyTechBotFlowCampaignTrigger(min_subscribers=self._min_subscribers(), **kwargs)

    def result(self, found: Any) -> Any:
        """Return the counts of the poll that ended the wait."""
        return found

    def _min_subscribers(self) -> int:
        return int(self.encoded(encode_number, "min_subscribers", self.min_subscribers))


class CyTechBotSubscriberFlowSensor(_FlowAnswersSensor):
    """
    Wait until one subscriber has answered a flow campaign.

    Rests on ``GET get_single_subscriber_flow_info/`` and, with ``complete=True``, once on
    ``GET get_flow_campaign_info/``, for the questions. Deferred sensors for many subscribers of one campaign
    share a poll of the whole campaign.

    :param flow_campaign_id: The campaign's id.
    :param subscriber_id: The subscriber's id.
    :param complete: Whether the subscriber must have answered every question, and not just any.
    :param deferrable: Whether to wait in the triggerer.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The answers: ``[{"question_id", "question", "answer"}]``.
    :raises CyTechBotNotFoundError: There is no such campaign.
    """

    template_fields: Sequence[str] = ("subscriber_id", *_FlowAnswersSensor.template_fields)

    def __init__(self, *, subscriber_id: IdInput, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subscriber_id = subscriber_id

    def check(self) -> list[FlowAnswer] | None:
        """Ask for the subscriber's answers, and return them if those are enough."""
        questions = self.campaign["questions"] if self.wanted is Progress.COMPLETED else None
        answers = self._answers()
        return answers if Questionnaire(questions).progress(answers) >= self.wanted else None

    def trigger(self, **kwargs: Any) -> BaseTrigger:
        """Return the trigger that waits for the subscriber."""
        from airflow_provider_cytechbot.triggers.flow_answers import CyTechBotSubscriberFlowTrigger

        subscriber_id = self.encoded(encode_identifier, "subscriber_id", self.subscriber_id)
        return CyTechBotSubscriberFlowTrigger(subscriber_id=subscriber_id, **kwargs)

    def result(self, found: Any) -> Any:
        """Return the answers, which the trigger's event leaves out: Airflow logs events."""
        return self._answers()

    def _answers(self) -> list[FlowAnswer]:
        return self.hook.get_subscriber_flow_answers(self.flow_campaign_id, self.subscriber_id)["data"]
