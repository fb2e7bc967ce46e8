"""What both sensors share: waiting, in the worker or deferred, and what ends a wait without success."""

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

from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotUnansweredError
from airflow_provider_cytechbot.api.fields import encode_number, read_switch
from airflow_provider_cytechbot.api.flow_progress import Progress
from airflow_provider_cytechbot.operators.base import CyTechBotBaseOperator
from airflow_provider_cytechbot.triggers.events import CyTechBotTriggerEventError, error_of, validate
from airflow_provider_cytechbot.triggers.waiters import MAX_FAILED_POLLS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.api.records import FlowCampaignQuestions

T = TypeVar("T")

#: Seconds beyond the sensor's timeout after which Airflow itself gives a deferred wait up, where no
#: triggerer runs that would.
GRACE = 60.0


class CyTechBotBaseSensor(CyTechBotBaseOperator, BaseSensorOperator):
    """
    Base of the sensors that wait for answers to a flow campaign.

    Even a deferrable sensor makes its first check on the worker, so it does not defer if the answers are
    already there. Up to five polls in a row may fail for a passing reason. In the mode ``reschedule``, where
    each poke is a process of its own, nothing counts them: there, a poke is repeated as often as the
    connection's ``max_retries`` says, and then fails the task.

    :param flow_campaign_id: The campaign's id.
    :param complete: Whether every question must be answered; with ``False``, any one will do.
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
        complete: bool | str = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_campaign_id = flow_campaign_id
        self.complete = complete
        self.deferrable = deferrable
        #: When the wait began; set where the triggerer is to do the waiting.
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
        Return what the sensor returns after a deferral, or ``None`` if the wait goes on.

        :param found: What the trigger found out.
        """
        raise NotImplementedError

    @cached_property
    def wanted(self) -> Progress:
        """The progress that is waited for."""
        return Progress.wanted(self.checked(read_switch, "complete", self.complete))

    @cached_property
    def campaign(self) -> FlowCampaignQuestions:
        """The campaign with its questions, read once."""
        return self.hook.get_flow_campaign(self.flow_campaign_id)

    def execute(self, context: Context) -> Any:
        """Wait, here or deferred."""
        if self.deferrable:
            self._started_at = time.time()
        with self._skipping_if_it_must_not_fail():
            return super().execute(context)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once; defer where that is wanted and the wait goes on."""
        found = self._bearing_failures(self.check)
        if found is not None:
            return PokeReturnValue(is_done=True, xcom_value=found)
        if self._started_at is not None:
            self._defer(self._started_at)
        return False

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral."""
        with self._skipping_if_it_must_not_fail():
            return super().resume_execution(next_method, next_kwargs, context)

    def execute_complete(self, context: Context, event: Any, started_at: float | None = None) -> Any:
        """
        Go on after a deferral.

        :param event: What the trigger said.
        :param started_at: When the wait began; ``airflow dags test`` forgets it.
        """
        started_at = time.time() if started_at is None else started_at
        translate_errors = validate(event)
        if translate_errors["status"] == "timeout":
            raise AirflowSensorTimeout(
                f"Sensor has timed out: what it waits for was not there within {self.timeout:g} seconds."
            )
        if translate_errors["status"] == "error":
            failure = self.hook.task_error(error_of(translate_errors))
            if not (self.silent_fail and failure.retryable):  # as Airflow's own loop has it
                raise failure
            self.log.error("%s", failure)
            self._defer(started_at)
        self._started_at = started_at
        found = self._bearing_failures(lambda: self.result(translate_errors["result"]))
        if found is None:
            self._defer(started_at)
        return found

    @contextmanager
    def _skipping_if_it_must_not_fail(self) -> Iterator[None]:
        """Make a skip also of what Airflow, depending on its version, does not take for a failure."""
        try:
            yield
        except (AirflowSensorTimeout, CyTechBotError, CyTechBotTriggerEventError) as error:
            if not self.never_fail:
                raise
            problem = str(error)
        else:
            return
        raise AirflowSkipException(f"Skipping due to never_fail is set to True: {problem}")

    def _bearing_failures(self, look: Callable[[], T]) -> T | None:
        """Look; return ``None`` where that failed for a passing reason, which has not happened too often."""
        try:
            found = look()
        except CyTechBotUnansweredError as error:
            failure = error
        else:
            self._failed_polls = 0
            return found
        self._failed_polls += 1
        nobody_counts = self.mode == "reschedule" and self._started_at is None
        if nobody_counts or self._failed_polls > MAX_FAILED_POLLS:
            raise failure
        self.log.warning(
            "%s Failed polls in a row: %d; up to %d may fail.", failure, self._failed_polls, MAX_FAILED_POLLS
        )
        return None

    def _defer(self, started_at: float) -> None:
        timeout = float(self.timeout)
        max_wait = self.max_wait.total_seconds() if isinstance(self.max_wait, timedelta) else self.max_wait
        self.defer(
            trigger=self.trigger(
                cytechbot_conn_id=self.cytechbot_conn_id,
                flow_campaign_id=self.checked(encode_number, "flow_campaign_id", self.flow_campaign_id),
                complete=self.wanted is Progress.COMPLETED,
                poke_interval=float(self.poke_interval),
                exponential_backoff=self.exponential_backoff,
                max_wait=max_wait,
                started_at=started_at,
                timeout=timeout,
            ),
            method_name="execute_complete",
            kwargs={"started_at": started_at},
            timeout=timedelta(seconds=max(0.0, started_at + timeout - time.time()) + GRACE),
        )
