"""What a row of a bulk label assignment means, and which call it becomes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.fields import encode_id_list, encode_identifier, encode_text, field_error
from airflow_provider_cytechbot.api.redaction import mask_addresses
from airflow_provider_cytechbot.bulk.resource import Change, InvalidRowError, PlannedWrite, Settled, Written
from airflow_provider_cytechbot.operators.row_values import checked, filled

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.resource import (
        PlanFigures,
        PlannedCall,
        ResourceState,
        StateEntry,
        Steps,
    )
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook
    from airflow_provider_cytechbot.operators.page_labels import PageLabels

log = logging.getLogger(__name__)

#: Before the number of a label that is created only before the first call. No id begins with it.
_NEW = "\n"
_DONE_BEFORE = Settled("unchanged", "An earlier run assigned the same labels.")
#: How many unknown names are kept for the error.
_KEPT_NAMES = 20


class LabelAssignments:
    """
    The labels of subscribers, as the bulk engine writes them.

    :param labels: The page's labels.
    :param page_id: The page.
    :param label_ids: The ids of labels that every row gets.
    :param label_names: The names of labels that every row gets.
    :param create_missing: Whether names that the page does not have become labels.
    :param max_new_labels: How many labels are created at most.
    :param full_refresh: Whether labels that an earlier run assigned are assigned again.
    """

    key_field = "subscriber_id"
    fields: Sequence[str] = ("subscriber_id", "label_ids", "label_names")
    finds_gone_keys = False

    def __init__(
        self,
        labels: PageLabels,
        page_id: str,
        *,
        label_ids: Sequence[str] | None,
        label_names: Sequence[str] | None,
        create_missing: bool,
        max_new_labels: int,
        full_refresh: bool,
    ) -> None:
        self._labels = labels
        self._page_id = page_id
        self._create_missing = create_missing
        self._max_new_labels = max_new_labels
        self._full_refresh = full_refresh
        self.identity = {"operation": "assign", "page_id": page_id}
        #: Names that are to become labels, in the order in which they were read.
        self._new: dict[str, str] = {}
        self._new_ids: dict[str, str] = {}
        self._has_too_many = False
        self._unknown: dict[str, None] = {}
        self._for_all: tuple[str, str] | None = None
        if label_ids is not None:
            self._for_all = _joined(label_ids), "label_ids"
        elif label_names is not None:
            self._for_all = _joined([self._id_of(name) for name in label_names]), "label_names"
        self._of_ids_cell = lru_cache(4096)(self._of_ids)
        self._of_name_cell = lru_cache(4096)(self._of_names)

    def plan(self, values: Mapping[str, object]) -> PlannedWrite:
        """
        Check a row and return what to write.

        :param values: The row's values by field.
        :raises InvalidRowError: The row cannot be sent.
        """
        key = _subscriber(values.get("subscriber_id"))
        return PlannedWrite(key, *(self._for_all or self._of_row(values)))

    def merge(self, payload: str, other: str) -> str:
        """Return the labels of both."""
        return payload if payload == other else _joined([*payload.split(","), *other.split(",")])

    def open_state(self, state: ResourceState) -> None:
        """Do nothing: the entries of the subscribers are all that is needed."""

    def compare(self, write: PlannedWrite, entry: StateEntry) -> Change | Settled:
        """
        Return the assignment, or that an earlier run did the same one.

        :param write: The labels of a subscriber.
        :param entry: The digest of the labels that were assigned last.
        """
        if entry.value is not None and not self._full_refresh and entry.value == value_of(write.payload):
            return _DONE_BEFORE
        return Change("assign", write.payload, write.fields)

    def gone(self, key: str, entry: StateEntry) -> None:
        """Return nothing to do: the API cannot take a label away."""

    def describe(self, payload: str) -> str:
        """Return the ids, and the names of labels that are still to be created."""
        if _NEW not in payload:
            return payload
        names = {token: name for name, token in self._new.items()}
        known = (self._new_ids.get(each) or names.get(each, each) for each in payload.split(","))
        return "\n".join(sorted(known)) if not self._new_ids else _joined(known)

    def check(self, figures: PlanFigures, *, plan_only: bool) -> None:
        """Accept any plan."""

    def prepare(self, *, plan_only: bool) -> None:
        """
        Create the missing labels.

        :param plan_only: Create none.
        :raises CyTechBotFieldError: There are more than ``max_new_labels``.
        """
        if self._has_too_many or len(self._new) > self._max_new_labels:
            found = ", ".join(repr(name) for name in [*self._new][:_KEPT_NAMES])
            raise field_error(
                "label_names",
                f"needs more than the {self._max_new_labels} new labels that max_new_labels allows: {found}",
                "Check that the column holds labels, or raise max_new_labels.",
            )
        if self._unknown:
            found = ", ".join(map(repr, self._unknown))
            log.warning("Labels that page %s does not have: %s", self._page_id, mask_addresses(found))
        if not plan_only:
            for name, token in self._new.items():
                self._new_ids[token] = self._labels.create(name)

    async def write(self, hook: CyTechBotAsyncHook, call: PlannedCall, steps: Steps) -> Written:
        """
        Send the call for a subscriber.

        :param hook: The open hook.
        :param call: The subscriber and the labels.
        :param steps: Not needed: assigning a label twice does no harm.
        """
        payload = call.payload
        if _NEW in payload:
            payload = _joined([self._new_ids.get(each, each) for each in payload.split(",")])
        outcome = await hook.call(
            endpoints.ASSIGN_LABELS,
            max_retries=0,
            page_id=self._page_id,
            subscriber_id=call.key,
            label_ids=payload,
        )
        return Written(outcome.changed, outcome.message or "", None, value_of(payload))

    def _of_row(self, values: Mapping[str, object]) -> tuple[str, str]:
        ids, names = filled(values.get("label_ids")), filled(values.get("label_names"))
        if ids is not None and names is not None:
            raise InvalidRowError("The row has both label_ids and label_names.")
        if ids is not None:
            return (self._of_ids_cell if isinstance(ids, str) else self._of_ids)(ids), "label_ids"
        if names is not None:
            return (self._of_name_cell if isinstance(names, str) else self._of_names)(names), "label_names"
        raise InvalidRowError("The row has no label_ids and no label_names.")

    def _of_ids(self, cell: object) -> str:
        label_ids = checked(encode_id_list, "label_ids", cell).split(",")
        unknown = [label_id for label_id in label_ids if label_id not in self._labels.name_of]
        if unknown:
            raise self._unknown_label("label_ids", unknown[0])
        return _joined(label_ids)

    def _of_names(self, cell: object) -> str:
        if not isinstance(cell, str) and not (
            isinstance(cell, Iterable) and not isinstance(cell, bytes | Mapping)
        ):
            raise InvalidRowError(
                f"Field 'label_names' must be a name or a list of names, not {type(cell).__name__}."
            )
        names = [
            checked(encode_text, "label_names", each).strip()
            for each in ([cell] if isinstance(cell, str) else cell)
        ]
        if not all(names or [""]):
            raise InvalidRowError("Field 'label_names' has an empty name.")
        return _joined([self._id_of(name) for name in names])

    def _id_of(self, name: str) -> str:
        """Return the id of a label, or what stands for it until it is created."""
        if label_id := self._labels.id_of.get(name):
            return label_id
        if not self._create_missing:
            raise self._unknown_label("label_names", name)
        if name not in self._new:
            if len(self._new) > self._max_new_labels:
                self._has_too_many = True
                return _NEW
            self._new[name] = f"{_NEW}{len(self._new)}"
        return self._new[name]

    def _unknown_label(self, field: str, label: str) -> InvalidRowError:
        if len(self._unknown) < _KEPT_NAMES:
            self._unknown[label] = None
        return InvalidRowError(f"Field {field!r} has a label that the page does not have.")


@lru_cache(4096)
def value_of(payload: str) -> bytes:
    """Return what the state keeps of the labels of a subscriber."""
    return blake2b(payload.encode(), digest_size=8).digest()


def _subscriber(value: object) -> str:
    if filled(value) is None:
        raise InvalidRowError("Field 'subscriber_id' is empty or missing.")
    return checked(encode_identifier, "subscriber_id", value)


def _joined(label_ids: Iterable[str]) -> str:
    """Return a set of labels as one text, the same whatever their order."""
    return ",".join(sorted(set(label_ids), key=lambda label_id: (len(label_id), label_id)))
