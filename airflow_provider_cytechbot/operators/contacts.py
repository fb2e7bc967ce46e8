"""Operators that create, update and delete contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotFieldError,
    CyTechBotRequestError,
)
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators.base import (
    CyTechBotBaseOperator,
    CyTechBotDeleteOperator,
)
from airflow_provider_cytechbot.operators.create_once import Create, create_once, is_deleted

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_cytechbot.api.fields import IdInput


class CyTechBotCreateContactOperator(CyTechBotBaseOperator):
    """
    Create a contact in a contact group. It needs an e-mail address or a phone number.

    Calls ``POST create_contact``. The API cannot search contacts, so a create whose answer was lost is not
    sent again: the task fails at once and says how to check. All parameters are templated.

    :param contact_type_id: The id of the contact group.
    :param contact_email: The contact's e-mail address.
    :param phone_number: The contact's phone number, as text, so that it keeps its leading zeros.
    :param first_name: The contact's first name.
    :param last_name: The contact's last name.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The new contact's id.
    :raises CyTechBotRequestError: The API refused, for instance because the e-mail address exists.
    :raises CyTechBotAmbiguousWriteError: The answer was lost: the contact may have been created.
    """

    template_fields: Sequence[str] = (
        "contact_type_id",
        "contact_email",
        "phone_number",
        "first_name",
        "last_name",
        *CyTechBotBaseOperator.template_fields,
    )

    def __init__(
        self,
        *,
        contact_type_id: IdInput,
        contact_email: str | None = None,
        phone_number: str | None = None,
        first_name: str | None = None,
        last_name: str | None = None,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(cytechbot_conn_id=cytechbot_conn_id, **kwargs)
        self.contact_type_id = contact_type_id
        self.contact_email = contact_email
        self.phone_number = phone_number
        self.first_name = first_name
        self.last_name = last_name

    def execute(self, context: Context) -> str:
        """Create the contact and return its id."""
        create = Create(
            description=f"contact {self.contact_email or self.phone_number!r}",
            call=self.build(
                endpoints.CREATE_CONTACT,
                contact_type_id=self.contact_type_id,
                email=self.contact_email,
                phone_number=self.phone_number,
                first_name=self.first_name,
                last_name=self.last_name,
            ),
            is_present=lambda contact_id: not is_deleted(self.hook.get_contact(contact_id)),
        )
        return create_once(create, self.hook, context)


class CyTechBotUpdateContactOperator(CyTechBotBaseOperator):
    """
    Update a contact. Fields that are not given stay as they are.

    Calls ``POST update_contact/{contact_id}``. The server treats an empty text or ``0`` as not given, so a
    field cannot be set to either. All parameters are templated.

    :param contact_id: The contact's id.
    :param contact_email: The e-mail address; it can be set only if the contact has none yet.
    :param phone_number: The phone number; it can be set only if the contact has none yet.
    :param first_name: The new first name.
    :param last_name: The new last name.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The contact's id.
    :raises CyTechBotNotFoundError: There is no such contact.
    :raises CyTechBotRequestError: The API refused, or no field to change was given.
    """

    template_fields: Sequence[str] = (
        "contact_id",
        "contact_email",
        "phone_number",
        "first_name",
        "last_name",
        *CyTechBotBaseOperator.template_fields,
    )

    def __init__(
        self,
        *,
        contact_id: IdInput,
        contact_email: str | None = None,
        phone_number: str | None = None,
        first_name: str | None = None,
        last_name: str | None = None,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(cytechbot_conn_id=cytechbot_conn_id, **kwargs)
        self.contact_id = contact_id
        self.contact_email = contact_email
        self.phone_number = phone_number
        self.first_name = first_name
        self.last_name = last_name

    def execute(self, context: Context) -> str:
        """Update the contact and return its id."""
        fields = {
            "email": self.contact_email,
            "phone_number": self.phone_number,
            "first_name": self.first_name,
            "last_name": self.last_name,
        }
        try:
            self.hook.update_contact(self.contact_id, **fields)
        except CyTechBotRequestError as error:
            if isinstance(error, CyTechBotFieldError) or not self._already_has(fields):
                raise
            self.log.info(
                "Contact %s over connection %r: unchanged. It has these values, although %s",
                self.contact_id,
                self.cytechbot_conn_id,
                error.reason,
            )
        return str(self.contact_id)

    def _already_has(self, fields: dict[str, str | None]) -> bool:
        """Return whether the contact has these values: some servers refuse a repeat as a duplicate."""
        with suppress(CyTechBotError):
            contact: Mapping[str, object] = self.hook.get_contact(self.contact_id)
            return all(str(value) == contact[name] for name, value in fields.items() if value is not None)
        return False


class CyTechBotDeleteContactOperator(CyTechBotDeleteOperator):
    """
    Delete a contact.

    Calls ``POST delete_contact``. If its answer is lost, the delete is sent again, and finding nothing then
    counts as a success. All parameters are templated.

    :param contact_id: The contact's id.
    :param missing_ok: Whether it counts as a success if there is no such contact.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The contact's id.
    :raises CyTechBotNotFoundError: There is no such contact, and ``missing_ok`` is false.
    """

    template_fields: Sequence[str] = ("contact_id", *CyTechBotDeleteOperator.template_fields)

    def __init__(
        self,
        *,
        contact_id: IdInput,
        missing_ok: bool | str = False,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(missing_ok=missing_ok, cytechbot_conn_id=cytechbot_conn_id, **kwargs)
        self.contact_id = contact_id

    def execute(self, context: Context) -> str:
        """Delete the contact and return its id."""
        call = self.build(endpoints.DELETE_CONTACT, contact_id=self.contact_id)
        return self.delete(call, self.contact_id, context)
