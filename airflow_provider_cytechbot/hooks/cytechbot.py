"""The hook: a typed method for each endpoint of the CyTechBot API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_cytechbot import connection_form
from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import Call, build
from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.hooks import lineage
from airflow_provider_cytechbot.hooks.base import CyTechBotBaseHook

if TYPE_CHECKING:
    import requests

    from airflow_provider_cytechbot.api import records
    from airflow_provider_cytechbot.api.endpoints import Endpoint
    from airflow_provider_cytechbot.api.fields import DateInput, IdInput
    from airflow_provider_cytechbot.hooks.flow_answers import FlowAnswersStream
    from airflow_provider_cytechbot.transport.requests_transport import RequestsTransport
    from airflow_provider_cytechbot.transport.settings import Settings

T = TypeVar("T")
R = TypeVar("R")


class CyTechBotHook(CyTechBotBaseHook, BaseHook):
    """
    Talk to the API of CyTechBot, or of another installation of the XeroChat platform.

    Parameters have the names of the vendor's fields. Ids may be given as ``str`` or ``int`` and are returned
    as ``str``. Records are JSON-serialisable: times are ISO 8601 with the server's offset, and a date of
    zeros is ``None``.

    A call that fails for a passing reason is repeated, as often as the connection's ``max_retries`` allows,
    if a repeat does no harm: reads, updates, deletes and label assignments always, creates only if nothing
    can have been sent. All errors derive from :class:`~airflow_provider_cytechbot.api.errors.CyTechBotError`.
    Those that no retry can help make the task fail at once.

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

    # Users and packages: an admin's key is needed.

    def get_user(self, *, user_id: IdInput | None = None, email: str | None = None) -> records.User:
        """
        Return a user, found by id or by e-mail address (``GET get_user_info/``).

        :param user_id: The user's id.
        :param email: The user's e-mail address. Exactly one of the two is needed.
        :raises CyTechBotNotFoundError: There is no such user.
        """
        return self.call(endpoints.GET_USER, user_id=user_id, email=email)

    def create_user(
        self,
        *,
        name: str,
        email: str,
        password: str,
        package_id: IdInput,
        expired_date: DateInput,
        mobile: str | None = None,
        address: str | None = None,
    ) -> str:
        """
        Create a user and return the new id (``POST create_system_user``).

        :param name: The user's name.
        :param email: The user's e-mail address, which no other user may have.
        :param password: The user's password. It appears in no log and no error.
        :param package_id: The id of the user's package.
        :param expired_date: The last day of the user's validity.
        :param mobile: The user's mobile number.
        :param address: The user's postal address.
        :raises CyTechBotRequestError: The API refused, for instance because the e-mail address exists.
        :raises CyTechBotAmbiguousWriteError: The answer was lost: the user may have been created.
        """
        return self.call(
            endpoints.CREATE_USER,
            name=name,
            email=email,
            password=password,
            package_id=package_id,
            expired_date=expired_date,
            mobile=mobile,
            address=address,
        )

    def update_user(
        self,
        user_id: IdInput,
        *,
        name: str | None = None,
        mobile: str | None = None,
        address: str | None = None,
        package_id: IdInput | None = None,
        expired_date: DateInput | None = None,
        status: str | None = None,
    ) -> None:
        """
        Update a user (``POST update_user/{user_id}``). Fields that are ``None`` stay as they are.

        :param user_id: The user's id.
        :param name: The new name.
        :param mobile: The new mobile number.
        :param address: The new postal address.
        :param package_id: The id of the new package.
        :param expired_date: The new last day of validity.
        :param status: The new status; not documented by the vendor, and ``0`` cannot be set.
        :raises CyTechBotNotFoundError: There is no such user.
        """
        self._write(
            endpoints.UPDATE_USER,
            user_id=user_id,
            name=name,
            mobile=mobile,
            address=address,
            package_id=package_id,
            expired_date=expired_date,
            status=status,
        )

    def get_packages(self) -> list[records.Package]:
        """Return all packages (``GET get_all_packages/``)."""
        return self.call(endpoints.GET_PACKAGES)

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

        The server silently ignores label ids that it does not know, as long as it knows one of them.

        :param page_id: The id of the page that subscriber and labels belong to.
        :param subscriber_id: The subscriber's id.
        :param label_ids: The labels' ids, as a list or separated by commas.
        :raises CyTechBotRequestError: The API refused, for instance because it knows none of the labels.
        """
        self._write(
            endpoints.ASSIGN_LABELS, page_id=page_id, subscriber_id=subscriber_id, label_ids=label_ids
        )

    # Contact groups and contacts.

    def get_contact_group(self, contact_type_id: IdInput) -> records.ContactGroup:
        """
        Return a contact group (``GET get_contact_group/``).

        :param contact_type_id: The group's id.
        :raises CyTechBotRequestError: There is no such group; the vendor does not say in which words.
        """
        return self.call(endpoints.GET_CONTACT_GROUP, contact_type_id=contact_type_id)

    def create_contact_group(self, *, name: str) -> str:
        """
        Create a contact group and return its id (``POST create_contact_group``). Names are not unique.

        :param name: The group's name.
        :raises CyTechBotAmbiguousWriteError: The answer was lost: the group may have been created.
        """
        return self.call(endpoints.CREATE_CONTACT_GROUP, name=name)

    def update_contact_group(self, contact_type_id: IdInput, *, name: str) -> None:
        """
        Rename a contact group (``POST update_contact_group/{contact_type_id}``).

        :param contact_type_id: The group's id.
        :param name: The new name.
        :raises CyTechBotNotFoundError: There is no such group.
        """
        self._write(endpoints.UPDATE_CONTACT_GROUP, contact_type_id=contact_type_id, name=name)

    def delete_contact_group(self, contact_type_id: IdInput) -> None:
        """
        Delete a contact group (``POST delete_contact_group``).

        :param contact_type_id: The group's id.
        :raises CyTechBotNotFoundError: There is no such group.
        """
        self._write(endpoints.DELETE_CONTACT_GROUP, contact_type_id=contact_type_id)

    def get_contact(self, contact_id: IdInput) -> records.Contact:
        """
        Return a contact (``GET get_contact/``).

        :param contact_id: The contact's id.
        :raises CyTechBotNotFoundError: There is no such contact.
        """
        return self.call(endpoints.GET_CONTACT, contact_id=contact_id)

    def create_contact(
        self,
        *,
        contact_type_id: IdInput,
        email: str | None = None,
        phone_number: str | None = None,
        first_name: str | None = None,
        last_name: str | None = None,
    ) -> str:
        """
        Create a contact and return its id (``POST create_contact``).

        It needs an e-mail address or a phone number.

        :param contact_type_id: The id of the contact group.
        :param email: The contact's e-mail address.
        :param phone_number: The contact's phone number.
        :param first_name: The contact's first name.
        :param last_name: The contact's last name.
        :raises CyTechBotRequestError: The API refused, for instance because the e-mail address exists.
        :raises CyTechBotAmbiguousWriteError: The answer was lost: the contact may have been created.
        """
        return self.call(
            endpoints.CREATE_CONTACT,
            contact_type_id=contact_type_id,
            email=email,
            phone_number=phone_number,
            first_name=first_name,
            last_name=last_name,
        )

    def update_contact(
        self,
        contact_id: IdInput,
        *,
        email: str | None = None,
        phone_number: str | None = None,
        first_name: str | None = None,
        last_name: str | None = None,
    ) -> None:
        """
        Update a contact (``POST update_contact/{contact_id}``). Fields that are ``None`` stay as they are.

        :param contact_id: The contact's id.
        :param email: The e-mail address; it can be set only if the contact has none yet.
        :param phone_number: The phone number; it can be set only if the contact has none yet.
        :param first_name: The new first name.
        :param last_name: The new last name.
        :raises CyTechBotNotFoundError: There is no such contact.
        """
        self._write(
            endpoints.UPDATE_CONTACT,
            contact_id=contact_id,
            email=email,
            phone_number=phone_number,
            first_name=first_name,
            last_name=last_name,
        )

    def delete_contact(self, contact_id: IdInput) -> None:
        """
        Delete a contact (``POST delete_contact``).

        :param contact_id: The contact's id.
        :raises CyTechBotNotFoundError: There is no such contact.
        """
        self._write(endpoints.DELETE_CONTACT, contact_id=contact_id)

    # Flow campaigns and what subscribers answered.

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

    def get_subscriber_flow_answers(
        self, flow_campaign_id: IdInput, subscriber_id: IdInput
    ) -> records.SubscriberFlowAnswers:
        """
        Return what one subscriber answered (``GET get_single_subscriber_flow_info/``).

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

        Only when the iterator ends without an error is it known that all answers have arrived.

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

        The stream yields answers by subscriber and also knows the campaign's name and how much has arrived.

        Until the first subscriber arrives, a failed call is repeated like any other; after it, nothing is.

        :param flow_campaign_id: The campaign's id.
        """
        from airflow_provider_cytechbot.hooks.flow_answers import FlowAnswersStream

        with ExitStack() as stack:
            yield self._run(
                lambda call, _: stack.enter_context(FlowAnswersStream.open(self, call)),
                endpoints.GET_FLOW_ANSWERS,
                {"flow_campaign_id": flow_campaign_id},
            )

    # Below the endpoints.

    def call(self, endpoint: Endpoint[T], **fields: object) -> T:
        """
        Call an endpoint. Each of the methods above does this with its own.

        :param endpoint: One of :data:`airflow_provider_cytechbot.api.endpoints.ENDPOINTS`.
        :param fields: Its fields; ``None`` means not to send one.
        :return: What the endpoint's answer carries.
        :raises CyTechBotError: The subclass that says what went wrong.
        """
        return self._run(self._ask, endpoint, fields)

    def get_conn(self) -> requests.Session:
        """Return the session, set up with proxies, TLS and User-Agent. It does not hold the API key."""
        return self.transport.session

    def test_connection(self) -> tuple[bool, str]:
        """
        Make the cheapest read once, and say in one plain sentence how it went.

        :return: Whether the connection works, and the sentence.
        """
        try:
            campaigns = self._run(self._ask, endpoints.GET_FLOW_CAMPAIGNS, {}, max_retries=0)
        except CyTechBotError as error:
            return False, _sentence(error)
        except AirflowNotFoundException as error:
            return False, str(error)
        found = f"{len(campaigns)} flow campaign{'' if len(campaigns) == 1 else 's'}"
        return True, f"{self.settings.base_url} accepts the API key; it has {found}."

    @cached_property
    def settings(self) -> Settings:  # type: ignore[override]
        """The connection's settings, read once; what is secret in them is masked in logs from then on."""
        return self.read_settings(self.get_connection(self.cytechbot_conn_id))

    @cached_property
    def transport(self) -> RequestsTransport:
        """What sends the calls. It keeps connections alive from call to call."""
        from airflow_provider_cytechbot.transport.requests_transport import RequestsTransport

        return RequestsTransport(self.settings)

    def _report_lineage(self, call: Call[Any]) -> None:
        """Tell lineage if the running task has read what a campaign was answered with."""
        if call.endpoint in (endpoints.GET_FLOW_ANSWERS, endpoints.GET_SUBSCRIBER_FLOW_ANSWERS):
            lineage.report_campaign_read(self, self.settings.base_url, call.fields["flow_campaign_id"])

    def _ask(self, call: Call[T], is_resend: bool) -> T:
        return self.decipher(call, *self.transport.send(call), is_resend=is_resend)

    def _write(self, endpoint: Endpoint[records.WriteOutcome], **fields: object) -> None:
        outcome = self.call(endpoint, **fields)
        if not outcome.changed:
            self.log.info(
                "%s changed nothing: %s", endpoint.name, outcome.message or "there was nothing to change"
            )

    def _run(
        self,
        ask: Callable[[Call[T], bool], R],
        endpoint: Endpoint[T],
        fields: Mapping[str, object],
        max_retries: int | None = None,
    ) -> R:
        """Build a call and ask with it as often as the policy allows; raise what remains as a task should."""
        from airflow_provider_cytechbot.transport.retry import repeat

        try:
            call = build(endpoint, **fields)
            times = self.settings.max_retries if max_retries is None else max_retries
            answer = repeat(ask, call, times)
        except CyTechBotError as error:
            failure = error
        else:
            self._report_lineage(call)
            return answer
        raise self.task_error(failure)  # outside the except, so that nothing stays behind in its chain


def _sentence(error: CyTechBotError) -> str:
    """Return an error as one sentence for a form, which knows of which connection it speaks."""
    reason = error.reason[:1].upper() + error.reason[1:]
    return f"{reason.rstrip('.')}; {error.hint[:1].lower()}{error.hint[1:]}" if error.hint else reason
