"""All answers of a flow campaign as a stream: what an export reads, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.api.flow_answers import FlowAnswersReader
from airflow_provider_cytechbot.api.records import Reading

if TYPE_CHECKING:
    import requests

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.flow_answers import SubscriberAnswers
    from airflow_provider_cytechbot.api.records import FlowAnswer, FlowAnswerRow, FlowAnswers
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook


class FlowAnswersStream:
    """
    The answers of one campaign while they arrive: iterate over it once.

    It is known to be whole only when the iteration ends without an error.

    :param hook: The hook that asked.
    :param call: The call that was answered.
    :param response: The answer.
    """

    def __init__(self, hook: CyTechBotHook, call: Call[FlowAnswers], response: requests.Response) -> None:
        self.flow_campaign_id = call.fields["flow_campaign_id"]
        self.extracted_at = datetime.now(UTC).isoformat(timespec="seconds")
        self.bytes_read = 0
        self._hook = hook
        self._call = call
        self._response = response
        self._reader = FlowAnswersReader(Reading(hook.settings.server_timezone, call.fields))
        self._flow_name: str | None = None
        blocks = hook.transport.blocks(call, response)
        first_block = next(blocks, b"")
        if response.status_code != HTTPStatus.OK:
            hook.decipher(call, response.status_code, response.headers, first_block)
        self._blocks = chain([first_block], blocks)

    @classmethod
    @contextmanager
    def open(cls, hook: CyTechBotHook, call: Call[FlowAnswers]) -> Iterator[FlowAnswersStream]:
        """
        Send the call and wait for the first block of its answer.

        :param hook: The hook to ask with.
        :param call: The call.
        """
        with hook.transport.open(call) as response:
            yield cls(hook, call, response)

    @property
    def flow_name(self) -> str | None:
        """The campaign's name. The answer leaves it out where nobody has answered: then it is looked up."""
        return self._flow_name or self._reader.flow_name or self._name_by_the_campaign

    @cached_property
    def _name_by_the_campaign(self) -> str | None:
        return self._hook.get_flow_campaign(self.flow_campaign_id)["flow_name"]

    def __iter__(self) -> Iterator[SubscriberAnswers]:
        """Yield each subscriber's id with its answers."""
        try:
            yield from self._read()
        except CyTechBotError as error:
            failure = error
        else:
            return
        failure.asked = self._call.asked
        raise self._hook.failure(failure)

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

    def _read(self) -> Iterator[SubscriberAnswers]:
        for block in self._blocks:
            self.bytes_read += len(block)
            yield from self._reader.feed(block)
        yield from self._reader.close()
        if not self._reader.is_streaming:
            yield from self._decipher_whole()

    def _decipher_whole(self) -> Iterator[SubscriberAnswers]:
        """Decipher an answer in which no subscribers were found to stream: an empty campaign, or an error."""
        answers = self._hook.decipher(
            self._call, self._response.status_code, self._response.headers, bytes(self._reader.head)
        )
        self._flow_name = answers["flow_name"]
        yield from answers["data"].items()
