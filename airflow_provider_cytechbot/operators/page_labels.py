"""The labels of a page, by id and by name, for the operators that deal with them."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotRequestError,
)

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

log = logging.getLogger(__name__)


class PageLabels:
    """
    The labels of a page, read once.

    :param hook: The hook to read and make them with.
    :param page_id: The page.
    """

    def __init__(self, hook: CyTechBotHook, page_id: IdInput) -> None:
        self._hook = hook
        self._page_id = page_id
        self._read()

    def _read(self) -> None:
        # Of two labels of one name, which only a race makes, everybody is to take the same: the older.
        labels = sorted(self._hook.get_labels(self._page_id), key=lambda label: _age(label["label_id"]))
        self.name_of = {label["label_id"]: label["label_name"] or "" for label in labels}
        self.id_of = {name: label_id for label_id, name in reversed(self.name_of.items())}

    def create(self, name: str) -> str:
        """
        Make a label and return its id; if another task makes it at the same moment, that one's.

        :param name: The label's name.
        :raises CyTechBotAmbiguousWriteError: The answer was lost, and the label is not there, or not seen.
        :raises CyTechBotRequestError: The API refused, and has no label that it may take for the same.
        """
        try:
            new_id = self._hook.create_label(label_name=name, page_id=self._page_id)
        except (CyTechBotAmbiguousWriteError, CyTechBotRequestError) as error:
            failure: CyTechBotError = error
        else:
            self._read()
            return self.id_of.setdefault(name, new_id)
        with suppress(CyTechBotError):  # what cannot be looked up leaves the first error, which may be final
            self._read()
        if name in self.id_of:
            return self.id_of[name]
        if isinstance(failure, CyTechBotRequestError) and (label_id := self._near(name)):
            return label_id
        raise failure

    def _near(self, name: str) -> str | None:
        """Return the label that the server takes for the same: it may not tell capitals or spaces apart."""
        for known, label_id in self.id_of.items():
            if known.strip().casefold() == name.strip().casefold():
                log.info("The page has no label %r, but takes %r for it: id %s", name, known, label_id)
                return label_id
        return None


def _age(label_id: str) -> tuple[int, str]:
    return len(label_id), label_id
