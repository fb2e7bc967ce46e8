"""The common part of the sensors: waiting in the worker or deferred, timeouts and errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotUnansweredError
from airflow_provider_cytechbot.api.fields import read_switch
from airflow_provider_cytechbot.api.flow_progress import Progress
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators.base import CyTechBotBaseOperator
from airflow_provider_cytechbot.transport import metrics
from airflow_provider_cytechbot.triggers.events import CyTechBotTriggerEventError, error_of, validate
from airflow_provider_cytechbot.triggers.waiters import MAX_FAILED_POLLS, read_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.api.records import FlowCampaignQuestions

T = TypeVar("T")

#: Seconds after the sensor's timeout at which Airflow itself ends a deferred wait, for the case that no
#: triggerer runs.
GRACE = 60.0


class CyTechBotBaseSensor(CyTechBotBaseOperator, BaseSensorOperator):
    """
    Base of the sensors that wait for answers to a flow campaign.

    A deferrable sensor makes its first check on the worker, too, and does not defer if the answers are
    already there. Up to five polls in a row may fail for a temporary reason. In the mode ``reschedule``,
    where each poke is a process of its own, they cannot be counted: there, a request is retried up to the
    connection's ``max_retries``, and then the task fails.

    :param flow_campaign_id: The campaign's id.
    :param flow_campaign_name: The campaign's name, instead of its id. The id is looked up once in a wait.
    :param complete: Whether every question must be answered; with ``False``, any one will do.
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
    """

    template_fields: Sequence[str] = (
        "flow_campaign_id",
        "flow_campaign_name",
        "complete",
        *CyTechBotBaseOperator.template_fields,
    )
    ui_color = "#e1ecf4"

    def __init__(
        self,
        *,
        flow_campaign_id: IdInput | None = None,
        flow_campaign_name: str | None = None,
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
        for name, value in (("poke_interval", poke_interval), ("timeout", timeout), ("max_wait", max_wait)):
            if value is not None:
                read_seconds(name, value)
        # Airflow's default of a timeout depends on its version.
        with_timeout = {} if timeout is None else {"timeout": timeout}
        super().__init__(
            poke_interval=poke_interval,
            mode=mode,
            exponential_backoff=exponential_backoff,
            max_wait=max_wait,
            soft_fail=soft_fail,
            silent_fail=silent_fail,
            never_fail=never_fail,
            cytechbot_conn_id=cytechbot_conn_id,
            **with_timeout,
            **kwargs,
        )
        self.flow_campaign_id = flow_campaign_id
        self.flow_campaign_name = flow_campaign_name
        self.complete = complete
        self.deferrable = deferrable
        self.start_from_trigger = start_from_trigger
        #: When a deferrable wait started; ``None`` for a sensor that waits in the worker.
        self._started_at: float | None = None
        self._failed_polls = 0

    def prepare_start_from_trigger(self, trigger: str, **kwargs: object) -> None:
        """
        Store the trigger for a start of this sensor in the triggerer, if that is wanted and possible.

        :param trigger: The name of the trigger's class.
        :param kwargs: The arguments of this trigger alone. They can be templates.
        """
        if not (self.start_from_trigger and self.deferrable):
            self.start_from_trigger = False
            return
        kwargs |= {
            "cytechbot_conn_id": self.cytechbot_conn_id,
            "flow_campaign_id": self.flow_campaign_id,
            "complete": self.complete,
        }
        # The scheduler cannot read another task's output or a connection.
        self.start_from_trigger = (
            AIRFLOW_V_3_3_PLUS
            and not self.flow_campaign_name
            and all(isinstance(each, str | int) for each in kwargs.values())
        )
        if not self.start_from_trigger:
            self.log.info("%r starts on a worker: it cannot start in the triggerer.", self.task_id)
            return
        from airflow.triggers.base import StartTriggerArgs

        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"airflow_provider_cytechbot.triggers.flow_answers.{trigger}",
            trigger_kwargs={**kwargs, **self._timing(), "started_at": None},
            next_method="execute_complete",
            next_kwargs={},
            timeout=timedelta(seconds=self._time_limit() + GRACE),
        )

    def check(self) -> Any:
        """Check once, and return the sensor's result, or ``None`` if the wait goes on."""
        raise NotImplementedError

    def trigger(self, **kwargs: Any) -> BaseTrigger:
        """
        Return the trigger to defer to.

        :param kwargs: The arguments that both triggers take.
        """
        raise NotImplementedError

    def result(self, found: Any) -> Any:
        """
        Return the sensor's result after a deferral, or ``None`` if the wait goes on.

        :param found: The result in the trigger's event.
        """
        raise NotImplementedError

    @cached_property
    def required(self) -> Progress:
        """The progress to wait for."""
        return Progress.required_if(self.checked(read_switch, "complete", self.complete))

    @cached_property
    def campaign_id(self) -> str:
        """The campaign's id, looked up once if its name is given."""
        return self.hook.resolve_flow_campaign_id(self.flow_campaign_id, self.flow_campaign_name)

    @cached_property
    def campaign(self) -> FlowCampaignQuestions:
        """The campaign with its questions, read once."""
        return self.hook.get_flow_campaign(self.campaign_id)

    def execute(self, context: Context) -> Any:
        """Wait, in the worker or deferred."""
        if self.deferrable:
            self._started_at = time.time()
        with self._skip_if_never_fail():
            return super().execute(context)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Check once; a deferrable sensor defers if the wait goes on."""
        found = self._tolerate_failures(self._counted_check)
        if found is not None:
            return PokeReturnValue(is_done=True, xcom_value=found)
        # If the lookup of the campaign's name has failed, the next check is on the worker, too.
        if self._started_at is not None and "campaign_id" in vars(self):
            self._defer(self._started_at)
        return False

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral."""
        with self._skip_if_never_fail():
            return super().resume_execution(next_method, next_kwargs, context)

    def execute_complete(
        self,
        context: Context,
        event: Any,
        started_at: float | None = None,
        flow_campaign_id: str | None = None,
    ) -> Any:
        """
        Resume after a deferral.

        :param event: The trigger's event.
        :param started_at: When the wait started; not passed by ``airflow dags test``, nor after a start in
            the triggerer.
        :param flow_campaign_id: The id of the campaign that the wait is for; not passed there, either.
        """
        if flow_campaign_id is not None:
            vars(self)["campaign_id"] = flow_campaign_id
        started_at = _start_of(context) if started_at is None else started_at
        checked = validate(event)
        if checked["status"] == "timeout":
            raise AirflowSensorTimeout(
                f"Sensor has timed out: the answers did not come within {self._time_limit():g} seconds."
            )
        if checked["status"] == "error":
            failure = self.hook.task_error(error_of(checked))
            if not (self.silent_fail and failure.retryable):  # like the loop in Airflow's own sensors
                raise failure
            self.log.error("%s", failure)
            self._defer(started_at)
        self._started_at = started_at
        found = self._tolerate_failures(lambda: self.result(checked["result"]))
        if found is None:
            self._defer(started_at)
        return found

    def _counted_check(self) -> Any:
        try:
            found = self.check()
        except CyTechBotError as error:
            metrics.count_poll("worker", error)
            raise
        metrics.count_poll("worker")
        return found

    @contextmanager
    def _skip_if_never_fail(self) -> Iterator[None]:
        """Skip also after errors that Airflow, depending on its version, does not skip for."""
        try:
            yield
        except (AirflowSensorTimeout, CyTechBotError, CyTechBotTriggerEventError) as error:
            if not self.never_fail:
                raise
            problem = str(error)
        else:
            return
        raise AirflowSkipException(f"Skipping due to never_fail is set to True: {problem}")

    def _tolerate_failures(self, check: Callable[[], T]) -> T | None:
        """Check; return ``None`` after a temporary failure, until there were too many."""
        try:
            found = check()
        except CyTechBotUnansweredError as error:
            failure = error
        else:
            self._failed_polls = 0
            return found
        self._failed_polls += 1
        is_uncounted = self.mode == "reschedule" and self._started_at is None
        if is_uncounted or self._failed_polls > MAX_FAILED_POLLS:
            raise failure
        self.log.warning(
            "%s Failed polls in a row: %d; up to %d may fail.", failure, self._failed_polls, MAX_FAILED_POLLS
        )
        return None

    def _defer(self, started_at: float) -> None:
        timeout, now = self._time_limit(), time.time()
        self.defer(
            trigger=self.trigger(
                cytechbot_conn_id=self.cytechbot_conn_id,
                flow_campaign_id=self.campaign_id,
                complete=self.required is Progress.COMPLETED,
                started_at=started_at,
                **self._timing(),
            ),
            method_name="execute_complete",
            kwargs={"started_at": started_at, "flow_campaign_id": self.campaign_id},
            timeout=timedelta(seconds=max(0.0, started_at + timeout - now) + GRACE),
        )

    def _timing(self) -> dict[str, Any]:
        """Return the arguments of triggers for intervals and timeout."""
        max_wait = self.max_wait.total_seconds() if isinstance(self.max_wait, timedelta) else self.max_wait
        return {
            "poke_interval": float(self.poke_interval),
            "exponential_backoff": self.exponential_backoff,
            "max_wait": max_wait,
            "timeout": self._time_limit(),
        }

    def _time_limit(self) -> float:
        """Return the seconds that a deferrable sensor may wait in all."""
        if self.execution_timeout is None:
            return float(self.timeout)
        # Airflow itself does not apply an execution_timeout while a task is deferred.
        return min(float(self.timeout), self.execution_timeout.total_seconds())


def _start_of(context: Context) -> float:
    """Return when the task started, in seconds of the epoch: Airflow keeps this time across deferrals."""
    start_date = getattr(context.get("ti"), "start_date", None)
    return time.time() if start_date is None else float(start_date.timestamp())
