"""Masks the API key in every log, Airflow's and the HTTP client's."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from airflow_provider_cytechbot.api.frames import without_frames
from airflow_provider_cytechbot.api.redaction import Redactor, forms
from airflow_provider_cytechbot.hooks.secrets import Secret, hide, reveal

if TYPE_CHECKING:
    from airflow_provider_cytechbot.transport.settings import Settings

#: The loggers of the HTTP clients. They log URLs, which contain the key in a read: each URL at DEBUG, and
#: as a warning after headers that cannot be read.
_LOGGERS_OF_URLS = (
    "aiohttp.client",
    "asyncio",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
)


class RedactSecrets(logging.Filter):
    """
    Masks each registered secret, and the value of each ``api_key=``, in a record and its traceback.

    Airflow's masker does the same for task logs, but does not reach every other handler.
    """

    def __init__(self) -> None:
        super().__init__()
        self._secrets: frozenset[str] = frozenset()
        self._redact = Redactor(())

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these secrets from now on, too."""
        if not self._secrets.issuperset(secrets := set(secrets)):
            self._secrets |= secrets
            self._redact = Redactor(self._secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove secrets from the record, and pass it on."""
        message = record.getMessage()
        redacted = self._redact(message)
        if redacted != message:
            record.msg, record.args = redacted, None
        if record.exc_info and record.exc_info[0]:
            text = "".join(traceback.format_exception(*record.exc_info))
            redacted = self._redact(text)
            if redacted != text:
                record.exc_info, record.exc_text = None, redacted
        return True


_REDACT_SECRETS = RedactSecrets()


def keep_secret(settings: Settings) -> None:
    """
    Register a connection's secrets, in each encoding, with Airflow's masker and the loggers of URLs.

    :param settings: The connection's settings.
    """
    secrets = [hide(each) for each in _secrets_of(settings)]
    for secret in secrets:
        mask_in_task_logs(secret)
    _REDACT_SECRETS.add(map(reveal, secrets))
    for name in _LOGGERS_OF_URLS:
        logging.getLogger(name).addFilter(_REDACT_SECRETS)  # adding it twice has no effect


def mask_in_task_logs(secret: Secret) -> None:
    """
    Register a secret, in each encoding, with Airflow's masker.

    :param secret: The secret, hidden.
    """
    from airflow.providers.common.compat.sdk import mask_secret

    def mask() -> None:
        for form in forms(reveal(secret)):
            mask_secret(form)

    without_frames(mask)


def _secrets_of(settings: Settings) -> set[str]:
    proxy_password = urlsplit(settings.proxy or "").password or ""
    return {settings.api_key, proxy_password, unquote(proxy_password)} - {""}
