"""What all CyTechBot operators share: their connection, and the hook made from it when they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotNotFoundError
from airflow_provider_cytechbot.api.fields import refuse
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators.task_memory import is_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_cytechbot.api.fields import IdInput


class CyTechBotBaseOperator(BaseOperator):
    """
    Base of the operators that write to CyTechBot.

    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    """

    template_fields: Sequence[str] = ("cytechbot_conn_id",)
    ui_color = "#e3f1e4"

    def __init__(self, *, cytechbot_conn_id: str = CyTechBotHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cytechbot_conn_id = cytechbot_conn_id

    @cached_property
    def hook(self) -> CyTechBotHook:
        """The hook, made on first use: the connection id may be a template until then."""
        return CyTechBotHook(self.cytechbot_conn_id)

    def refuse(self, name: str, problem: str, advice: str = "") -> CyTechBotError:
        """
        Return the error for a parameter that cannot be used. It fails the task at once.

        :param name: The parameter.
        :param problem: What was wrong, as the rest of a sentence.
        :param advice: What to do instead.
        """
        return self.hook.failure(refuse(name, problem, advice))

    def checked(self, encode: Callable[[str, object], str], name: str, value: object) -> str:
        """
        Return a parameter as a field's text. One that cannot be sent fails the task at once.

        :param encode: One of the ``encode_…`` functions of :mod:`airflow_provider_cytechbot.api.fields`.
        :param name: The parameter.
        :param value: Its value, rendered.
        """
        try:
            return encode(name, value)
        except CyTechBotError as error:
            failure = error
        raise self.hook.failure(failure)

    def as_bool(self, name: str, value: object) -> bool:
        """
        Return a switch that may have been a template, whose text ``False`` must not count as true.

        :param name: The parameter.
        :param value: A bool, or its text.
        """
        text = str(value).strip().lower()
        if text not in ("true", "false"):
            raise self.refuse(name, f"must be true or false, not {value!r}")
        return text == "true"


class CyTechBotDeleteOperator(CyTechBotBaseOperator):
    """
    Base of the operators that delete.

    :param missing_ok: Whether it is a success, too, if the thing does not exist.
    """

    template_fields: Sequence[str] = ("missing_ok", *CyTechBotBaseOperator.template_fields)
    ui_color = "#f4e4e1"

    def __init__(self, *, missing_ok: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.missing_ok = missing_ok

    def delete(self, delete: Callable[[IdInput], None], deleted_id: IdInput, context: Context) -> str:
        """
        Delete, and return the id.

        :param delete: The hook's method.
        :param deleted_id: The id of what is to be deleted.
        :param context: The task's context.
        """
        missing_ok = self.as_bool("missing_ok", self.missing_ok)
        try:
            delete(deleted_id)
        except CyTechBotNotFoundError as error:
            # A first try that finds nothing fails for good: what is retried lost its answer, or its worker.
            if not (missing_ok or is_retry(context)):
                raise
            self.log.info("%s Nothing was left to delete.", error)
        return str(deleted_id)


class CyTechBotEmailOperator(CyTechBotBaseOperator):
    """
    Base of the operators whose parameter ``email`` is a contact's or a user's address.

    Airflow has a parameter of that name for the people to alert, and fills it from a DAG's ``default_args``.
    Those are alerted as ever, but they must not become a contact, and a contact must not be alerted.
    """

    _was_given_email = False

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Map the operator. Addresses in ``default_args`` are not in the way of ``expand(email=…)``."""
        partial = super().partial(**kwargs)
        if "email" not in kwargs:
            partial.kwargs.pop("email", None)
        return partial

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note whether an address was given, before Airflow adds the ``default_args``."""
        operator = super().__new__(cls)
        vars(operator)["_was_given_email"] = (
            "email" in kwargs
        )  # Airflow's __setattr__ needs its __init__ first
        return operator

    def own_email(self, email: str | None, kwargs: dict[str, Any]) -> str | None:
        """
        Return the e-mail address that was given to the operator itself.

        :param email: The operator's parameter.
        :param kwargs: The other parameters, among which Airflow hands on the ``default_args``.
        """
        alerted = (kwargs.get("default_args") or {}).get("email")
        # A subclass may hand on an address that __new__ has not seen.
        return None if email is alerted and not self._was_given_email else email
