"""The methods of the hook for contact groups and contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.hooks.base import EndpointCaller

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api import records
    from airflow_provider_cytechbot.api.fields import IdInput


class ContactMethods(EndpointCaller):
    """Contact groups and contacts."""

    def get_contact_group(self, contact_type_id: IdInput) -> records.ContactGroup:
        """
        Return a contact group (``GET get_contact_group/``).

        :param contact_type_id: The group's id.
        :raises CyTechBotRequestError: There is no such group. The vendor does not document this error.
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
        self.call(endpoints.UPDATE_CONTACT_GROUP, contact_type_id=contact_type_id, name=name)

    def delete_contact_group(self, contact_type_id: IdInput) -> None:
        """
        Delete a contact group (``POST delete_contact_group``).

        :param contact_type_id: The group's id.
        :raises CyTechBotNotFoundError: There is no such group.
        """
        self.call(endpoints.DELETE_CONTACT_GROUP, contact_type_id=contact_type_id)

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
        self.call(
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
        self.call(endpoints.DELETE_CONTACT, contact_id=contact_id)
