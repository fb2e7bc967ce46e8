"""Operators that create, rename and delete contact groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators.base import CyTechBotBaseOperator, CyTechBotDeleteOperator
from airflow_provider_cytechbot.operators.create_once import Create, create_once, is_deleted

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_cytechbot.api.fields import IdInput


class CyTechBotCreateContactGroupOperator(CyTechBotBaseOperator):
    """
    Create a contact group.

    Calls ``POST create_contact_group``. Names are not unique and the API cannot list groups, so a create
    whose answer was lost is not sent again: the task fails at once and explains how to check. All parameters
    are templated.

    :param name: The group's name.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The new group's id.
    :raises CyTechBotRequestError: The API refused, or the name is empty.
    :raises CyTechBotAmbiguousWriteError: The answer was lost: the group may have been created.
    """

    template_fields: Sequence[str] = ("name", *CyTechBotBaseOperator.template_fields)
    custom_operator_name = "CyTechBot create group"

    def __init__(
        self,
        *,
        name: str,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(cytechbot_conn_id=cytechbot_conn_id, **kwargs)
        self.name = name

    def execute(self, context: Context) -> str:
        """Create the group and return its id."""
        create = Create(
            description=f"contact group {self.name!r}",
            call=self.build(endpoints.CREATE_CONTACT_GROUP, name=self.name),
            is_present=lambda group_id: not is_deleted(self.hook.get_contact_group(group_id)),
        )
        return create_once(create, self.hook, context)


class CyTechBotUpdateContactGroupOperator(CyTechBotBaseOperator):
    """
    Rename a contact group.

    Calls ``POST update_contact_group/{contact_type_id}``. All parameters are templated.

    :param contact_type_id: The group's id.
    :param name: The new name.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The group's id.
    :raises CyTechBotNotFoundError: There is no such group.
    """

    template_fields: Sequence[str] = ("contact_type_id", "name", *CyTechBotBaseOperator.template_fields)
    custom_operator_name = "CyTechBot update group"

    def __init__(
        self,
        *,
        contact_type_id: IdInput,
        name: str,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(cytechbot_conn_id=cytechbot_conn_id, **kwargs)
        self.contact_type_id = contact_type_id
        self.name = name

    def execute(self, context: Context) -> str:
        """Rename the group and return its id."""
        self.hook.update_contact_group(self.contact_type_id, name=self.name)
        return str(self.contact_type_id)


class CyTechBotDeleteContactGroupOperator(CyTechBotDeleteOperator):
    """
    Delete a contact group.

    Calls ``POST delete_contact_group``. If its answer is lost, the delete is sent again, and finding nothing
    then counts as a success. All parameters are templated.

    :param contact_type_id: The group's id.
    :param missing_ok: Whether it counts as a success if there is no such group.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The group's id.
    :raises CyTechBotNotFoundError: There is no such group, and ``missing_ok`` is false.
    """

    template_fields: Sequence[str] = ("contact_type_id", *CyTechBotDeleteOperator.template_fields)
    custom_operator_name = "CyTechBot delete group"

    def __init__(
        self,
        *,
        contact_type_id: IdInput,
        missing_ok: bool | str = False,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(missing_ok=missing_ok, cytechbot_conn_id=cytechbot_conn_id, **kwargs)
        self.contact_type_id = contact_type_id

    def execute(self, context: Context) -> str:
        """Delete the group and return its id."""
        call = self.build(endpoints.DELETE_CONTACT_GROUP, contact_type_id=self.contact_type_id)
        return self.delete(call, self.contact_type_id, context)
