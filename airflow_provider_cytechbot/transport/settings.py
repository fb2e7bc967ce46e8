"""The checked settings of a connection that a transport needs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Settings:
    """
    The checked settings of a connection. The ``repr`` hides the secret ones.

    :param connection: The id of the Airflow connection.
    :param base_url: The API's base URL, without a slash at its end.
    :param api_key: The API key.
    :param timeout: Seconds to wait for an answer's next bytes.
    :param max_retries: How often a call that may be repeated is repeated.
    :param requests_per_second: A ceiling for this process; ``None``: none.
    :param server_timezone: The zone of the server's naive times.
    :param verify_tls: Whether the server's certificate is checked.
    :param ca_bundle: A file of certificates to trust instead of the usual ones.
    :param proxy: The URL of the proxy to use.
    """

    connection: str
    base_url: str
    api_key: str = field(repr=False)
    timeout: float = 60.0
    max_retries: int = 4
    requests_per_second: float | None = None
    server_timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    verify_tls: bool = True
    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this very machine."""
        return is_loopback_host(urlsplit(self.base_url).hostname or "")


def is_loopback_host(hostname: str) -> bool:
    """
    Return whether a host is this very machine.

    :param hostname: A name or an address, without a port.
    """
    address = ip_address(hostname)
    return address.is_loopback if address else hostname.lower() == "localhost"


def ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """
    Return a host as an address; ``None`` for a name.

    :param host: A name or an address.
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
