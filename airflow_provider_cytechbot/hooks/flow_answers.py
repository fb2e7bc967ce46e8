"""All answers of a flow campaign as a stream, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_cytechbot.api.decoders import ReadContext
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.api.flow_answer_batches import FlowAnswersBatchParser, as_batch
from airflow_provider_cytechbot.api.flow_answers import FlowAnswersParser
from airflow_provider_cytechbot.api.http_status import is_success

if TYPE_CHECKING:
    import aiohttp
    import requests

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch
    from airflow_provider_cytechbot.api.flow_answers import SubscriberAnswers
    from airflow_provider_cytechbot.api.records import FlowAnswer, FlowAnswerRow, FlowAnswers
    from airflow_provider_cytechbot.hooks.base import CyTechBotBaseHook
    from airflow_provider_cytechbot.transport.aiohttp_transport import AiohttpTransport
    from airflow_provider_cytechbot.transport.requests_transport import RequestsTransport

T = TypeVar("T")

#: With more bytes of an incomplete subscriber than this, decoding would block an event loop.
IN_THREAD_BYTES = 64 * 1024


class _ArrivingFlowAnswers:
    """
    The part of both streams without I/O.

    :param hook: The hook that sent the call.
    :param call: The call that was answered.
    :param status: The answer's HTTP status.
    :param headers: The answer's HTTP headers.
    """

    def __init__(
        self, hook: CyTechBotBaseHook, call: Call[FlowAnswers], status: int, headers: Mapping[str, str]
    ) -> None:
        self.flow_campaign_id = call.fields["flow_campaign_id"]
        self.extracted_at = datetime.now(UTC).isoformat(timespec="seconds")
        self.bytes_read = 0
        #: Called with each decompressed block of the body.
        self.on_block: Callable[[bytes], object] | None = None
        self._call = call
        self._answer = (status, headers)
        context = ReadContext(hook.settings.server_timezone, call.fields)
        self._batch_parser = FlowAnswersBatchParser(context)
        self._head: list[bytes] = []
        self._head_parser = FlowAnswersParser(context)
        self._flow_name: str | None = None
        self._hook = hook

    def _add_to_head(self, block: bytes) -> bool:
        """Keep a block of the beginning; return whether the first subscriber is still missing."""
        self._head.append(block)
        self._head_parser.feed(block)
        return not self._head_parser.is_streaming

    def _raise_error_answer(self, body: bytes) -> None:
        """Raise the error of an answer without subscribers, while the call can still be retried."""
        self._hook.decipher(self._call, *self._answer, body)

    def _feed(self, block: bytes) -> Batch:
        self.bytes_read += len(block)
        if self.on_block:
            self.on_block(block)
        return self._batch_parser.feed(block)

    def _close(self) -> Batch:
        found = self._batch_parser.close()
        if self._batch_parser.parser.is_streaming:
            return found
        # The answer has no subscribers: an empty campaign, or an error.
        answers = self._hook.decipher(self._call, *self._answer, bytes(self._batch_parser.parser.head))
        self._flow_name = answers["flow_name"]
        return as_batch(answers["data"].items())

    def _failure(self, error: CyTechBotError) -> CyTechBotError:
        error.request = self._call.request
        return self._hook.task_error(error)


class FlowAnswersStream(_ArrivingFlowAnswers):
    """
    The answers of one campaign while they arrive. Iterate over it once.

    The answers are complete only if the iteration ends without an error.

    :param hook: The hook that sent the call.
    :param transport: The transport that sent it.
    :param call: The call that was answered.
    :param response: The answer.
    :param find_flow_name: Returns the name of a campaign, for an answer without it.
    """

    def __init__(
        self,
        hook: CyTechBotBaseHook,
        transport: RequestsTransport,
        call: Call[FlowAnswers],
        response: requests.Response,
        find_flow_name: Callable[[str], str | None],
    ) -> None:
        super().__init__(hook, call, response.status_code, response.headers)
        self._find_flow_name = find_flow_name
        if not is_success(response.status_code):
            self._raise_error_answer(transport.body(call, response))
        blocks = transport.blocks(call, response)
        if all(map(self._add_to_head, blocks)):
            self._raise_error_answer(b"".join(self._head))
        self._blocks = chain(self._head, blocks)

    @classmethod
    @contextmanager
    def open(
        cls,
        hook: CyTechBotBaseHook,
        transport: RequestsTransport,
        call: Call[FlowAnswers],
        find_flow_name: Callable[[str], str | None],
    ) -> Iterator[FlowAnswersStream]:
        """
        Send the call and wait for the first subscriber of its answer, or for its end.

        :param hook: The hook that sends the call.
        :param transport: The transport that sends it.
        :param call: The call.
        :param find_flow_name: Returns the name of a campaign, for an answer without it.
        """
        with transport.open(call) as response:
            yield cls(hook, transport, call, response, find_flow_name)

    @property
    def flow_name(self) -> str | None:
        """The campaign's name. It is looked up if the answer does not have it yet."""
        return self._flow_name or self._batch_parser.parser.flow_name or self._looked_up_flow_name

    @cached_property
    def _looked_up_flow_name(self) -> str | None:
        return self._find_flow_name(self.flow_campaign_id)

    def __iter__(self) -> Iterator[SubscriberAnswers]:
        """Yield each subscriber's id with its answers."""
        for batch in self.batches():
            yield from _records(batch)

    def batches(self) -> Iterator[Batch]:
        """Yield the subscribers with their answers in batches as they arrive, which is faster."""
        try:
            yield from filter(None, self._read())
        except CyTechBotError as error:
            failure = error
        else:
            return
        raise self._failure(failure)

    def rows(self) -> Iterator[FlowAnswerRow]:
        """Yield each answer as a row of the long layout."""
        for subscriber_id, answers in self:
            yield from self.rows_of(subscriber_id, answers)

    def rows_of(self, subscriber_id: str, answers: list[FlowAnswer]) -> list[FlowAnswerRow]:
        """
        Return one subscriber's answers as rows of the long layout.

        :param subscriber_id: The subscriber's id.
        :param answers: Its answers.
        """
        return [
            {
                "flow_campaign_id": self.flow_campaign_id,
                "flow_name": self.flow_name,
                "subscriber_id": subscriber_id,
                "question_id": answer["question_id"],
                "question": answer["question"],
                "answer": answer["answer"],
                "extracted_at": self.extracted_at,
            }
            for answer in answers
        ]

    def _read(self) -> Iterator[Batch]:
        for block in self._blocks:
            yield self._feed(block)
        yield self._close()


class AsyncFlowAnswersStream(_ArrivingFlowAnswers):
    """
    The same for the asynchronous hook, without rows. Iterate over it once, with ``async for``.

    :param hook: The hook that sent the call.
    :param transport: The transport that sent it.
    :param call: The call that was answered.
    :param response: The answer.
    """

    def __init__(
        self,
        hook: CyTechBotBaseHook,
        transport: AiohttpTransport,
        call: Call[FlowAnswers],
        response: aiohttp.ClientResponse,
    ) -> None:
        super().__init__(hook, call, response.status, response.headers)
        self._blocks = transport.blocks(call, response)
        self._incomplete_bytes = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls, hook: CyTechBotBaseHook, transport: AiohttpTransport, call: Call[FlowAnswers]
    ) -> AsyncIterator[AsyncFlowAnswersStream]:
        """
        Send the call and wait for the first subscriber of its answer, or for its end.

        :param hook: The hook that sends the call.
        :param transport: The transport that sends it.
        :param call: The call.
        """
        async with transport.open(call) as response:
            stream = cls(hook, transport, call, response)
            if not is_success(response.status):
                await stream._run(stream._raise_error_answer, await transport.body(call, response))
            async for block in stream._blocks:
                stream._incomplete_bytes += len(block)
                if not await stream._run(stream._add_to_head, block):
                    break
            else:
                await stream._run(stream._raise_error_answer, b"".join(stream._head))
            yield stream

    @property
    def flow_name(self) -> str | None:
        """The campaign's name, if it has arrived."""
        return self._flow_name or self._batch_parser.parser.flow_name

    async def __aiter__(self) -> AsyncIterator[SubscriberAnswers]:
        """Yield each subscriber's id with its answers."""
        failure: CyTechBotError
        try:
            for block in self._head:
                for found in _records(await self._feed_without_blocking(block)):
                    yield found
            async for block in self._blocks:
                for found in _records(await self._feed_without_blocking(block)):
                    yield found
                # With a server that sends faster than this reads, other tasks of the loop would never run.
                await asyncio.sleep(0)
            for found in _records(await self._run(self._close)):
                yield found
        except CyTechBotError as error:
            failure = error
        else:
            return
        raise self._failure(failure)

    async def _feed_without_blocking(self, block: bytes) -> Batch:
        self._incomplete_bytes += len(block)
        batch = await self._run(self._feed, block)
        if batch:
            self._incomplete_bytes = 0
        return batch

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        """Decode, in a thread if there are many bytes to decode at once."""
        if self._incomplete_bytes > IN_THREAD_BYTES:
            return await asyncio.to_thread(work, *args)
        return work(*args)


def _records(batch: Batch) -> Iterator[SubscriberAnswers]:
    for subscriber_id, answers in batch:
        yield (
            subscriber_id,
            [
                {"question_id": each.question_id, "question": each.question, "answer": each.answer}
                for each in answers
            ],
        )
