"""Errors of storages: what is wrong, whether a retry can help, and what to do."""

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
_UNUSABLE_PATH = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}
)

#: Errors that the storages' libraries raise before they send an invalid request.
_REFUSED_BY_THE_LIBRARY = frozenset({"ParamValidationError", "ProfileNotFound", "InvalidRegionError"})
#: Statuses below 500 that are temporary: timeout, conflict, too many requests.
_TRANSIENT_STATUSES = frozenset({408, 409, 425, 429})

_SECRET_NAME = re.compile(
    r"key|secret|token|password|signature|credential|connection_string|\bsig\b", re.IGNORECASE
)
_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*")
_SECRET_VALUE = re.compile(
    r"(?i)((?:account_?key|sig|signature|secret|token|password)[\"']?\s*[=:]\s*)[^\s,;&]+"
)
_PASSWORD_IN_PATH = re.compile(r"(://[^/@:]*):[^/@]*@")
_MAX_MESSAGE = 200


class StorageFailures:
    """
    Converts the errors of one location.

    :param what: What names the location, such as ``Field 'path'``.
    :param path: The path, as it was given.
    """

    def __init__(self, what: str, path: str) -> None:
        masked_path = _PASSWORD_IN_PATH.sub(rf"\1:{MASK}@", path)
        self._subject = f"{what}, {masked_path},"
        url = urlsplit(path) if "://" in path else None
        self._scheme = url.scheme if url else ""
        self._conn_id = (url.netloc.rpartition("@")[0] or None) if url else None

    @contextmanager
    def translate_errors(self, *, has_begun: bool = False) -> Iterator[None]:
        """
        Convert every exception of a storage in the block into a storage error.

        :param has_begun: Whether the storage has accepted part of the file. Then a retry may help.
        """
        try:
            yield
        except CyTechBotError:
            raise
        except Exception as error:  # noqa: BLE001 - each library has a tree of its own, perhaps not installed
            failure = self.convert(error)
            if has_begun and not _is_taken(error):
                failure = CyTechBotStorageError(failure.reason, failure.hint)
            raise failure from None

    def convert(self, error: Exception) -> CyTechBotStorageError:
        """
        Return the error for an exception of a storage.

        :param error: An exception of Python, s3fs, botocore, gcsfs, adlfs or the Azure SDK.
        """
        message = self._message(error)
        status, number = _status(error), getattr(error, "errno", None)
        if _is(error, "AirflowNotFoundException"):
            return self.unknown_connection()
        if number in _NO_ROOM or status == 507:
            return CyTechBotStorageError(
                f"{self._subject} has no room left ({message}).",
                "Make room there, or choose another location.",
            )
        if isinstance(error, PermissionError) or number in _FORBIDDEN or status in (401, 403):
            return self.refused(f"cannot be used with these permissions ({message}).", self._access_hint())
        if _is_taken(error):
            return self.refused(f"cannot be written: something is there ({message}).", "Choose another path.")
        if isinstance(error, FileNotFoundError) or status == 404:
            hint = "Check the name, or make the bucket or container first." if self._scheme in _EXTRAS else ""
            return self.refused(f"is in a folder or bucket that is not there ({message}).", hint)
        if status and 300 <= status < 500 and status not in _TRANSIENT_STATUSES:
            return self.refused(f"is refused by the storage ({message}).", self._access_hint())
        if (
            number in _UNUSABLE_PATH
            or isinstance(error, ValueError | TypeError | NotImplementedError | ImportError)
            or _is(error, *_REFUSED_BY_THE_LIBRARY)
        ):
            return self.refused(f"cannot be used ({message}).", "Check the path, and its connection if any.")
        return CyTechBotStorageError(
            f"{self._subject} failed ({message}).", "It may work the next time; if not, check the storage."
        )

    def refused(self, problem: str, hint: str) -> CyTechBotStorageRefusedError:
        """
        Return the error for a location that cannot be used.

        :param problem: What is wrong, as the rest of a sentence that begins with the location.
        :param hint: What to do.
        """
        return CyTechBotStorageRefusedError(f"{self._subject} {problem}", hint)

    def unknown_connection(self) -> CyTechBotStorageRefusedError:
        """Return the error for a path whose connection does not exist in Airflow."""
        name = (self._conn_id or "").partition(":")[0]
        return self.refused(
            f"names the connection {name!r}, which does not exist in Airflow.",
            "Create it, or write the path without it to use the credentials of the worker's environment.",
        )

    def unknown_scheme(self, error: Exception) -> CyTechBotStorageRefusedError:
        """
        Return the error for a path that no installed filesystem opens.

        :param error: The exception.
        """
        if extra := _EXTRAS.get(self._scheme):
            hint = f"Install it: pip install 'airflow-provider-cytechbot[{extra}]'."
        else:
            hint = f"Known are file, {', '.join(_EXTRAS)}, and what other providers bring."
        return self.refused(f"needs a filesystem that is not installed ({self._message(error)}).", hint)

    def _access_hint(self) -> str:
        if self._conn_id:
            name = self._conn_id.partition(":")[0]
            return f"Check the connection {name!r}: its keys, its region, and what they may do there."
        if self._scheme in _EXTRAS:
            return "Check the credentials of the worker's environment, or name a connection: s3://my_conn@bucket/…"
        return "Let the user that the worker runs as write there."

    def _message(self, error: Exception) -> str:
        """Return the storage's message in one line, without secrets."""
        reason = " ".join(str(error).split())
        reason = _SECRET_VALUE.sub(rf"\1{MASK}", _QUERY.sub(rf"\1?{MASK}", reason))
        reason = Redactor(secrets_of(self._conn_id))(reason)
        return (
            f"{type(error).__name__}: {reason[:_MAX_MESSAGE].rstrip('.')}" if reason else type(error).__name__
        )


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status of an error of any library."""
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


def secrets_of(conn_id: str | None) -> Iterator[str]:
    """Yield the secrets of a storage's connection."""
    if not conn_id:
        return
    from airflow.providers.common.compat.sdk import BaseHook

    try:
        connection = BaseHook.get_connection(conn_id)
        extra = connection.extra_dejson
    except Exception:  # noqa: BLE001 - a connection that cannot be read was not used
        return
    yield connection.password or ""
    for name, value in extra.items():
        if isinstance(value, str) and _SECRET_NAME.search(name):
            yield value
