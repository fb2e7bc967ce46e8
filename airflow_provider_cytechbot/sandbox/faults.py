"""The faults of the sandbox: their kinds, their notation, and the plan of which request gets which."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

ALL_ENDPOINTS = "all"
FOR_EVER = -1


class FaultKind(StrEnum):
    """What goes wrong, and whether a write takes effect nevertheless, unless `Fault.effect` is set."""

    #: The answer is right but late: `seconds` before its first byte. Takes effect, before the wait.
    DELAY = "delay"
    #: The answer is right but comes in pieces of `size` bytes with `seconds` between them. Takes effect.
    TRICKLE = "trickle"
    #: The connection is reset without an answer. No effect.
    RESET_BEFORE = "reset_before"
    #: The connection is reset without an answer. Takes effect.
    RESET_AFTER = "reset_after"
    #: A web server's error page with `status`, and `retry_after` where given. No effect.
    STATUS = "status"
    #: An HTML login page with status 200. No effect.
    HTML = "html"
    #: A redirect (`status`, 302 unless given) to `location`. No effect.
    REDIRECT = "redirect"
    #: The body ends after `size` bytes (or half of it) though Content-Length promised more. Takes effect.
    TRUNCATE = "truncate"
    #: The JSON ends after `size` bytes and the answer claims to be whole. Takes effect.
    TRUNCATE_JSON = "truncate_json"
    #: A chunked answer without its last chunk, cut after `size` bytes. Takes effect.
    TRUNCATE_CHUNKED = "truncate_chunked"
    #: `body` in place of the answer, with status 200 unless `status` is given. Takes effect.
    BODY = "body"
    #: A byte order mark before the JSON. Takes effect.
    BOM = "bom"
    #: A PHP notice (or `body`) before the JSON. Takes effect.
    NOTICE = "notice"
    #: The answer compressed with gzip, even where the client does not accept that. Takes effect.
    GZIP = "gzip"
    #: The answer chunked, without Content-Length. Takes effect.
    CHUNKED = "chunked"
    #: Interim answers (`status`, 103 unless given) before the answer itself. Takes effect.
    INTERIM = "interim"
    #: An error that Facebook gave, with its `code` (613 unless given), as Facebook's object or with `as_text`
    #: as its text alone. No effect.
    FACEBOOK_ERROR = "facebook_error"


_WITHOUT_EFFECT = {
    FaultKind.RESET_BEFORE,
    FaultKind.STATUS,
    FaultKind.HTML,
    FaultKind.REDIRECT,
    FaultKind.FACEBOOK_ERROR,
}
RATE_LIMIT_CODE = 613


class FaultError(ValueError):
    """A fault that cannot be read; the message is one line and names the field."""


@dataclass(frozen=True)
class Fault:
    """
    One fault and the requests that get it.

    :param kind: what goes wrong
    :param endpoint: the endpoint's path name, for example `create_contact`, or `all`
    :param times: how many requests get it; -1 for ever
    :param skip: how many matching requests pass before the first one with the fault
    :param seconds: how long to wait before the first byte (of any kind), or between the pieces of `trickle`
    :param status: the HTTP status of `status`, `redirect`, `html` and `body`, or of `interim` answers
    :param retry_after: seconds for a Retry-After header beside `status`
    :param retry_after_date: write Retry-After as the HTTP date of that moment
    :param location: where a `redirect` leads
    :param body: the text of `body`, `notice`, `html` and `status`
    :param content_type: the Content-Type of such a text
    :param size: bytes of a `trickle`'s piece, or bytes left by the `truncate` kinds
    :param code: the error code of `facebook_error`: 613 rate limit, 190 expired token, 10 missing permission
    :param as_text: send the text of a `facebook_error` alone
    :param effect: whether a write takes effect; None for the default of the kind. `status=502` with
        `effect=True` is a gateway that lost the answer of a write
    :raises FaultError: for a value outside its range
    """

    kind: FaultKind
    endpoint: str = ALL_ENDPOINTS
    times: int = 1
    skip: int = 0
    seconds: float = 0.0
    status: int | None = None
    retry_after: float | None = None
    retry_after_date: bool = False
    location: str = "/login"
    body: str | None = None
    content_type: str | None = None
    size: int | None = None
    code: int = RATE_LIMIT_CODE
    as_text: bool = False
    effect: bool | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "kind", FaultKind(self.kind))
        except ValueError:
            known = ", ".join(FaultKind)
            raise FaultError(f"kind: there is no {self.kind!r}; known are {known}") from None
        if self.times < FOR_EVER or self.times == 0:
            raise FaultError("times: must be 1 or more, or -1 for ever")
        if self.skip < 0:
            raise FaultError("skip: must be 0 or more")
        if not 0 <= self.seconds < float("inf"):
            raise FaultError("seconds: must be 0 or more")
        if self.retry_after is not None and not 0 <= self.retry_after < float("inf"):
            raise FaultError("retry_after: must be 0 or more")
        if self.kind is FaultKind.INTERIM:
            if self.status is not None and (not 100 <= self.status <= 199 or self.status == 101):
                raise FaultError("status: must be 100 to 199, and not 101")
        # An answer with 204 or 304 has no body.
        elif self.status is not None and (not 200 <= self.status <= 599 or self.status in (204, 304)):
            raise FaultError("status: must be 200 to 599, and neither 204 nor 304")
        if self.kind is FaultKind.STATUS and self.status is None:
            raise FaultError("status: is required for the kind status")
        if self.size is not None and self.size < (1 if self.kind is FaultKind.TRICKLE else 0):
            raise FaultError("size: is too small")
        for name in ("location", "content_type"):
            value = getattr(self, name)
            if value is not None and not (value.isascii() and value.isprintable()):
                raise FaultError(f"{name}: must be printable ASCII")

    @property
    def takes_effect(self) -> bool:
        """Whether a write that gets this fault takes effect."""
        return self.kind not in _WITHOUT_EFFECT if self.effect is None else self.effect


_FIELDS = {field.name: field for field in fields(Fault)}


def read_fault(given: Mapping[str, Any]) -> Fault:
    """
    Make a fault from names and values; the values may be text.

    :param given: values by the names of `Fault`'s parameters
    :raises FaultError: for an unknown name or a wrong value
    """
    if not isinstance(given, Mapping):
        raise FaultError("must be an object")
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _FIELDS:
            raise FaultError(f"{name}: there is no such field; known are {', '.join(_FIELDS)}")
        values[name] = _read_value(name, value)
    if "kind" not in values:
        raise FaultError("kind: is required")
    return Fault(**values)


def _read_value(name: str, value: Any) -> Any:
    kind = str(_FIELDS[name].type).removesuffix(" | None")
    if value is None:
        return None
    try:
        if kind == "bool":
            return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
        if kind == "int":
            return int(str(value))
        if kind == "float":
            return float(str(value))
    except (KeyError, ValueError):
        wanted = {"bool": "true or false", "int": "a whole number", "float": "a number"}[kind]
        raise FaultError(f"{name}: must be {wanted}, not {value!r}") from None
    if not isinstance(value, str):
        raise FaultError(f"{name}: must be text, not {value!r}")
    return value


def parse_fault(text: str) -> Fault:
    """
    Read a fault from one argument of a command line.

    :param text: `endpoint=create_contact,kind=reset_after,times=1`, or the same as a JSON object, which a
        value with a comma needs
    :raises FaultError: when it cannot be read
    """
    if text.lstrip().startswith("{"):
        try:
            given = json.loads(text)
        except json.JSONDecodeError as error:
            raise FaultError(f"is not JSON: {error}") from None
        return read_fault(given)
    given = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise FaultError(f"{part.strip()!r}: must be name=value")
        given[name.strip()] = value
    return read_fault(given)


class FaultPlan:
    """The faults still to happen, in the order in which they were added. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[_Pending] = []

    def add(self, fault: Fault) -> None:
        """Add a fault for the requests to come."""
        with self._lock:
            self._pending.append(_Pending(fault, fault.skip, fault.times))

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._pending.clear()

    def pending(self) -> list[Fault]:
        """Return the faults that are still to happen."""
        with self._lock:
            return [pending.fault for pending in self._pending]

    def take(self, endpoint: str) -> Fault | None:
        """Return the fault of the next request to an endpoint, None for none, and count it as happened."""
        with self._lock:
            for pending in self._pending:
                if pending.fault.endpoint not in (ALL_ENDPOINTS, endpoint):
                    continue
                if pending.skip:
                    pending.skip -= 1
                    continue
                if pending.times != FOR_EVER:
                    pending.times -= 1
                    if not pending.times:
                        self._pending.remove(pending)
                return pending.fault
        return None


@dataclass(eq=False)
class _Pending:
    fault: Fault
    skip: int
    times: int
