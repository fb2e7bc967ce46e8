"""The tree of errors. Each class has an attribute for retries; no error has the API key in it."""

from __future__ import annotations

import copyreg
from typing import ClassVar


class CyTechBotError(Exception):
    """
    Base of everything that goes wrong between Airflow and CyTechBot.

    The text of an error is one line: the request, the connection, what happened, what to do.

    :param reason: What went wrong, with the server's own words where it gave any.
    :param hint: What the reader can do about it.
    :param request: The call, as verb and path without the query, for example ``GET get_contact/``.
    :param connection: The id of the Airflow connection that was used.
    """

    #: Whether the same task, run again, can end differently.
    retryable: ClassVar[bool] = False
    #: Whether each further call with the same connection would fail in the same way.
    concerns_every_row: bool = False
    #: The name of the endpoint that was called, without the ids that its path has.
    endpoint: str = ""

    def __init__(self, reason: str, hint: str = "", request: str = "", connection: str = "") -> None:
        super().__init__()  # no args: masking or completing the text would miss a copy there
        self.reason = reason
        self.hint = hint
        self.request = request
        self.connection = connection

    def __str__(self) -> str:
        """Return the one line that a person reads in the task log."""
        where = self.request
        if self.connection:
            name = repr(self.connection)
            where = f"{where} (connection {name})" if where else f"Connection {name}"
        line = f"{where}: {self.reason}" if where else self.reason
        return f"{line} {self.hint}" if self.hint else line

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return copyreg.__newobj__, (type(self),), vars(self)  # type: ignore[attr-defined]


class CyTechBotSettingsError(CyTechBotError):
    """The Airflow connection cannot be used: a field is missing or cannot be read."""

    concerns_every_row = True


class CyTechBotAuthError(CyTechBotError):
    """
    Access was refused, and will be until a person renews it.

    The API refused its key (wrong, expired, or a member's key on an admin's endpoint), or Facebook the token
    of the page.
    """

    concerns_every_row = True


class CyTechBotRequestError(CyTechBotError):
    """The API refused the call: a bad field, an unknown id."""


class CyTechBotFieldError(CyTechBotRequestError):
    """A field was refused before anything was sent."""


class CyTechBotNotFoundError(CyTechBotRequestError):
    """There is nothing under the id that was given."""


class CyTechBotUnansweredError(CyTechBotError):
    """
    The call got no usable answer: the common part of the two errors below.

    :param was_sent: Whether any of the call can have left this machine.
    :param was_rejected: Whether the answer means for certain that nothing was done.
    :param is_transient: Whether the same call in a moment can get an answer.
    :param retry_after: The wait before it that the server wants, in seconds.
    :param is_rate_limit: Whether the server, or Facebook behind it, wants fewer requests from all calls.
    """

    retryable = True

    def __init__(
        self,
        reason: str,
        hint: str = "",
        request: str = "",
        connection: str = "",
        *,
        was_sent: bool = True,
        was_rejected: bool = False,
        is_transient: bool = True,
        retry_after: float | None = None,
        is_rate_limit: bool = False,
    ) -> None:
        super().__init__(reason, hint, request, connection)
        self.was_sent = was_sent
        self.was_rejected = was_rejected
        self.is_transient = is_transient
        self.retry_after = retry_after
        self.is_rate_limit = is_rate_limit

    @property
    def may_have_acted(self) -> bool:
        """Whether the server can have done what the call is for."""
        return self.was_sent and not self.was_rejected


class CyTechBotTransportError(CyTechBotUnansweredError):
    """No answer for the moment: no connection, cut off, too late, 429 or 5xx, a temporary failure."""


class CyTechBotResponseError(CyTechBotUnansweredError):
    """The answer is unusable: not JSON, of the wrong shape, of another record, a redirect, a web page."""


class CyTechBotAmbiguousWriteError(CyTechBotError):
    """A create was sent and its answer lost. It may have happened, so it is not sent again."""


class CyTechBotStorageError(CyTechBotError):
    """The object storage or disk below an export failed, and may not the next time: no answer, no room."""

    retryable = True


class CyTechBotStorageRefusedError(CyTechBotStorageError):
    """The object storage refuses, and will again: no such bucket or connection, no permission, a bad path."""

    retryable = False
