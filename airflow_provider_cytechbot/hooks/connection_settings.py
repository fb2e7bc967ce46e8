"""The one parse of an Airflow connection into settings, for both hooks."""

from __future__ import annotations

import ipaddress
import json
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from airflow_provider_cytechbot.api.errors import CyTechBotSettingsError
from airflow_provider_cytechbot.api.fields import invisible_in_word
from airflow_provider_cytechbot.transport.client_config import ca_bundle_problem
from airflow_provider_cytechbot.transport.settings import Settings, ip_address, is_loopback_host

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

T = TypeVar("T")

log = logging.getLogger(__name__)

DEFAULT_HOST = "https://cytechbot.com/api"
MAX_PORT = 65535
#: The largest number of seconds or requests. A socket's timeout takes no more.
MAX_NUMBER = 86_400
#: The smallest one. With less, no call would ever be answered in time, or sent.
MIN_NUMBER = 0.001
#: Retries beyond this take days.
MAX_RETRIES = 1000
#: Characters of a folder that are not percent-encoded.
_SAFE_IN_FOLDERS = "%!$&'()*+,;=@~"

#: A scheme that lacks its colon or a slash.
_INCOMPLETE_SCHEME = re.compile(r"https?(?!://)[:/]", re.IGNORECASE)

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.IGNORECASE)
#: Texts that stand for no value or a switch, and schemes that were written twice.
_NO_NAMES = frozenset({"true", "false", "yes", "no", "on", "off", "none", "null", "http", "https"})
_FOLDER = re.compile(r"(?!\.{1,2}$)[^\s\\<>\"{}|^`?#:]+")

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


def read_settings(conn: Connection) -> Settings:
    """
    Read an Airflow connection of the type ``cytechbot``.

    :param conn: The connection. Its host may be a host's name or a URL; its password is the API key.
    :raises CyTechBotSettingsError: A field is missing or cannot be read.
    """
    extras = _Extras(conn.conn_id or "", _read_extra(conn))
    allow_http = extras.take("allow_http", _read_bool, False)
    settings = Settings(
        connection=extras.connection,
        base_url=_read_base_url(conn, allow_http=allow_http),
        api_key=_read_api_key(conn),
        timeout=extras.take("timeout", _read_number, Settings.timeout),
        max_retries=extras.take("max_retries", _read_count, Settings.max_retries),
        requests_per_second=extras.take("requests_per_second", _read_number, None),
        server_timezone=extras.take("server_timezone", _read_zone, ZoneInfo("UTC")),
        verify_tls=extras.take("verify_tls", _read_bool, Settings.verify_tls),
        ca_bundle=extras.take("ca_bundle", _read_ca_bundle, None),
        proxy=extras.take("proxy", _read_proxy, None),
    )
    _check_proxy(settings, allow_http=allow_http)
    extras.warn_about_unknown()
    return settings


def _check_proxy(settings: Settings, *, allow_http: bool) -> None:
    """Refuse a proxy on another machine that would receive the API key unencrypted."""
    if settings.proxy is None or allow_http or not settings.base_url.startswith("http://"):
        return
    if not is_loopback_host(urlsplit(settings.proxy).hostname or ""):
        raise _unusable(
            settings.connection,
            "the base URL uses plain http, so that the proxy (extra 'proxy') would receive the API key "
            "unencrypted. Use https, or a proxy on this machine, or set the extra 'allow_http'",
        )


class _Extras:
    """The connection's extras. Each is read once; extras that remain are unknown."""

    def __init__(self, connection: str, extras: dict[str, Any]) -> None:
        self.connection = connection
        self._left = dict(extras)

    def take(self, name: str, read: Callable[[str], T], default: T) -> T:
        """Read one extra. The form saves an empty field as an empty text or null, which mean the default."""
        value = self._left.pop(name, None)
        text = (
            json.dumps(value) if isinstance(value, bool) else str(value if value is not None else "").strip()
        )
        if not text:
            return default
        try:
            return read(text)
        except ValueError as error:
            problem = str(error) if isinstance(error, _UnreadableError) else "cannot be read"
        raise _unusable(self.connection, f"extra {name!r} {problem}")

    def warn_about_unknown(self) -> None:
        if self._left:
            names = ", ".join(sorted(map(repr, self._left)))
            log.warning("Connection %r has unknown extras, which are ignored: %s", self.connection, names)


class _UnreadableError(ValueError):
    """A value cannot be read. The text is the rest of a sentence, without the value of a secret field."""


def _unusable(conn_id: str | None, problem: str) -> CyTechBotSettingsError:
    """Return the error for a connection that cannot be used."""
    return CyTechBotSettingsError(
        f"the connection cannot be used: {problem}.",
        "Correct it under Admin > Connections.",
        "",
        conn_id or "",
    )


def _invisible(text: str) -> str | None:
    """Return the first character that is not seen, or that is a blank other than a space."""
    return invisible_in_word(text) or next((each for each in text if not each.isprintable()), None)


def _read_api_key(conn: Connection) -> str:
    key = (conn.password or "").strip()
    if not key:
        raise _unusable(conn.conn_id, "the API key (its password field) is missing")
    if character := _invisible(key):
        problem = f"the API key (its password field) has the invisible character U+{ord(character):04X}"
        raise _unusable(conn.conn_id, problem)
    return key


def _read_extra(conn: Connection) -> dict[str, Any]:
    text = (conn.extra or "").strip()
    try:
        extra = json.loads(text or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise _unusable(conn.conn_id, "its extra is not a JSON object")
    return extra


def _read_base_url(conn: Connection, *, allow_http: bool) -> str:
    try:
        url = _parse_base_url(conn.host or "", conn.schema or "", conn.port)
    except _UnreadableError as error:
        problem = str(error)
    except ValueError:
        problem = "is not a host or URL"
    else:
        host = urlsplit(url)
        if host.scheme == "https" or allow_http or is_loopback_host(host.hostname or ""):
            return url
        problem = (
            "uses plain http, which sends the API key unencrypted. Use https, or set the extra 'allow_http'"
        )
    raise _unusable(conn.conn_id, f"the base URL (its host field) {problem}")


def _parse_base_url(host: str, schema: str, port: int | None) -> str:
    """Return the base URL for a host's name or URL. A connection URI leaves a sub-folder in the schema."""
    host, folder = host.strip() or DEFAULT_HOST, schema.strip()
    if _invisible(host + folder):
        raise _UnreadableError("holds invisible characters")
    if _INCOMPLETE_SCHEME.match(host):
        raise _UnreadableError("must begin with https://")
    if isinstance(ip_address(host), ipaddress.IPv6Address):
        host = f"[{host}]"
    scheme = "https"
    if folder.lower() in ("http", "https"):
        scheme, folder = folder.lower(), ""
    parts = urlsplit(host if "://" in host else f"{scheme}://{host}")
    if parts.scheme not in ("http", "https"):
        raise _UnreadableError("must begin with https://")
    if parts.username or parts.password:
        raise _UnreadableError("must not hold a user or password")
    if parts.query or parts.fragment:
        raise _UnreadableError("must not hold a query or fragment")
    if not parts.hostname or any(character.isspace() for character in parts.netloc):
        raise _UnreadableError("has no host name")
    # The form of some Airflow versions saves an empty port as 0.
    if port and parts.port and parts.port != port:
        raise _UnreadableError(f"names the port {parts.port}, the port field {port}")
    port = parts.port or port or None
    if port is not None and not 0 < port <= MAX_PORT:
        raise _UnreadableError(f"has an impossible port {port}")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if not _is_host(parts.hostname):
        raise _UnreadableError(f"has no usable host name: {parts.hostname[:60]!r}")
    folders = [each for each in f"{parts.path}/{folder}".split("/") if each]
    if wrong := next((each for each in folders if not _FOLDER.fullmatch(each)), None):
        raise _UnreadableError(f"has a folder that no URL has: {wrong[:60]!r}")
    folders = [quote(each, safe=_SAFE_IN_FOLDERS) for each in folders]
    if folders and folders[-1].lower() == "api":
        folders.pop()
    return "/".join(
        [f"{parts.scheme}://{name}:{port}" if port else f"{parts.scheme}://{name}", *folders, "api"]
    )


def _is_host(name: str) -> bool:
    """Return whether a URL can have this host. A number such as 0x7f000001 is none."""
    if ip_address(name):
        return True
    try:
        ascii_name = name.encode("idna").decode()
    except UnicodeError:
        return False
    is_number = _NUMBER.fullmatch(ascii_name.rstrip(".").rpartition(".")[2])
    return bool(_HOST_NAME.fullmatch(ascii_name)) and not is_number and name.lower() not in _NO_NAMES


def _read_bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise _UnreadableError(f"must be true or false, not {text!r}")


def _read_number(text: str) -> float:
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not MIN_NUMBER <= value <= MAX_NUMBER:
        raise _UnreadableError(f"must be a number from {MIN_NUMBER} to {MAX_NUMBER}, not {text[:60]!r}")
    return value


def _read_count(text: str) -> int:
    is_short_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_RETRIES))
    if not is_short_number or int(text) > MAX_RETRIES:
        raise _UnreadableError(f"must be a whole number from 0 to {MAX_RETRIES}, not {text[:60]!r}")
    return int(text)


def _read_ca_bundle(text: str) -> str:
    problem = ca_bundle_problem(text) or ("is a folder" if Path(text).is_dir() else None)
    if problem:
        raise _UnreadableError(f"names a file that {problem}: {text!r}")
    return text


def _read_zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ValueError, LookupError, OSError):
        raise _UnreadableError(f"must be a time zone's name such as Asia/Singapore, not {text!r}") from None


def _read_proxy(text: str) -> str:
    url = text if "://" in text else f"http://{text}"
    parts = urlsplit(url)
    if _invisible(url) or _INCOMPLETE_SCHEME.match(text) or parts.query or parts.fragment:
        raise _UnreadableError("must be the URL of an http proxy")
    if parts.scheme not in ("http", "https") or not _is_host(parts.hostname or "") or parts.port == 0:
        raise _UnreadableError(
            "must be the URL of an http proxy"
        )  # the value is not shown, because it can contain a password
    return url
