"""The part of both hooks without I/O: read the connection, build calls, decipher answers, complete errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_cytechbot.api.answers import decipher
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.api.frames import without_frames
from airflow_provider_cytechbot.hooks.secrets import Secret, reveal

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.endpoints import Endpoint
    from airflow_provider_cytechbot.transport.settings import Settings

T = TypeVar("T")


class CyTechBotBaseHook:
    """The part of a hook that is the same for each transport."""

    cytechbot_conn_id: str
    settings: Settings

    def read_settings(self, connection: Secret) -> Settings:
        """
        Return a connection's settings, and mask its secrets in logs from then on.

        :param connection: The Airflow connection, hidden from error trackers.
        :raises CyTechBotSettingsError: The connection cannot be used.
        """
        from airflow_provider_cytechbot.hooks.connection_settings import read_settings
        from airflow_provider_cytechbot.hooks.masking import keep_secret

        def read() -> Settings:
            settings = read_settings(reveal(connection))
            keep_secret(settings)
            return settings

        try:
            return without_frames(read)
        except CyTechBotError as error:
            failure = error
        raise self.task_error(failure)

    def build_call(self, endpoint: Endpoint[T], fields: Mapping[str, object]) -> Call[T]:
        """
        Return the call of an endpoint.

        :param endpoint: The endpoint.
        :param fields: Its fields, secrets hidden or not.
        :raises CyTechBotFieldError: A field is missing, unknown or cannot be sent as it is.
        """
        return without_frames(
            lambda: build(endpoint, **{name: reveal(value) for name, value in fields.items()})
        )

    def decipher(
        self,
        call: Call[T],
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        is_resend: bool = False,
    ) -> T:
        """
        Decipher an answer with the connection's key and time zone.

        :param call: The call that was answered.
        :param status: The HTTP status.
        :param headers: The HTTP headers.
        :param body: The body.
        :param is_resend: Whether the same call was sent before and its answer lost.
        """
        settings = self.settings
        return without_frames(
            lambda: decipher(
                call,
                status,
                headers,
                body,
                api_key=settings.api_key,
                zone=settings.server_timezone,
                is_resend=is_resend,
            )
        )

    def task_error(self, error: CyTechBotError) -> CyTechBotError:
        """
        Return the error to raise in a task: with the connection's id, and final if no retry can help.

        :param error: An error of the protocol.
        """
        error.connection = self.cytechbot_conn_id
        # For a repr: the first arguments lack the request, and contain the server's text unmasked.
        error.args = (error.reason, error.hint, error.request, error.connection)
        # The frames below contain the key and the answer, which an error tracker would show.
        return as_task_error(error.with_traceback(None))


class EndpointCaller(ABC):
    """The base of the hook's groups of methods."""

    @abstractmethod
    def call(self, endpoint: Endpoint[T], **fields: object) -> T:
        """
        Call an endpoint.

        :param endpoint: The endpoint.
        :param fields: Its fields.
        """


def as_task_error(error: CyTechBotError) -> CyTechBotError:
    """
    Return the error to raise in a task: an error that no retry can help is an ``AirflowFailException``, too.

    The errors themselves do not depend on Airflow; ``except CyTechBotAuthError`` catches either form.

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

    # It has the name of the public class, which is the one to look up and to catch.
    public = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls, AirflowFailException), {**public, "__reduce__": reduce})


def is_retried_after_long_wait() -> bool:
    """
    Return whether the running task, if any, is tried again after a ``Retry-After``.

    This is so with a ``CyTechBotRetryPolicy``, while the task has retries left or can be rescheduled.
    """
    from airflow.providers.common.compat.sdk import get_current_context

    try:
        ti: Any = get_current_context()["ti"]
        policy: Any = getattr(ti.task, "retry_policy", None)
        is_last_try = ti.try_number > ti.max_tries
    except Exception:  # noqa: BLE001 - a RuntimeError, and before Airflow 3.0 an AirflowException: no task runs
        return False
    if getattr(policy, "follows_retry_after", False) is not True:
        return False
    return not (is_last_try and bool(policy.needs_retries))
