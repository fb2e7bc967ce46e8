"""What both hooks do with a connection and with answers: read, decipher, complete errors. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_cytechbot.api.answers import decipher
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.hooks.task_failure import for_task

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.hooks.settings import Settings

T = TypeVar("T")


class AnsweredHook:
    """The part of a hook that is the same for each transport."""

    cytechbot_conn_id: str
    settings: Settings

    def read_settings(self, connection: Connection) -> Settings:
        """
        Return a connection's settings; what is secret in them is masked in logs from then on.

        :param connection: The Airflow connection.
        :raises CyTechBotSettingsError: It cannot be used.
        """
        from airflow_provider_cytechbot.hooks.secrecy import keep_secret
        from airflow_provider_cytechbot.hooks.settings import Settings

        try:
            settings = Settings.from_connection(connection)
        except CyTechBotError as error:
            failure = error
        else:
            keep_secret(settings)
            return settings
        del connection  # it shows its password to whoever shows this frame
        raise self.failure(failure)

    def decipher(
        self,
        call: Call[T],
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        after_lost_answer: bool = False,
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
            after_lost_answer=after_lost_answer,
        )

    def failure(self, error: CyTechBotError) -> CyTechBotError:
        """
        Return what a task should raise for an error: with the connection's name, and final if no retry helps.

        :param error: An error of the protocol.
        """
        error.connection = self.cytechbot_conn_id
        # What a repr shows: until now without the call, and with the server's words as they came.
        error.args = (error.said, error.advice, error.asked, error.connection)
        # The frames below hold the key and the answer, which an error tracker would show.
        return for_task(error.with_traceback(None))
