"""The labels of a page, by id and by name, for the operators that deal with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.errors import CyTechBotAmbiguousWriteError, CyTechBotRequestError

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook


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
        """
        new_id = None
        try:
            new_id = self._hook.create_label(label_name=name, page_id=self._page_id)
        except (CyTechBotAmbiguousWriteError, CyTechBotRequestError) as error:
            failure = error
        self._read()
        if new_id is None and name not in self.id_of:
            raise failure
        return self.id_of.setdefault(name, new_id or "")


def _age(label_id: str) -> tuple[int, str]:
    return len(label_id), label_id
