"""The one tree of errors. Each knows whether a retry can help; none ever holds the API key."""

from __future__ import annotations

import copyreg
from typing import ClassVar


class CyTechBotError(Exception):
    """
    Base of everything that goes wrong between Airflow and CyTechBot.

    The text of an error is one line: what was asked, of which connection, what happened, what to do.

    :param said: What went wrong, with the server's own words where it gave any.
    :param advice: What the reader can do about it.
    :param asked: The call, as verb and path without the query, for example ``GET get_contact/``.
    :param connection: The id of the Airflow connection that was used.
    """

    #: Whether the same task, run again, can end differently.
    retryable: ClassVar[bool] = False

    def __init__(self, reason: str, hint: str = "", request: str = "", connection: str = "") -> None:
        super().__init__()  # no args: a copy of the text there would escape whoever masks or completes it
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


class CyTechBotAuthError(CyTechBotError):
    """The API refused the key: wrong, expired, or a member's key on an admin's endpoint."""


class CyTechBotRequestError(CyTechBotError):
    """The API refused the call: a bad field, an unknown id."""


class CyTechBotFieldError(CyTechBotRequestError):
    """A field was refused before anything was sent."""


class CyTechBotNotFoundError(CyTechBotRequestError):
    """The API knows nothing under the id that was given."""


class CyTechBotUnansweredError(CyTechBotError):
    """
    The call got no answer of the API: the common part of the two errors below.

    :param was_sent: Whether any of the call can have left this machine.
    :param was_turned_away: Whether something before the API answered instead of it, so that it never acted.
    :param worth_repeating: Whether the same call in a moment can get an answer.
    :param retry_after: Seconds that the server asked to wait before it.
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
    ) -> None:
        super().__init__(reason, hint, request, connection)
        self.was_sent = was_sent
        self.was_rejected = was_rejected
        self.is_transient = is_transient
        self.retry_after = retry_after

    @property
    def may_have_acted(self) -> bool:
        """Whether the server can have done what the call asked for."""
        return self.was_sent and not self.was_rejected


class CyTechBotTransportError(CyTechBotUnansweredError):
    """No whole answer came: no connection, cut off, too late, 429 or 5xx."""


class CyTechBotResponseError(CyTechBotUnansweredError):
    """An answer came that is not the API's: not JSON, of the wrong shape, a redirect, a web server's page."""


class CyTechBotAmbiguousWriteError(CyTechBotError):
    """A create was sent and its answer lost. It may have happened, so it is not sent again."""


class CyTechBotStorageError(CyTechBotError):
    """The object storage or disk below an export failed, and may not the next time: no answer, no room."""

    retryable = True


class CyTechBotStorageRefusedError(CyTechBotStorageError):
    """The object storage refuses, and will again: no such bucket or connection, no permission, a bad path."""

    retryable = False
