"""The methods of the hook for users and packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.hooks.base import EndpointCaller
from airflow_provider_cytechbot.hooks.secrets import hide

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api import records
    from airflow_provider_cytechbot.api.fields import DateInput, IdInput


class UserMethods(EndpointCaller):
    """Users and packages: these endpoints need the key of an administrator."""

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
        password = hide(password)  # error trackers show the variables of this frame
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
        self.call(
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
