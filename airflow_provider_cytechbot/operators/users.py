"""Operators that create and update users of the platform. They need an admin's API key."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotNotFoundError
from airflow_provider_cytechbot.api.fields import read_switch
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.hooks.masking import mask_in_task_logs
from airflow_provider_cytechbot.hooks.secrets import hide
from airflow_provider_cytechbot.operators.base import CyTechBotBaseOperator
from airflow_provider_cytechbot.operators.bulk_write import CyTechBotBulkOperator
from airflow_provider_cytechbot.operators.create_once import Create, create_once

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.fields import DateInput, IdInput
    from airflow_provider_cytechbot.api.times import RelativeDate

#: The fields that all rows of a bulk update may share.
_FOR_ALL = ("expired_date", "package_id", "status")
#: The tolerated error of the server's clock, or of its time zone in the connection.
CLOCK_TOLERANCE = timedelta(days=1)


class CyTechBotUserOperator(CyTechBotBaseOperator):
    """Base of the operators that write users."""

    def expired_date_of(self, context: Context, value: DateInput | RelativeDate) -> DateInput:
        """
        Return an ``expired_date``. A relative date is counted from the run's date.

        :param context: The task's context.
        :param value: The date, rendered.
        """
        from airflow_provider_cytechbot.api.times import is_relative, resolve_date

        if not is_relative(value):
            return cast("DateInput", value)
        base = date_of_run(context)
        return self.checked(lambda name, _: resolve_date(name, value, base=base), "expired_date", value)


class CyTechBotCreateUserOperator(CyTechBotUserOperator):
    """
    Create a user of the platform. The connection needs an admin's API key.

    Calls ``POST create_system_user``. E-mail addresses are unique, so if the answer to a create is lost, the
    operator searches for the address instead of sending the create again. All parameters are templated.

    :param name: The user's name.
    :param user_email: The user's e-mail address, which no other user may have.
    :param password: The user's password. Template it from a secret, for instance
        ``{{ var.value.new_user_password }}``: it then appears in no log, rendered template, XCom or error.
        Do not write it into the DAG file, which Airflow stores in its database, and do not pass it through
        an XCom.
    :param package_id: The id of the user's package.
    :param expired_date: The last day of the user's validity: ``YYYY-MM-DD``, a ``date`` or a ``datetime``; or
        relative to the run's logical date (its ``run_after``, where it has none): ``+30 days``, ``+1 month``,
        a ``timedelta`` or a ``pendulum.Duration``.
    :param mobile: The user's mobile number.
    :param address: The user's postal address.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The new user's id.
    :raises CyTechBotRequestError: The API refused, for instance because the e-mail address exists.
    :raises CyTechBotAmbiguousWriteError: The answer was lost, and no such user is found (yet).
    """

    template_fields: Sequence[str] = (
        "name",
        "user_email",
        "password",
        "package_id",
        "expired_date",
        "mobile",
        "address",
        *CyTechBotBaseOperator.template_fields,
    )

    def __init__(
        self,
        *,
        name: str,
        user_email: str,
        password: str,
        package_id: IdInput,
        expired_date: DateInput | RelativeDate,
        mobile: str | None = None,
        address: str | None = None,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(cytechbot_conn_id=cytechbot_conn_id, **kwargs)
        self.name = name
        self.user_email = user_email
        self.password = password
        self.package_id = package_id
        self.expired_date = expired_date
        self.mobile = mobile
        self.address = address

    def execute(self, context: Context) -> str:
        """Create the user and return its id."""
        mask_in_task_logs(hide(str(self.password)))
        call = self.build(
            endpoints.CREATE_USER,
            name=self.name,
            email=self.user_email,
            password=hide(self.password),
            package_id=self.package_id,
            expired_date=self.expired_date_of(context, self.expired_date),
            mobile=self.mobile,
            address=self.address,
        )
        create = Create(
            description=f"user {self.user_email!r}",
            call=call,
            is_present=lambda user_id: bool(self.hook.get_user(user_id=user_id)),
            find=lambda began: self._find(call, began),
        )
        return create_once(create, self.hook, context)

    def _find(self, call: Call[str], began: datetime | None) -> str | None:
        try:
            user = self.hook.get_user(email=self.user_email)
        except CyTechBotNotFoundError:
            return None
        # An older user with this address is not the one that this task creates.
        found: Mapping[str, object] = user
        _, sent = call.loggable_fields
        differing = [name for name, text in sent.items() if _differs(name, text, found[name])]
        if began and user["add_date"] and datetime.fromisoformat(user["add_date"]) < began - CLOCK_TOLERANCE:
            differing.append("age (it existed before)")
        if differing:
            self.log.warning(
                "User %s has the e-mail address %r, but another %s: it is not the user of this task.",
                user["id"],
                self.user_email,
                ", ".join(differing),
            )
            return None
        return user["id"]


class CyTechBotUpdateUserOperator(CyTechBotUserOperator):
    """
    Update a user of the platform. Fields that are not given stay as they are.

    Calls ``POST update_user/{user_id}``, which needs an admin's API key. The server treats an empty text or
    ``0`` as not given, so a field cannot be set to either. All parameters are templated.

    :param user_id: The user's id.
    :param name: The new name.
    :param mobile: The new mobile number.
    :param address: The new postal address.
    :param package_id: The id of the new package.
    :param expired_date: The new last day of validity: ``YYYY-MM-DD``, a ``date`` or a ``datetime``; or
        relative to the run's logical date (its ``run_after``, where it has none): ``+30 days``, ``+1 month``,
        a ``timedelta`` or a ``pendulum.Duration``.
    :param status: The new status; not documented by the vendor.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The user's id.
    :raises CyTechBotNotFoundError: There is no such user.
    :raises CyTechBotRequestError: The API refused, or no field to change was given.
    """

    template_fields: Sequence[str] = (
        "user_id",
        "name",
        "mobile",
        "address",
        "package_id",
        "expired_date",
        "status",
        *CyTechBotBaseOperator.template_fields,
    )

    def __init__(
        self,
        *,
        user_id: IdInput,
        name: str | None = None,
        mobile: str | None = None,
        address: str | None = None,
        package_id: IdInput | None = None,
        expired_date: DateInput | RelativeDate | None = None,
        status: str | None = None,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(cytechbot_conn_id=cytechbot_conn_id, **kwargs)
        self.user_id = user_id
        self.name = name
        self.mobile = mobile
        self.address = address
        self.package_id = package_id
        self.expired_date = expired_date
        self.status = status

    def execute(self, context: Context) -> str:
        """Update the user and return its id."""
        self.hook.update_user(
            self.user_id,
            name=self.name,
            mobile=self.mobile,
            address=self.address,
            package_id=self.package_id,
            expired_date=None
            if self.expired_date is None
            else self.expired_date_of(context, self.expired_date),
            status=self.status,
        )
        return str(self.user_id)


class CyTechBotUpdateUsersOperator(CyTechBotBulkOperator):
    """
    Update the users of a list, file or query, and keep the outcome of each row.

    Calls ``POST update_user/{user_id}`` once for each user, several at a time. The connection needs an
    admin's API key. A row has a ``user_id`` and any of the fields ``name``, ``mobile``, ``address``,
    ``package_id``, ``expired_date`` and ``status``; an empty cell leaves the field as it is. Equal rows of
    one user become one call; rows of one user that differ are ``invalid``. All parameters are templated.

    :param expired_date: The new last day of validity of all users, as in a row's column: ``YYYY-MM-DD``, a
        ``date`` or a ``datetime``; or relative: ``+30 days``, ``+1 month``, a ``timedelta`` or a
        ``pendulum.Duration``.
    :param package_id: The id of the new package of all users.
    :param status: The new status of all users; not documented by the vendor.
    :param relative_to: From what a relative date is counted: ``run`` means the run's logical date (its
        ``run_after``, where it has none), ``validity`` the later of the user's present validity and today.
        The latter is read (``GET get_user_info/``) and recorded before the date is sent, so that each retry
        and a clear of the same run send the same date; it needs ``state_path`` or ``report_path``.
    :param rows: The source as a list of mappings, or another task's output.
    :param path: The source as a file, as a folder of files, or as the manifest of an export: CSV, JSON Lines
        or Parquet, on anything that ``ObjectStoragePath`` opens.
    :param sql: The source as a query, or as the name of a ``.sql`` file.
    :param sql_conn_id: The connection of the query, of any database that Airflow has a ``DbApiHook`` for.
    :param sql_parameters: The parameters of the query.
    :param columns: The source column by field, for example ``{"mobile": "phone"}``. Other fields are read
        from columns of the same name.
    :param where: Take only rows in which these source columns have these values.
    :param max_concurrency: How many calls are under way at once, up to 100.
    :param report_path: Where a file with the outcome of each row is written: ``.jsonl``, ``.csv`` or
        ``.parquet``. It appears whole or not at all.
    :param on_error: With ``fail_at_end`` the task fails after all rows were tried if not all are done; with
        ``fail_fast`` it stops at the first; with ``report`` it succeeds.
    :param state_path: A folder, the same from run to run: values that an earlier run sent are not sent again.
        Without it and ``report_path``, a retry sends all rows again.
    :param full_refresh: Send all rows, whatever earlier runs did.
    :param shards: Into how many mapped tasks the rows are divided, by a hash of the user's id.
    :param shard: Which of them this is, from 0: ``.partial(shards=8, …).expand(shard=list(range(8)))``.
    :param retry_report: The report of an earlier run: only rows whose key ended there without success are
        sent, ambiguous ones excepted.
    :param plan_only: Check and report only; nothing is sent.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The manifest: ``{"report_uri", "rows", "source_rows", "counts", "operations", "state_uri",
        "plan_digest"}``. It is pushed also if the task fails afterwards.
    :raises CyTechBotRequestError: Rows were refused or invalid.
    :raises CyTechBotTransportError: Some rows got no usable response; a retry sends them again.
    """

    template_fields: Sequence[str] = (
        *_FOR_ALL,
        "relative_to",
        "full_refresh",
        *CyTechBotBulkOperator.template_fields,
    )

    def __init__(
        self,
        *,
        expired_date: DateInput | RelativeDate | None = None,
        package_id: IdInput | None = None,
        status: str | None = None,
        relative_to: str = "run",
        rows: Iterable[Mapping[str, Any] | IdInput] | None = None,
        path: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        sql_parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        columns: Mapping[str, str] | None = None,
        where: Mapping[str, Any] | None = None,
        max_concurrency: int | str = 8,
        report_path: str | ObjectStoragePath | None = None,
        on_error: str = "fail_at_end",
        state_path: str | ObjectStoragePath | None = None,
        full_refresh: bool | str = False,
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
        self.expired_date = expired_date
        self.package_id = package_id
        self.status = status
        self.relative_to = relative_to
        self.full_refresh = full_refresh

    def execute(self, context: Context) -> dict[str, Any]:
        """Update the users and return the manifest."""
        from airflow_provider_cytechbot.operators.user_updates import UserUpdates

        self.check_source()
        if self.relative_to not in ("run", "validity"):
            raise self.refusal("relative_to", f"must be 'run' or 'validity', not {self.relative_to!r}")
        values = {name: value for name in _FOR_ALL if (value := getattr(self, name)) is not None}
        if mapped := [name for name in values if name in self.mapped_fields]:
            raise self.refusal(mapped[0], "is given for all, and is a column of each row: choose one")
        run_date = date_of_run(context) if self.relative_to == "run" else None
        full_refresh = self.checked(read_switch, "full_refresh", self.full_refresh)
        updates = self.checked(
            lambda *_: UserUpdates(values, run_date=run_date, full_refresh=full_refresh),
            "expired_date",
            values,
        )
        return self.write_rows(updates, context)


def date_of_run(context: Context) -> date:
    """Return the date from which a run counts relative dates; outside of a run today's, in UTC."""
    run: Any = context.get("dag_run")
    if run is None:
        return datetime.now(UTC)
    moment: datetime = run.logical_date or run.run_after  # only Airflow 3 has runs without a logical date
    return moment


def _differs(name: str, sent: str, found: object) -> bool:
    """Return whether a field differs from what was sent. A missing field does not differ."""
    if found is None:
        return False
    length = len(sent) if name == "expired_date" else None  # the server adds a time
    return str(found)[:length].strip().casefold() != sent.strip().casefold()
