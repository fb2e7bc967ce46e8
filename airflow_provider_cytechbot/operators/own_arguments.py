"""The rule that data never comes from ``default_args``: DAGs carry those for other operators, too."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator

log = logging.getLogger(__name__)

_PACKAGE = __name__.partition(".")[0]
#: Parameters of this provider that control how a task runs, not its data.
_FROM_DEFAULT_ARGS = frozenset(
    {"cytechbot_conn_id", "sql_conn_id", "deferrable", "start_from_trigger", "max_concurrency"}
)
#: Stands for a required parameter that was not given, until it is known whether ``default_args`` have it.
_MISSING = object()

#: The protected parameters that were not given to the constructor that is running.
_not_given: ContextVar[frozenset[str]] = ContextVar("not_given", default=frozenset())

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperatorMeta
else:
    BaseOperatorMeta = type(BaseOperator)  # it has another module in each version of Airflow


class OwnArgumentsMeta(BaseOperatorMeta):
    """
    Metaclass of the operators, sensors and transfers whose data comes from their own arguments alone.

    Airflow's metaclass fills each parameter that was not given from the ``default_args`` of the DAG, the task
    group or the task. This one gives the protected parameters their declared defaults first.
    """

    @classmethod
    def _apply_defaults(cls, func: Any) -> Any:
        parameters = inspect.signature(func).parameters

        @wraps(func)
        def initialize(self: BaseOperator, **kwargs: Any) -> None:
            _check(self, kwargs)
            func(self, **kwargs)

        fill_from_default_args: Any = super()._apply_defaults(cast("Any", initialize))

        @wraps(fill_from_default_args)
        def construct(self: BaseOperator, *args: Any, **kwargs: Any) -> Any:
            protected = protected_parameters(type(self))
            declared = {
                name: _MISSING if each.default is each.empty else each.default
                for name, each in parameters.items()
                if name in protected and name not in kwargs
            }
            token = _not_given.set(frozenset(declared))
            try:
                return fill_from_default_args(self, *args, **declared, **kwargs)
            finally:
                _not_given.reset(token)

        # Airflow compares this with the function that it has wrapped, to set a task's dependencies once.
        construct.__wrapped__ = initialize
        return construct


@cache
def protected_parameters(operator: type) -> frozenset[str]:
    """
    Return the parameters of an operator that ``default_args`` never fill.

    These are the parameters that classes of this provider declare, except connection ids, Airflow's own
    parameters, a sensor's timing and the other ones that control how a task runs. A parameter that a subclass
    outside of the provider adds is not protected.

    :param operator: The class of an operator, sensor or transfer.
    """
    airflow = {*_parameters(BaseOperator)}
    if issubclass(operator, BaseSensorOperator):
        airflow |= {*_parameters(BaseSensorOperator)}
    ours = (cls for cls in operator.__mro__ if cls.__module__.partition(".")[0] == _PACKAGE)
    return frozenset(name for cls in ours for name in _parameters(cls)) - airflow - _FROM_DEFAULT_ARGS


def _parameters(cls: type) -> list[str]:
    """Return the parameters that a class's own constructor names."""
    if "__init__" not in vars(cls):
        return []
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(vars(cls)["__init__"]).parameters
    return [name for name, each in parameters.items() if name != "self" and each.kind not in variadic]


def _check(operator: BaseOperator, kwargs: Mapping[str, Any]) -> None:
    """Refuse a required parameter that was not given, and log which ``default_args`` are ignored."""
    not_given = _not_given.get()
    in_default_args = sorted(not_given & set(kwargs.get("default_args") or ()))
    missing = sorted(name for name in not_given if kwargs[name] is _MISSING)
    name = type(operator).__name__
    if found := [each for each in missing if each in in_default_args]:
        raise TypeError(
            f"{name} does not take {_listed(found)} from default_args: give it to the operator itself."
        )
    if missing:
        raise TypeError(f"missing keyword argument{'s' if len(missing) > 1 else ''} {_listed(missing)}")
    if in_default_args:
        log.warning(
            "%s %r ignores %s of default_args: such values come from its own arguments only.",
            name,
            kwargs.get("task_id"),
            _listed(in_default_args),
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
