"""The asynchronous hook: for triggers, which must not block the event loop that they share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.api.frames import without_frames_async
from airflow_provider_cytechbot.hooks.base import CyTechBotBaseHook
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.hooks.flow_campaigns import QuestionIds, find_campaign
from airflow_provider_cytechbot.hooks.secrets import Secret, hide, hide_fields

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api import records
    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.endpoints import Endpoint
    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.hooks.flow_answers import AsyncFlowAnswersStream
    from airflow_provider_cytechbot.transport.aiohttp_transport import AiohttpTransport
    from airflow_provider_cytechbot.transport.settings import Settings

T = TypeVar("T")
R = TypeVar("R")

#: Bytes of an answer beyond which deciphering and masking it would block the event loop.
IN_THREAD_BYTES = 64 * 1024


@dataclass
class _Opened:
    """A transport with an open session, and the number of tasks that use it."""

    transport: AiohttpTransport
    users: int = 0


class CyTechBotAsyncHook(CyTechBotBaseHook, BaseHook):
    """
    Calls the API without blocking: an asynchronous context manager.

    The connection is fetched once and the session opened once, at its start, and closed at its end::

        async with CyTechBotAsyncHook() as hook:
            campaign = await hook.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id="1")

    Several tasks and event loops can share a hook, each within its own ``async with``. Sockets belong to an
    event loop, so that each loop has a session of its own; the last task to leave closes it.

    Connection, errors, retries and masking are those of
    :class:`~airflow_provider_cytechbot.hooks.cytechbot.CyTechBotHook`.

    :param cytechbot_conn_id: The id of the Airflow connection, of the type ``cytechbot``.
    """

    conn_name_attr = CyTechBotHook.conn_name_attr
    default_conn_name = CyTechBotHook.default_conn_name
    conn_type = CyTechBotHook.conn_type
    hook_name = CyTechBotHook.hook_name

    def __init__(self, cytechbot_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cytechbot_conn_id = cytechbot_conn_id
        self.settings: Settings
        self._opened: dict[asyncio.AbstractEventLoop, _Opened] = {}

    @property
    def transport(self) -> AiohttpTransport:
        """The transport of the running event loop."""
        if opened := self._opened.get(asyncio.get_running_loop()):
            return opened.transport
        raise RuntimeError(
            "The hook is not open in this event loop: use it within 'async with CyTechBotAsyncHook()'."
        )

    def open(self, settings: Settings, transport: AiohttpTransport) -> None:
        """
        Open the session, if this event loop has none yet. Each call needs one of :meth:`close`.

        :param settings: The connection's settings.
        :param transport: The transport to use if there is none.
        """
        loop = asyncio.get_running_loop()
        self.settings = settings
        if loop not in self._opened:
            transport.open_session()
            self._opened[loop] = _Opened(transport)
        self._opened[loop].users += 1

    async def close(self) -> None:
        """Close the session and its sockets, unless another task of this event loop still uses them."""
        loop = asyncio.get_running_loop()
        opened = self._opened[loop]
        opened.users -= 1
        if not opened.users:
            del self._opened[loop]
            await opened.transport.close()

    async def __aenter__(self) -> CyTechBotAsyncHook:
        """Fetch the connection and open the session."""
        from airflow.providers.common.compat.connection import get_async_connection

        async def hidden_connection() -> Secret:
            return cast("Secret", hide(await get_async_connection(self.cytechbot_conn_id, hook=type(self))))

        connection = await without_frames_async(hidden_connection())
        try:
            # In a thread: aiohttp alone takes a quarter of a second to import, certificates are read from
            # disk, and masking sends a message to the supervisor.
            prepared = await asyncio.to_thread(self._prepare, connection)
        except CyTechBotError as error:
            failure = error
        else:
            self.open(*prepared)
            return self
        raise failure.with_traceback(None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the session, unless another task of this event loop still uses it."""
        await self.close()

    async def call(self, endpoint: Endpoint[T], *, max_retries: int | None = None, **fields: object) -> T:
        """
        Call an endpoint.

        :param endpoint: One of :data:`airflow_provider_cytechbot.api.endpoints.ENDPOINTS`.
        :param max_retries: The most retries; ``None``: the connection's number.
        :param fields: Its fields; ``None`` means not to send one.
        :return: The endpoint's record, list, id or outcome.
        :raises CyTechBotError: One of its subclasses.
        """
        fields = hide_fields(endpoint, fields)  # error trackers show the variables of this frame
        return await self._run(self._send, endpoint, fields, max_retries)

    async def find_flow_campaign(self, name: str) -> records.FlowCampaign:
        """
        Return the flow campaign with a name (``GET get_flow_campaigns/``).

        White space around and within names is not significant.

        :param name: The campaign's name.
        :raises CyTechBotNotFoundError: No campaign has this name.
        :raises CyTechBotRequestError: Several campaigns have this name.
        """
        campaigns = await self.call(endpoints.GET_FLOW_CAMPAIGNS)
        try:
            return find_campaign(campaigns, name)
        except CyTechBotError as error:
            failure = error
        raise self.task_error(failure)

    async def get_question_ids(self, flow_campaign_id: IdInput) -> dict[str, list[str]]:
        """
        Return the ids of a campaign's questions by their texts, which come from answers.

        :param flow_campaign_id: The campaign's id.
        :raises CyTechBotNotFoundError: There is no such campaign.
        """
        campaign = await self.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id=flow_campaign_id)
        found = QuestionIds(campaign["questions"])
        async with self.open_flow_answers(flow_campaign_id) as stream:
            async for _, answers in stream:
                found.add(answers)
                if found.is_complete:
                    break
        return found.by_text()

    @asynccontextmanager
    async def open_flow_answers(
        self, flow_campaign_id: IdInput, *, max_retries: int | None = None
    ) -> AsyncIterator[AsyncFlowAnswersStream]:
        """
        Open all answers of a campaign as a stream (``GET get_all_subscriber_flow_info/``).

        A call that fails before the first subscriber has arrived is retried like any other.

        :param flow_campaign_id: The campaign's id.
        :param max_retries: The most retries; ``None``: the connection's number.
        """
        from airflow_provider_cytechbot.hooks.flow_answers import AsyncFlowAnswersStream

        async with AsyncExitStack() as stack:
            yield await self._run(
                lambda call, _: stack.enter_async_context(
                    AsyncFlowAnswersStream.open(self, self.transport, call)
                ),
                endpoints.GET_FLOW_ANSWERS,
                {"flow_campaign_id": flow_campaign_id},
                max_retries,
            )

    def _prepare(self, connection: Secret) -> tuple[Settings, AiohttpTransport]:
        import airflow_provider_cytechbot.transport.retry  # noqa: F401 (slow to import, and used below)
        from airflow_provider_cytechbot.transport.aiohttp_transport import AiohttpTransport

        settings = self.read_settings(connection)
        try:
            return settings, AiohttpTransport(settings)
        except CyTechBotError as error:
            failure = error
        raise self.task_error(failure)

    async def _send(self, call: Call[T], is_resend: bool) -> T:
        status, headers, body = await self.transport.send(call)
        if len(body) > IN_THREAD_BYTES:
            return await asyncio.to_thread(self.decipher, call, status, headers, body, is_resend=is_resend)
        return self.decipher(call, status, headers, body, is_resend=is_resend)

    async def _run(
        self,
        send: Callable[[Call[T], bool], Awaitable[R]],
        endpoint: Endpoint[T],
        fields: Mapping[str, object],
        max_retries: int | None,
    ) -> R:
        """Build a call and send it with retries; raise its error as a task should."""
        from airflow_provider_cytechbot.transport.retry import send_with_retries_async

        limiter = self.transport.limiter
        try:
            call = self.build_call(endpoint, fields)
            times = self.settings.max_retries if max_retries is None else max_retries
            attempts = send_with_retries_async(send, call, times, limiter)
            return await without_frames_async(attempts)
        except CyTechBotError as error:
            failure = error
        raise self.task_error(failure)  # outside the except, so that its chain is empty
