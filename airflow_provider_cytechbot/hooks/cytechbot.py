"""The hook: a typed method for each endpoint of the CyTechBot API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_cytechbot import connection_form
from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.api.frames import without_frames
from airflow_provider_cytechbot.api.records import WriteOutcome
from airflow_provider_cytechbot.hooks import lineage
from airflow_provider_cytechbot.hooks.base import CyTechBotBaseHook, is_retried_after_long_wait
from airflow_provider_cytechbot.hooks.contacts import ContactMethods
from airflow_provider_cytechbot.hooks.flow_campaigns import (
    QuestionIds,
    find_campaign,
    read_campaign_reference,
)
from airflow_provider_cytechbot.hooks.secrets import hide, hide_fields
from airflow_provider_cytechbot.hooks.users import UserMethods

if TYPE_CHECKING:
    import requests

    from airflow_provider_cytechbot.api import records
    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.endpoints import Endpoint
    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.hooks.flow_answers import FlowAnswersStream
    from airflow_provider_cytechbot.transport.requests_transport import RequestsTransport
    from airflow_provider_cytechbot.transport.settings import Settings

T = TypeVar("T")
R = TypeVar("R")


class CyTechBotHook(UserMethods, ContactMethods, CyTechBotBaseHook, BaseHook):
    """
    Calls the API of CyTechBot, or of another installation of the XeroChat platform.

    Parameters have the names of the vendor's fields. Ids may be given as ``str`` or ``int`` and are returned
    as ``str``. Records are JSON-serialisable: times are ISO 8601 with the server's offset, and a date of
    zeros is ``None``.

    A call that fails for a temporary reason is retried up to ``max_retries`` times, if a second call does no
    harm: reads, updates, deletes and label assignments always, creates only if nothing can have been sent.
    All errors derive from :class:`~airflow_provider_cytechbot.api.errors.CyTechBotError`. Errors that no
    retry can help fail the task at once.

    :param cytechbot_conn_id: The id of the Airflow connection, of the type ``cytechbot``.
    """

    conn_name_attr = "cytechbot_conn_id"
    default_conn_name = "cytechbot_default"
    conn_type = "cytechbot"
    hook_name = "CyTechBot"

    def __init__(self, cytechbot_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cytechbot_conn_id = cytechbot_conn_id

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the connection form, for Airflow 2.11 to 3.1."""
        return connection_form.connection_form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the labels of the connection form, for Airflow 2.11 to 3.1."""
        return connection_form.ui_field_behaviour()

    # Subscribers and their labels.

    def get_subscriber(self, subscriber_id: IdInput) -> records.Subscriber:
        """
        Return a subscriber (``GET subscriber_information/``).

        :param subscriber_id: The subscriber's id, on Facebook a PSID of up to 17 digits.
        :raises CyTechBotNotFoundError: There is no such subscriber.
        """
        return self.call(endpoints.GET_SUBSCRIBER, subscriber_id=subscriber_id)

    def get_labels(self, page_id: IdInput) -> list[records.Label]:
        """
        Return the labels of a page (``GET get_all_labels/``); an empty list if it has none.

        :param page_id: The page's id.
        """
        return self.call(endpoints.GET_LABELS, page_id=page_id)

    def create_label(self, *, label_name: str, page_id: IdInput) -> str:
        """
        Create a label and return its id (``POST create_label``).

        :param label_name: The label's name.
        :param page_id: The id of a page whose bot is enabled.
        :raises CyTechBotRequestError: The API refused, for instance because the page has such a label.
        :raises CyTechBotAmbiguousWriteError: The answer was lost: the label may have been created.
        """
        return self.call(endpoints.CREATE_LABEL, label_name=label_name, page_id=page_id)

    def assign_labels(
        self, *, page_id: IdInput, subscriber_id: IdInput, label_ids: Iterable[IdInput] | str
    ) -> None:
        """
        Tag a subscriber with labels (``POST assign_label``). Labels that it already has stay.

        The server silently ignores unknown label ids, as long as one of them exists.

        :param page_id: The id of the page that subscriber and labels belong to.
        :param subscriber_id: The subscriber's id.
        :param label_ids: The labels' ids, as a list or separated by commas.
        :raises CyTechBotRequestError: The API refused, for instance because none of the labels exists.
        """
        self.call(endpoints.ASSIGN_LABELS, page_id=page_id, subscriber_id=subscriber_id, label_ids=label_ids)

    # Flow campaigns and their answers.

    def get_flow_campaigns(self) -> list[records.FlowCampaign]:
        """Return all flow campaigns (``GET get_flow_campaigns/``)."""
        return self.call(endpoints.GET_FLOW_CAMPAIGNS)

    def get_flow_campaign(self, flow_campaign_id: IdInput) -> records.FlowCampaignQuestions:
        """
        Return a flow campaign with its questions (``GET get_flow_campaign_info/``).

        :param flow_campaign_id: The campaign's id.
        :raises CyTechBotNotFoundError: There is no such campaign.
        """
        return self.call(endpoints.GET_FLOW_CAMPAIGN, flow_campaign_id=flow_campaign_id)

    def find_flow_campaign(self, name: str) -> records.FlowCampaign:
        """
        Return the flow campaign with a name (``GET get_flow_campaigns/``).

        White space around and within names is not significant.

        :param name: The campaign's name.
        :raises CyTechBotNotFoundError: No campaign has this name.
        :raises CyTechBotRequestError: Several campaigns have this name.
        """
        return self._checked(lambda: find_campaign(self.get_flow_campaigns(), name))

    def resolve_flow_campaign_id(self, flow_campaign_id: object, flow_campaign_name: object) -> str:
        """
        Return the id of a campaign that is given by its id or by its name.

        :param flow_campaign_id: The id; ``None`` or an empty text if the name is given.
        :param flow_campaign_name: The name; ``None`` or an empty text if the id is given.
        :raises CyTechBotFieldError: Both or neither are given, or one is invalid.
        :raises CyTechBotNotFoundError: No campaign has this name.
        :raises CyTechBotRequestError: Several campaigns have this name.
        """
        found, name = self._checked(lambda: read_campaign_reference(flow_campaign_id, flow_campaign_name))
        return found or self.find_flow_campaign(name)["id"]

    def get_question_ids(self, flow_campaign_id: IdInput) -> dict[str, list[str]]:
        """
        Return the ids of a campaign's questions by their texts.

        The API lists questions without ids, so ids come from answers (``GET get_all_subscriber_flow_info/``):
        a question without any answer has none, and a text that several questions share has several.

        :param flow_campaign_id: The campaign's id.
        :raises CyTechBotNotFoundError: There is no such campaign.
        """
        found = QuestionIds(self.get_flow_campaign(flow_campaign_id)["questions"])
        with self.open_flow_answers(flow_campaign_id) as stream:
            for _, answers in stream:
                found.add(answers)
                if found.is_complete:
                    break
        return found.by_text()

    def get_subscriber_flow_answers(
        self, flow_campaign_id: IdInput, subscriber_id: IdInput
    ) -> records.SubscriberFlowAnswers:
        """
        Return one subscriber's answers (``GET get_single_subscriber_flow_info/``).

        :param flow_campaign_id: The campaign's id.
        :param subscriber_id: The subscriber's id.
        :return: ``{"id", "flow_name", "data": [{"question_id", "question", "answer"}]}``; ``data`` is empty,
            and ``flow_name`` may be ``None``, if there is no answer yet.
        :raises CyTechBotNotFoundError: There is no such campaign.
        """
        return self.call(
            endpoints.GET_SUBSCRIBER_FLOW_ANSWERS,
            flow_campaign_id=flow_campaign_id,
            subscriber_id=subscriber_id,
        )

    def get_flow_answers(self, flow_campaign_id: IdInput) -> records.FlowAnswers:
        """
        Return all answers of a campaign at once (``GET get_all_subscriber_flow_info/``).

        This costs the server time that grows with the square of the number of answers. For a large campaign,
        which would also fill this process's memory, use :meth:`iter_flow_answers`.

        :param flow_campaign_id: The campaign's id.
        :return: ``{"id", "flow_name", "data": {subscriber_id: [{"question_id", "question", "answer"}]}}``;
            ``data`` is empty, and ``flow_name`` may be ``None``, if nobody has answered.
        :raises CyTechBotNotFoundError: There is no such campaign.
        """
        return self.call(endpoints.GET_FLOW_ANSWERS, flow_campaign_id=flow_campaign_id)

    def iter_flow_answers(self, flow_campaign_id: IdInput) -> Iterator[records.FlowAnswerRow]:
        """
        Yield all answers of a campaign as rows, while they arrive, in bounded memory.

        All answers have arrived only if the iterator ends without an error.

        :param flow_campaign_id: The campaign's id.
        :return: Rows ``{"flow_campaign_id", "flow_name", "subscriber_id", "question_id", "question",
            "answer", "extracted_at"}``, the last an ISO 8601 time, the same for all rows.
        :raises CyTechBotNotFoundError: There is no such campaign.
        :raises CyTechBotTransportError: The answer was cut off; rows may have been yielded before.
        """
        with self.open_flow_answers(flow_campaign_id) as stream:
            yield from stream.rows()

    @contextmanager
    def open_flow_answers(self, flow_campaign_id: IdInput) -> Iterator[FlowAnswersStream]:
        """
        Open all answers of a campaign as a stream (``GET get_all_subscriber_flow_info/``).

        The stream yields answers by subscriber, and has the campaign's name and the number of bytes read.

        A call that fails before the first subscriber has arrived is retried like any other.

        :param flow_campaign_id: The campaign's id.
        """
        from airflow_provider_cytechbot.hooks.flow_answers import FlowAnswersStream

        with ExitStack() as stack:
            yield self._run(
                lambda call, _: stack.enter_context(
                    FlowAnswersStream.open(self, self.transport, call, self._find_flow_name)
                ),
                endpoints.GET_FLOW_ANSWERS,
                {"flow_campaign_id": flow_campaign_id},
            )

    # Calls of any endpoint.

    def call(self, endpoint: Endpoint[T], **fields: object) -> T:
        """
        Call an endpoint. Each of the methods above calls its own.

        :param endpoint: One of :data:`airflow_provider_cytechbot.api.endpoints.ENDPOINTS`.
        :param fields: Its fields; ``None`` means not to send one.
        :return: The endpoint's record, list, id or outcome.
        :raises CyTechBotError: One of its subclasses.
        """
        fields = hide_fields(endpoint, fields)  # error trackers show the variables of this frame
        return self._run(self._send, endpoint, fields)

    def get_conn(self) -> requests.Session:
        """Return the session, set up with proxies, TLS and User-Agent. It does not hold the API key."""
        try:
            return self.transport.session
        except CyTechBotError as error:
            failure = error
        raise self.task_error(failure)

    def test_connection(self) -> tuple[bool, str]:
        """
        Make the cheapest read once and describe the result in one plain sentence.

        :return: Whether the connection works, and the sentence.
        """
        try:
            campaigns = self._run(self._send, endpoints.GET_FLOW_CAMPAIGNS, {}, max_retries=0)
        except CyTechBotError as error:
            return False, _sentence(error)
        except AirflowNotFoundException as error:
            return False, str(error)
        found = f"{len(campaigns)} flow campaign{'' if len(campaigns) == 1 else 's'}"
        return True, f"{self.settings.base_url} accepts the API key; it has {found}."

    @cached_property
    def settings(self) -> Settings:  # type: ignore[override]
        """The connection's settings, read once. Their secrets are masked in logs from then on."""
        connection = without_frames(lambda: hide(self.get_connection(self.cytechbot_conn_id)))
        return self.read_settings(connection)

    @cached_property
    def transport(self) -> RequestsTransport:
        """The transport that sends the calls. It keeps connections alive between calls."""
        from airflow_provider_cytechbot.transport.requests_transport import RequestsTransport

        return RequestsTransport(self.settings)

    def _report_lineage(self, call: Call[Any]) -> None:
        """Report to hook lineage that the running task has read a campaign's answers."""
        if call.endpoint in (endpoints.GET_FLOW_ANSWERS, endpoints.GET_SUBSCRIBER_FLOW_ANSWERS):
            lineage.report_campaign_read(self, self.settings.base_url, call.fields["flow_campaign_id"])

    def _send(self, call: Call[T], is_resend: bool) -> T:
        return self.decipher(call, *self.transport.send(call), is_resend=is_resend)

    def _log_write(self, call: Call[Any], answer: object) -> None:
        """Log a write in one line: the record, its id, whether it changed, and the connection."""
        if not call.endpoint.log_text:
            return
        text, fields = call.endpoint.log_text.format_map(call.fields), call.changed_fields
        if not isinstance(answer, WriteOutcome):
            result = f"id {answer}"
        elif answer.changed:
            result = f"changed ({', '.join(fields)})" if fields else "changed"
        else:
            result = f"unchanged ({answer.message or 'no reason given'})"
        self.log.info("%s over connection %r: %s.", text, self.cytechbot_conn_id, result)

    def _checked(self, check: Callable[[], T]) -> T:
        """Return a function's result, and raise its errors as a task should."""
        try:
            return check()
        except CyTechBotError as error:
            failure = error
        raise self.task_error(failure)

    def _find_flow_name(self, flow_campaign_id: str) -> str | None:
        return self.get_flow_campaign(flow_campaign_id)["flow_name"]

    def _run(
        self,
        send: Callable[[Call[T], bool], R],
        endpoint: Endpoint[T],
        fields: Mapping[str, object],
        max_retries: int | None = None,
    ) -> R:
        """Build a call and send it with retries; raise its error as a task should."""
        from airflow_provider_cytechbot.transport.retry import send_with_retries

        try:
            call = self.build_call(endpoint, fields)
            times = self.settings.max_retries if max_retries is None else max_retries
            transport = self.transport
            answer = without_frames(
                lambda: send_with_retries(send, call, times, transport.limiter, is_retried_after_long_wait)
            )
        except CyTechBotError as error:
            failure = error
        else:
            self._report_lineage(call)
            self._log_write(call, answer)
            return answer
        raise self.task_error(failure)  # outside the except, so that its chain is empty


def _sentence(error: CyTechBotError) -> str:
    """Return an error as one sentence for the connection's own form, without the connection's name."""
    reason = error.reason[:1].upper() + error.reason[1:]
    return f"{reason.rstrip('.')}; {error.hint[:1].lower()}{error.hint[1:]}" if error.hint else reason
