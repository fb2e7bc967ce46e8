"""All answers of a flow campaign as a stream: what an export reads, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.answers import is_success
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.api.flow_answer_batches import FlowAnswerBatches, as_batch
from airflow_provider_cytechbot.api.flow_answers import FlowAnswersParser
from airflow_provider_cytechbot.api.records import ReadContext

if TYPE_CHECKING:
    import aiohttp
    import requests

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch
    from airflow_provider_cytechbot.api.flow_answers import SubscriberAnswers
    from airflow_provider_cytechbot.api.records import FlowAnswer, FlowAnswerRow, FlowAnswers
    from airflow_provider_cytechbot.hooks.base import CyTechBotBaseHook
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook


class _ArrivingFlowAnswers:
    """
    What the streams of both hooks make of an answer while it arrives.

    :param hook: The hook that asked.
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
        #: Is given each block of the body, decompressed, as it comes.
        self.on_block: Callable[[bytes], object] | None = None
        self._call = call
        self._answer = (status, headers)
        reading = ReadContext(hook.settings.server_timezone, call.fields)
        self._reader = FlowAnswerBatches(reading)
        self._head: list[bytes] = []
        self._head_reader = FlowAnswersParser(reading)
        self._flow_name: str | None = None
        self._answered_hook = hook

    def _takes_as_head(self, block: bytes) -> bool:
        """Take a block of the beginning; return whether it has not yet come to any subscriber."""
        self._head.append(block)
        self._head_reader.feed(block)
        return not self._head_reader.is_streaming

    def _judge(self, body: bytes) -> None:
        """Raise what is wrong with an answer without subscribers, while the call can still be repeated."""
        self._answered_hook.decipher(self._call, *self._answer, body)

    def _feed(self, block: bytes) -> Batch:
        self.bytes_read += len(block)
        if self.on_block:
            self.on_block(block)
        return self._reader.feed(block)

    def _close(self) -> Batch:
        found = self._reader.close()
        if self._reader.members.is_streaming:
            return found
        # No subscribers were found to stream: an empty campaign, or an error.
        answers = self._answered_hook.decipher(self._call, *self._answer, bytes(self._reader.members.head))
        self._flow_name = answers["flow_name"]
        return as_batch(answers["data"].items())

    def _failure(self, error: CyTechBotError) -> CyTechBotError:
        error.request = self._call.request
        return self._answered_hook.task_error(error)


class FlowAnswersStream(_ArrivingFlowAnswers):
    """
    The answers of one campaign while they arrive: iterate over it once.

    It is known to be whole only when the iteration ends without an error.

    :param hook: The hook that asked.
    :param call: The call that was answered.
    :param response: The answer.
    """

    def __init__(self, hook: CyTechBotHook, call: Call[FlowAnswers], response: requests.Response) -> None:
        super().__init__(hook, call, response.status_code, response.headers)
        self._hook = hook
        if not is_success(response.status_code):
            self._judge(hook.transport.body(call, response))
        blocks = hook.transport.blocks(call, response)
        if all(map(self._takes_as_head, blocks)):
            self._judge(b"".join(self._head))
        self._blocks = chain(self._head, blocks)

    @classmethod
    @contextmanager
    def open(cls, hook: CyTechBotHook, call: Call[FlowAnswers]) -> Iterator[FlowAnswersStream]:
        """
        Send the call and wait for the first subscriber of its answer, or for its end.

        :param hook: The hook to ask with.
        :param call: The call.
        """
        with hook.transport.open(call) as response:
            yield cls(hook, call, response)

    @property
    def flow_name(self) -> str | None:
        """The campaign's name. The answer leaves it out where nobody has answered: then it is looked up."""
        return self._flow_name or self._reader.members.flow_name or self._name_by_the_campaign

    @cached_property
    def _name_by_the_campaign(self) -> str | None:
        return self._hook.get_flow_campaign(self.flow_campaign_id)["flow_name"]

    def __iter__(self) -> Iterator[SubscriberAnswers]:
        """Yield each subscriber's id with its answers."""
        for batch in self.batches():
            yield from _records(batch)

    def batches(self) -> Iterator[Batch]:
        """Yield the subscribers with their answers as many at a time as arrive, which is quicker."""
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
    The same for the asynchronous hook, without rows: iterate over it once, with ``async for``.

    :param hook: The hook that asked.
    :param call: The call that was answered.
    :param response: The answer.
    """

    def __init__(
        self, hook: CyTechBotAsyncHook, call: Call[FlowAnswers], response: aiohttp.ClientResponse
    ) -> None:
        super().__init__(hook, call, response.status, response.headers)
        self._blocks = hook.transport.blocks(call, response)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, hook: CyTechBotAsyncHook, call: Call[FlowAnswers]
    ) -> AsyncIterator[AsyncFlowAnswersStream]:
        """
        Send the call and wait for the first subscriber of its answer, or for its end.

        :param hook: The hook to ask with.
        :param call: The call.
        """
        async with hook.transport.open(call) as response:
            stream = cls(hook, call, response)
            if not is_success(response.status):
                stream._judge(await hook.transport.body(call, response))
            async for block in stream._blocks:
                if not stream._takes_as_head(block):
                    break
            else:
                stream._judge(b"".join(stream._head))
            yield stream

    @property
    def flow_name(self) -> str | None:
        """The campaign's name, as far as the answer has told it."""
        return self._flow_name or self._reader.members.flow_name

    async def __aiter__(self) -> AsyncIterator[SubscriberAnswers]:
        """Yield each subscriber's id with its answers."""
        failure: CyTechBotError
        try:
            for block in self._head:
                for found in _records(self._feed(block)):
                    yield found
            async for block in self._blocks:
                for found in _records(self._feed(block)):
                    yield found
                # A server that sends faster than this reads would let nothing else of the loop have a turn.
                await asyncio.sleep(0)
            for found in _records(self._close()):
                yield found
        except CyTechBotError as error:
            failure = error
        else:
            return
        raise self._failure(failure)


def _records(batch: Batch) -> Iterator[SubscriberAnswers]:
    for subscriber_id, answers in batch:
        yield (
            subscriber_id,
            [
                {"question_id": each.question_id, "question": each.question, "answer": each.answer}
                for each in answers
            ],
        )
