"""Operators that create, update and delete contacts, and keep those of a group in step with a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotFieldError,
    CyTechBotRequestError,
)
from airflow_provider_cytechbot.api.fields import read_switch
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators.base import (
    CyTechBotBaseOperator,
    CyTechBotDeleteOperator,
)
from airflow_provider_cytechbot.operators.bulk_write import CyTechBotBulkOperator
from airflow_provider_cytechbot.operators.create_once import Create, create_once, is_deleted

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_provider_cytechbot.api.fields import IdInput


class CyTechBotCreateContactOperator(CyTechBotBaseOperator):
    """
    Create a contact in a contact group. It needs an e-mail address or a phone number.

    Calls ``POST create_contact``. The API cannot search contacts, so a create whose answer was lost is not
    sent again: the task fails at once and explains how to check. All parameters are templated.

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


class CyTechBotSyncContactsOperator(CyTechBotBulkOperator):
    """
    Keep the contacts of a group in step with a table: a list, file or query in which each row is a contact.

    Calls ``POST create_contact``, ``POST update_contact/{contact_id}`` and ``POST delete_contact``, once for
    each row to create, update or delete.

    The API can neither list nor search contacts, so the sync has a memory of its own below ``state_path``:
    the contact id of each key, and digests of what was sent last. Only rows that differ are sent, and only
    contacts that this sync has made or adopted are ever updated or deleted.

    A row has a key and the fields ``email``, ``phone_number``, ``first_name`` and ``last_name``, at least one
    address of them. A row with a ``contact_id`` adopts that contact, if its group and address are those of
    the row; so it settles a row that is ``ambiguous``. All parameters are templated.

    :param key: The column that identifies a row; it need not be a field of the contact.
    :param state_path: A folder that stays the same from run to run, on anything that ``ObjectStoragePath``
        opens. It holds keys in clear and digests of names and addresses.
    :param contact_type_id: The id of the contact group.
    :param contact_group_name: The name of a group that this sync creates, instead of its id.
    :param create_group: Whether to create the group on the first run that needs it; the state remembers it.
    :param sync_mode: ``create`` creates contacts for new keys; ``upsert`` also updates names that differ and
        addresses that were empty; ``mirror`` also deletes the contacts of keys that are gone.
    :param on_readdress: For a row with another address than the one sent before, which the API cannot change:
        ``refuse`` or ``recreate`` (delete and create).
    :param on_missing: For a contact that was deleted elsewhere, when it is to be updated: ``report`` or
        ``recreate``.
    :param ambiguous: For a row whose create was sent and its response lost: ``hold`` it, or ``retry`` it in a
        later run if it has an e-mail address, of which the server refuses a second.
    :param forget: Keys whose ``ambiguous`` creates did not happen, as a look into the dashboard has shown.
    :param max_creates: If more contacts would be created, recreated ones included, the task fails before
        anything is sent.
    :param max_deletes: The same for contacts that would be deleted, recreated ones included.
    :param max_delete_percent: The same for keys that are gone, in percent of the contacts in the state;
        ``None``: any number.
    :param expected_plan_digest: The ``plan_digest`` of a run with ``plan_only``. If the plan is another one
        now, the task fails before anything is sent.
    :param rows: The source as a list of mappings, or another task's output.
    :param path: The source as a file, as a folder of files, or as the manifest of an export: CSV, JSON Lines
        or Parquet, on anything that ``ObjectStoragePath`` opens.
    :param sql: The source as a query, or as the name of a ``.sql`` file.
    :param sql_conn_id: The connection of the query, of any database that Airflow has a ``DbApiHook`` for.
    :param sql_parameters: The parameters of the query.
    :param columns: The source column by field, for example ``{"email": "mail"}``. Other fields are read from
        columns of the same name.
    :param where: Take only rows in which these source columns have these values. Other rows count as gone.
    :param max_concurrency: How many calls are under way at once, up to 100.
    :param report_path: Where a file with the outcome of each row is written: ``.jsonl``, ``.csv`` or
        ``.parquet``. It appears whole or not at all.
    :param on_error: With ``fail_at_end`` the task fails after all rows were tried if not all are done; with
        ``fail_fast`` it stops at the first; with ``report`` it succeeds.
    :param shards: Into how many tasks the rows are divided, by a hash of their keys.
    :param shard: Which of them this is, from 0.
    :param retry_report: The report of an earlier run: only rows whose key ended there without success are
        sent, ambiguous ones excepted. Nothing is deleted.
    :param plan_only: Check and report only; nothing is sent or stored.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The manifest: ``{"report_uri", "rows", "source_rows", "counts", "operations", "state_uri",
        "plan_digest"}``. It is pushed also if the task fails afterwards.
    :raises CyTechBotRequestError: Rows were refused, invalid or ambiguous, or a guard refused the plan.
    :raises CyTechBotTransportError: Some rows got no usable response; a retry goes on.
    """

    template_fields: Sequence[str] = (
        "key",
        "contact_type_id",
        "contact_group_name",
        "create_group",
        "sync_mode",
        "on_readdress",
        "on_missing",
        "ambiguous",
        "forget",
        "max_creates",
        "max_deletes",
        "max_delete_percent",
        "expected_plan_digest",
        *CyTechBotBulkOperator.template_fields,
    )

    def __init__(
        self,
        *,
        key: str,
        state_path: str | ObjectStoragePath,
        contact_type_id: IdInput | None = None,
        contact_group_name: str | None = None,
        create_group: bool | str = False,
        sync_mode: str = "upsert",
        on_readdress: str = "refuse",
        on_missing: str = "report",
        ambiguous: str = "hold",
        forget: Iterable[str | int] | str | None = None,
        max_creates: int | str | None = None,
        max_deletes: int | str | None = None,
        max_delete_percent: float | str | None = 10,
        expected_plan_digest: str | None = None,
        rows: Iterable[Mapping[str, Any]] | None = None,
        path: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        sql_parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        columns: Mapping[str, str] | None = None,
        where: Mapping[str, Any] | None = None,
        max_concurrency: int | str = 8,
        report_path: str | ObjectStoragePath | None = None,
        on_error: str = "fail_at_end",
        shards: int | str = 1,
        shard: int | str = 0,
        retry_report: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        plan_only: bool | str = False,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            cytechbot_conn_id=cytechbot_conn_id,
            rows=rows,
            path=path,
            sql=sql,
            sql_conn_id=sql_conn_id,
            sql_parameters=sql_parameters,
            columns=columns,
            where=where,
            max_concurrency=max_concurrency,
            report_path=report_path,
            on_error=on_error,
            state_path=state_path,
            shards=shards,
            shard=shard,
            retry_report=retry_report,
            plan_only=plan_only,
            **kwargs,
        )
        self.key = key
        self.contact_type_id = contact_type_id
        self.contact_group_name = contact_group_name
        self.create_group = create_group
        self.sync_mode = sync_mode
        self.on_readdress = on_readdress
        self.on_missing = on_missing
        self.ambiguous = ambiguous
        self.forget = forget
        self.max_creates = max_creates
        self.max_deletes = max_deletes
        self.max_delete_percent = max_delete_percent
        self.expected_plan_digest = expected_plan_digest

    def execute(self, context: Context) -> dict[str, Any]:
        """Send what differs between the source and the state, and return the manifest."""
        from airflow_provider_cytechbot.operators import contact_options as options
        from airflow_provider_cytechbot.operators.contact_sync import ContactSync

        self.check_source()
        if not self.state_path:
            raise self.refusal("state_path", "is needed: without it, each run would create all contacts")
        has_shards = str(self.shards).strip() != "1"
        try:
            sync = ContactSync(
                options.read_rules(self.sync_mode, self.on_readdress, self.ambiguous, self.forget),
                options.read_guards(
                    self.max_creates, self.max_deletes, self.max_delete_percent, self.expected_plan_digest
                ),
                options.read_group(
                    self.contact_type_id,
                    self.contact_group_name,
                    create=self._create_group if read_switch("create_group", self.create_group) else None,
                    has_shards=has_shards,
                ),
                key=options.read_name("key", self.key),
                on_missing=options.read_word("on_missing", self.on_missing, options.ON_MISSING),
                has_shards=has_shards,
            )
        except CyTechBotError as error:
            failure = error
        else:
            return self.write_rows(sync, context)
        raise self.hook.task_error(failure)

    def _create_group(self, name: str) -> str:
        return self.hook.create_contact_group(name=name)
