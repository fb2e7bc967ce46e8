"""Keeping the API key out of every log, Airflow's and the HTTP client's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from airflow_provider_cytechbot.api.redaction import forms, redact_query

if TYPE_CHECKING:
    from airflow_provider_cytechbot.hooks.settings import Settings

#: All of urllib3's. They log URLs, of which a read's key is a part: each at DEBUG, and as a warning after
#: headers that it cannot read.
_LOGGERS_OF_URLS = (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
)


class RedactQuery(logging.Filter):
    """Masks the value of each ``api_key=`` in a record. Airflow's masker does not reach every handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let each record pass, without the key."""
        message = record.getMessage()
        redacted = redact_query(message)
        if redacted != message:
            record.msg, record.args = redacted, None
        return True


_REDACT_QUERY = RedactQuery()


def keep_secret(settings: Settings) -> None:
    """
    Register what is secret in a connection, in each form in which it travels, wherever logs are written.

    :param settings: The connection's settings.
    """
    from airflow.providers.common.compat.sdk import mask_secret

    proxy_password = urlsplit(settings.proxy or "").password or ""
    for secret in filter(None, (settings.api_key, proxy_password, unquote(proxy_password))):
        for form in forms(secret):
            mask_secret(form)
    for name in _LOGGERS_OF_URLS:
        logging.getLogger(name).addFilter(_REDACT_QUERY)  # adding it twice has no effect
