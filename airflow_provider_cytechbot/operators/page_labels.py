"""The labels of a page, by id and by name."""

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

    :param hook: The hook that reads and creates labels.
    :param page_id: The page's id.
    """

    def __init__(self, hook: CyTechBotHook, page_id: IdInput) -> None:
        self._hook = hook
        self._page_id = page_id
        self._read()

    def _read(self) -> None:
        # If a race created two labels with one name, every task uses the older one.
        labels = sorted(
            self._hook.get_labels(self._page_id), key=lambda label: _creation_order(label["label_id"])
        )
        self.name_of = {label["label_id"]: label["label_name"] or "" for label in labels}
        self.id_of = {name: label_id for label_id, name in reversed(self.name_of.items())}

    def create(self, name: str) -> str:
        """
        Create a label and return its id. If another task created it meanwhile, return that one's id.

        :param name: The label's name.
        :raises CyTechBotAmbiguousWriteError: The response was lost, and the label is not found.
        :raises CyTechBotRequestError: The API refused, and the page has no equivalent label.
        """
        try:
            new_id = self._hook.create_label(label_name=name, page_id=self._page_id)
        except (CyTechBotAmbiguousWriteError, CyTechBotRequestError) as error:
            failure: CyTechBotError = error
        else:
            self._read()
            return self.id_of.setdefault(name, new_id)
        with suppress(CyTechBotError):  # after a failed lookup, the first error is raised
            self._read()
        if name in self.id_of:
            return self.id_of[name]
        if isinstance(failure, CyTechBotRequestError) and (label_id := self._find_equivalent(name)):
            return label_id
        raise failure

    def _find_equivalent(self, name: str) -> str | None:
        """Return the label that the server treats as equal: it may ignore case and white space."""
        for known, label_id in self.id_of.items():
            if known.strip().casefold() == name.strip().casefold():
                log.info(
                    "The page has no label %r; using %r, which the server treats as equal: id %s",
                    name,
                    known,
                    label_id,
                )
                return label_id
        return None


def _creation_order(label_id: str) -> tuple[int, str]:
    return len(label_id), label_id
