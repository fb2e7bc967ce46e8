"""Making Airflow give up at once where a retry cannot help, whatever the task's ``retries`` say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.errors import CyTechBotError


def as_task_error(error: CyTechBotError) -> CyTechBotError:
    """
    Return the error to raise in a task: one that no retry can help is also an ``AirflowFailException``.

    The tree of errors itself knows nothing of Airflow; ``except CyTechBotAuthError`` catches either form.

    :param error: An error of the protocol.
    """
    if error.retryable:
        return error
    return _failing_at_once(type(error))(error.reason, error.hint, error.request, error.connection)


def _failing_at_once(cls: type[CyTechBotError]) -> type[CyTechBotError]:
    from airflow.providers.common.compat.sdk import AirflowFailException

    if issubclass(cls, AirflowFailException):
        return cls

    def reduce(self: CyTechBotError) -> tuple[Any, ...]:
        return cls, (self.reason, self.hint, self.request, self.connection)

    # It goes by the name of the public class, which is the one that people look up and catch.
    public = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls, AirflowFailException), {**public, "__reduce__": reduce})
