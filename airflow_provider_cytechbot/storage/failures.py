"""What goes wrong with a storage, in our words: what was wrong, whether a retry can help, what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotStorageError,
    CyTechBotStorageRefusedError,
)
from airflow_provider_cytechbot.api.redaction import MASK, Redactor

_EXTRAS = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gcs"),
    **dict.fromkeys(("abfs", "abfss", "adl"), "azure"),
}
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_PLACE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}
)

#: What the storages' libraries raise for a request that they know to be wrong before they send it.
_REFUSED_BY_THE_LIBRARY = frozenset({"ParamValidationError", "ProfileNotFound", "InvalidRegionError"})
#: Below 500, the answers that may be different the next time: too late, a conflict, too many requests.
_PASSING_STATUSES = frozenset({408, 409, 425, 429})

_SECRET_NAME = re.compile(
    r"key|secret|token|password|signature|credential|connection_string|\bsig\b", re.IGNORECASE
)
_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*")
_SECRET_VALUE = re.compile(
    r"(?i)((?:account_?key|sig|signature|secret|token|password)[\"']?\s*[=:]\s*)[^\s,;&]+"
)
_PASSWORD_IN_PATH = re.compile(r"(://[^/@:]*):[^/@]*@")
_MOST_WORDS = 200


class StorageFailures:
    """
    The failures of one place.

    :param what: What the place is to the reader, such as ``Field 'path'``.
    :param path: The place, as it was given.
    """

    def __init__(self, what: str, path: str) -> None:
        shown = _PASSWORD_IN_PATH.sub(rf"\1:{MASK}@", path)
        self._place = f"{what}, {shown},"
        url = urlsplit(path) if "://" in path else None
        self._scheme = url.scheme if url else ""
        self._conn_id = (url.netloc.rpartition("@")[0] or None) if url else None

    @contextmanager
    def translate_errors(self, *, has_begun: bool = False) -> Iterator[None]:
        """
        Turn whatever a storage raises in the block into an error of the tree.

        :param has_begun: Whether the place has taken a file's beginning: it would again, so a retry may help.
        """
        try:
            yield
        except CyTechBotError:
            raise
        except Exception as error:  # noqa: BLE001 - each library has a tree of its own, perhaps not installed
            failure = self.of(error)
            if has_begun and not _is_taken(error):
                failure = CyTechBotStorageError(failure.reason, failure.hint)
            raise failure from None

    def of(self, error: Exception) -> CyTechBotStorageError:
        """
        Return the error for what a storage has raised.

        :param error: What it raised: of Python, s3fs, botocore, gcsfs, adlfs or the Azure SDK.
        """
        words = self._words(error)
        status, number = _status(error), getattr(error, "errno", None)
        if _is(error, "AirflowNotFoundException"):
            return self.unknown_connection()
        if number in _NO_ROOM or status == 507:
            return CyTechBotStorageError(
                f"{self._place} has no room left ({words}).", "Make room there, or export to another place."
            )
        if isinstance(error, PermissionError) or number in _FORBIDDEN or status in (401, 403):
            return self.refused(f"cannot be used with these permissions ({words}).", self._advice_on_access())
        if _is_taken(error):
            return self.refused(f"cannot be written: something is there ({words}).", "Choose another place.")
        if isinstance(error, FileNotFoundError) or status == 404:
            hint = "Check the name, or make the bucket or container first." if self._scheme in _EXTRAS else ""
            return self.refused(f"is in a place that is not there ({words}).", hint)
        if status and 300 <= status < 500 and status not in _PASSING_STATUSES:
            return self.refused(f"is refused by the storage ({words}).", self._advice_on_access())
        if (
            number in _NO_PLACE
            or isinstance(error, ValueError | TypeError | NotImplementedError | ImportError)
            or _is(error, *_REFUSED_BY_THE_LIBRARY)
        ):
            return self.refused(f"cannot be used ({words}).", "Check the path, and its connection if any.")
        return CyTechBotStorageError(
            f"{self._place} failed ({words}).", "It may work the next time; if not, check the storage."
        )

    def refused(self, problem: str, hint: str) -> CyTechBotStorageRefusedError:
        """
        Return the error for a place that will not do.

        :param problem: What is wrong, as the rest of a sentence that begins with the place.
        :param advice: What to do.
        """
        return CyTechBotStorageRefusedError(f"{self._place} {problem}", hint)

    def unknown_connection(self) -> CyTechBotStorageRefusedError:
        """Return the error for a path with a connection that Airflow does not know."""
        name = (self._conn_id or "").partition(":")[0]
        return self.refused(
            f"names the connection {name!r}, which Airflow does not know.",
            "Create it, or write the path without it to use the credentials of the worker's environment.",
        )

    def unknown_scheme(self, error: Exception) -> CyTechBotStorageRefusedError:
        """
        Return the error for a path that no installed filesystem opens.

        :param error: What was raised instead of a filesystem.
        """
        if extra := _EXTRAS.get(self._scheme):
            hint = f"Install it: pip install 'airflow-provider-cytechbot[{extra}]'."
        else:
            hint = f"Known are file, {', '.join(_EXTRAS)}, and what other providers bring."
        return self.refused(f"needs a filesystem that is not installed ({self._words(error)}).", hint)

    def _advice_on_access(self) -> str:
        if self._conn_id:
            name = self._conn_id.partition(":")[0]
            return f"Check the connection {name!r}: its keys, its region, and what they may do there."
        if self._scheme in _EXTRAS:
            return "Check the credentials of the worker's environment, or name a connection: s3://my_conn@bucket/…"
        return "Let the user that the worker runs as write there."

    def _words(self, error: Exception) -> str:
        """Return the storage's own words in one line, without what is secret in them."""
        reason = " ".join(str(error).split())
        reason = _SECRET_VALUE.sub(rf"\1{MASK}", _QUERY.sub(rf"\1?{MASK}", reason))
        reason = Redactor(_secrets_of(self._conn_id))(reason)
        return (
            f"{type(error).__name__}: {reason[:_MOST_WORDS].rstrip('.')}" if reason else type(error).__name__
        )


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status behind an error, wherever its library keeps it."""
    while error is not None:
        response = getattr(error, "response", None)  # botocore's, under the error that s3fs makes of it
        if isinstance(response, Mapping):
            found: Any = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:  # of the Azure SDK, and of gcsfs
            found = getattr(error, "status_code", None) or getattr(error, "code", None)
        if str(found).isdigit():
            return int(found)
        error = error.__cause__
    return None


def _is_taken(error: Exception) -> bool:
    return isinstance(error, FileExistsError) or _status(error) == 412


def _is(error: Exception, *names: str) -> bool:
    return not {each.__name__ for each in type(error).__mro__}.isdisjoint(names)


def _secrets_of(conn_id: str | None) -> Iterator[str]:
    """Yield what is secret in a storage's connection."""
    if not conn_id:
        return
    from airflow.providers.common.compat.sdk import BaseHook

    try:
        connection = BaseHook.get_connection(conn_id)
        extra = connection.extra_dejson
    except Exception:  # noqa: BLE001 - it cannot be read, and its secrets cannot have been used
        return
    yield connection.password or ""
    for name, value in extra.items():
        if isinstance(value, str) and _SECRET_NAME.search(name):
            yield value
