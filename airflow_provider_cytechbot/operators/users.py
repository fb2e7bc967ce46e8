"""Operators that create and update users of the platform. They need an admin's API key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import CyTechBotNotFoundError
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.hooks.masking import mask_in_task_logs
from airflow_provider_cytechbot.hooks.secrets import hide
from airflow_provider_cytechbot.operators.base import CyTechBotBaseOperator
from airflow_provider_cytechbot.operators.create_once import Create, create_once

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_cytechbot.api.calls import Call
    from airflow_provider_cytechbot.api.fields import DateInput, IdInput
    from airflow_provider_cytechbot.api.times import RelativeDate

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
        run: Any = context["dag_run"]
        base = run.logical_date or run.run_after  # only Airflow 3 has runs without a logical date
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


def _differs(name: str, sent: str, found: object) -> bool:
    """Return whether a field differs from what was sent. A missing field does not differ."""
    if found is None:
        return False
    length = len(sent) if name == "expired_date" else None  # the server adds a time
    return str(found)[:length].strip().casefold() != sent.strip().casefold()
