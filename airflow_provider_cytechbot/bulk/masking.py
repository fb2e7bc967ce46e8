"""Taking addresses out of the server's words before they are stored or logged."""

from __future__ import annotations

import re

from airflow_provider_cytechbot.api.redaction import MASK

_EMAIL = re.compile(r"[^\s\"'<>(){}\[\],;:=]+@[^\s\"'<>(){}\[\],;:=]+")
#: Only with a plus: without one, an id looks the same.
_PHONE = re.compile(r"\+\d[\d\s()./-]{4,}\d")


def mask_addresses(text: str) -> str:
    """
    Return text with ``***`` in place of e-mail addresses and international phone numbers.

    :param text: Text that a server wrote.
    """
    return _PHONE.sub(MASK, _EMAIL.sub(MASK, text))
