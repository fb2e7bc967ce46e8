"""What both hooks do with a connection and with answers: read, decipher, complete errors. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_cytechbot.api.answers import decipher
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.hooks.task_errors import as_task_error

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.transport.settings import Settings

T = TypeVar("T")


class CyTechBotBaseHook:
    """The part of a hook that is the same for each transport."""

    cytechbot_conn_id: str
    settings: Settings

    def read_settings(self, connection: Connection) -> Settings:
        """
        Return a connection's settings; what is secret in them is masked in logs from then on.

        :param connection: The Airflow connection.
        :raises CyTechBotSettingsError: It cannot be used.
        """
        from airflow_provider_cytechbot.hooks.connection_settings import read_settings
        from airflow_provider_cytechbot.hooks.masking import keep_secret

        try:
            settings = read_settings(connection)
        except CyTechBotError as error:
            failure = error
        else:
            keep_secret(settings)
            return settings
        del connection  # it shows its password to whoever shows this frame
        raise self.task_error(failure)

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
        Decipher an answer with what the connection says of key and time zone.

        :param call: The call that was answered.
        :param status: The HTTP status.
        :param headers: The HTTP headers.
        :param body: The body.
        :param after_lost_answer: Whether the same call was sent before and its answer lost.
        """
        settings = self.settings
        return decipher(
            call,
            status,
            headers,
            body,
            api_key=settings.api_key,
            zone=settings.server_timezone,
            is_resend=is_resend,
        )

    def task_error(self, error: CyTechBotError) -> CyTechBotError:
        """
        Return what a task should raise for an error: with the connection's name, and final if no retry helps.

        :param error: An error of the protocol.
        """
        error.connection = self.cytechbot_conn_id
        # What a repr shows: until now without the call, and with the server's words as they came.
        error.args = (error.reason, error.hint, error.request, error.connection)
        # The frames below hold the key and the answer, which an error tracker would show.
        return as_task_error(error.with_traceback(None))
