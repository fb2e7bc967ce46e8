"""The base of operators and sensors: the connection id, and the hook created from it when the task runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotNotFoundError,
    CyTechBotUnansweredError,
)
from airflow_provider_cytechbot.api.fields import field_error, read_switch
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.hooks.secrets import hide_fields
from airflow_provider_cytechbot.operators.links import INSTALLATION_KEY, CyTechBotInstallationLink
from airflow_provider_cytechbot.operators.own_arguments import OwnArgumentsMeta
from airflow_provider_cytechbot.operators.task_memory import TaskMemory

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.endpoints import Endpoint
    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.api.records import WriteOutcome

T = TypeVar("T")

#: Stands for the retry policy before Airflow 3.3.
_NO_POLICIES = object()


def _graph_name(operator: type) -> str:
    """Return a class's name in words, such as ``CyTechBot create user``; a class of others keeps its name."""
    name = operator.__name__
    if operator.__module__.partition(".")[0] != __name__.partition(".")[0]:
        return name
    words = re.sub(r"(?=[A-Z])", " ", re.sub(r"^CyTechBot|(Operator|Sensor)$", "", name))
    return f"CyTechBot {' '.join(words.lower().split())}"


class CyTechBotOperatorMixin:
    """
    Mixin of all operators: their hook, the link to the installation, and the retry policy.

    :param kwargs: Airflow's own parameters.
    """

    cytechbot_conn_id: str
    do_xcom_push: bool
    operator_extra_links: Any = (CyTechBotInstallationLink(),)
    #: The name in the graph, where the names of classes are cut.
    custom_operator_name: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "custom_operator_name" not in vars(cls):
            cls.custom_operator_name = _graph_name(cls)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # A mapped task passes None if it has no policy of its own.
        if getattr(self, "retry_policy", _NO_POLICIES) is None:
            from airflow_provider_cytechbot.hooks.retry_policy import CyTechBotRetryPolicy

            self.retry_policy: Any = CyTechBotRetryPolicy()

    @cached_property
    def hook(self) -> CyTechBotHook:
        """The hook, created on first use: the connection id may be a template until then."""
        return CyTechBotHook(self.cytechbot_conn_id)

    def pre_execute(self, context: Context) -> None:
        """
        Store the installation's address for its link.

        :param context: The task's context.
        """
        super().pre_execute(context)  # type: ignore[misc]
        if self.do_xcom_push and "ti" in context:
            with suppress(Exception):  # an unusable connection fails in execute, where errors are explained
                url = self.hook.settings.base_url.removesuffix("/api")
                context["ti"].xcom_push(key=INSTALLATION_KEY, value=url)


class CyTechBotBaseOperator(CyTechBotOperatorMixin, BaseOperator, metaclass=OwnArgumentsMeta):
    """
    Base of the operators that write to CyTechBot, and of the sensors.

    Every parameter of an operator is a template field.

    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    """

    template_fields: Sequence[str] = ("cytechbot_conn_id",)
    ui_color = "#e3f1e4"

    def __init__(self, *, cytechbot_conn_id: str = CyTechBotHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cytechbot_conn_id = cytechbot_conn_id

    def build(self, endpoint: Endpoint[T], **fields: object) -> Call[T]:
        """
        Return a call with checked fields. A field that cannot be sent fails the task at once.

        :param endpoint: The endpoint.
        :param fields: Its fields, rendered.
        """
        fields = hide_fields(endpoint, fields)  # error trackers show the variables of this frame
        try:
            return self.hook.build_call(endpoint, fields)
        except CyTechBotError as error:
            failure = error
        raise self.hook.task_error(failure)

    def refusal(self, name: str, problem: str, hint: str = "") -> CyTechBotError:
        """
        Return the error for a parameter that cannot be used. It fails the task at once.

        :param name: The parameter.
        :param problem: The problem, as the rest of a sentence.
        :param hint: A way to avoid it.
        """
        return self.hook.task_error(field_error(name, problem, hint))

    def checked(self, check: Callable[[str, object], T], name: str, value: object) -> T:
        """
        Return a parameter's checked value. An invalid value fails the task at once.

        :param check: A function of ``airflow_provider_cytechbot.api.fields`` that checks a value.
        :param name: The parameter.
        :param value: Its value, rendered.
        """
        try:
            return check(name, value)
        except CyTechBotError as error:
            failure = error
        raise self.hook.task_error(failure)


class CyTechBotDeleteOperator(CyTechBotBaseOperator):
    """
    Base of the operators that delete.

    :param missing_ok: Whether deleting something that does not exist counts as a success.
    """

    template_fields: Sequence[str] = ("missing_ok", *CyTechBotBaseOperator.template_fields)
    ui_color = "#f4e4e1"

    def __init__(self, *, missing_ok: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.missing_ok = missing_ok

    def delete(self, call: Call[WriteOutcome], deleted_id: IdInput, context: Context) -> str:
        """
        Delete, and return the id.

        :param call: The call that deletes.
        :param deleted_id: The id of the record to delete.
        :param context: The task's context.
        """
        missing_ok = self.checked(read_switch, "missing_ok", self.missing_ok)
        hook = self.hook
        memory = TaskMemory(context, [hook.cytechbot_conn_id, hook.settings.base_url, *call.loggable_fields])
        earlier = memory.read_previous_try()
        may_be_done = earlier.was_cut_off and earlier.is_same and not earlier.was_cleared_since
        # If the worker is killed now, the next try accepts a missing record. So does a run beside this one.
        may_be_done = not memory.begin() or may_be_done
        try:
            hook.call(call.endpoint, **call.fields)
        except CyTechBotUnansweredError as error:
            if not error.may_have_acted:
                memory.restore()
            raise
        except CyTechBotNotFoundError as error:
            memory.restore()
            if not (missing_ok or may_be_done):
                raise
            fields = ", ".join(f"{name} {text!r}" for name, text in call.fields.items())
            self.log.info(
                "Nothing to delete for %s over connection %r: %s",
                fields,
                hook.cytechbot_conn_id,
                error.reason,
            )
        return str(deleted_id)
