"""Operators that create labels and tag subscribers with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Sized
from itertools import islice
from numbers import Number
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotRequestError,
    CyTechBotUnansweredError,
)
from airflow_provider_cytechbot.api.fields import encode_id_list, encode_identifier, encode_text, read_switch
from airflow_provider_cytechbot.operators.base import CyTechBotBaseOperator
from airflow_provider_cytechbot.operators.create_once import Create, create_once
from airflow_provider_cytechbot.operators.page_labels import PageLabels

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_cytechbot.api.fields import IdInput

#: How many names or refusals an error lists: enough to act on, not more than one reads.
MAX_LISTED = 20
#: How many subscribers of each kind the XCom names.
MAX_IN_XCOM = 100
#: So many unanswered calls one after the other are not about a subscriber: the server is gone.
MAX_UNKNOWN_IN_A_ROW = 3

_LIST_AS_TEXT = re.compile(r"""\[\s*(['"\d].*)?\]""", re.DOTALL)


class CyTechBotCreateLabelOperator(CyTechBotBaseOperator):
    """
    Create a label.

    Calls ``POST create_label``. No two labels of a page have the same name, so if the answer to a create is
    lost, the operator looks the label up (``GET get_all_labels/``) instead of sending the create again. All
    parameters are templated.

    :param label_name: The label's name.
    :param page_id: The id of a page whose bot is enabled.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The new label's id.
    :raises CyTechBotRequestError: The API refused, for instance because the label exists.
    :raises CyTechBotAmbiguousWriteError: The answer was lost, and no such label is found (yet).
    """

    template_fields: Sequence[str] = ("label_name", "page_id", *CyTechBotBaseOperator.template_fields)

    def __init__(self, *, label_name: str, page_id: IdInput, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.label_name = label_name
        self.page_id = page_id

    def execute(self, context: Context) -> str:
        """Create the label and return its id."""
        create = Create(
            what=f"label {self.label_name!r}",
            call=self.build(endpoints.CREATE_LABEL, label_name=self.label_name, page_id=self.page_id),
            exists=lambda label_id: label_id in self._page_labels().name_of,
            look=lambda _: self._page_labels().id_of.get(self.label_name),
        )
        return create_once(create, self.hook, context)

    def _page_labels(self) -> PageLabels:
        return PageLabels(self.hook, self.page_id)


class CyTechBotAssignLabelsOperator(CyTechBotBaseOperator):
    """
    Tag one subscriber, or several, with labels. Labels that they already have stay.

    Calls ``POST assign_label`` for each subscriber, and ``GET get_all_labels/`` once: the server silently
    ignores label ids that it does not know, so all labels are checked before anything is sent.

    With ``subscriber_ids``, the subscribers are tagged one after the other over one connection. If the API
    refuses some of them, the others are still tagged; then the task fails and names those refused. If answers
    are lost, the others are still tried, unless three in a row are lost, and Airflow retries the task. Unless
    everybody was tagged, the XCom ``outcome`` holds the number of subscribers in each group, and the first
    100 of each: ``{"counts": {...}, "assigned": [id], "refused": {id: reason}, "unknown": {id: reason},
    "not_tried": [id]}``. Running the task again does no harm. All parameters are templated.

    :param page_id: The id of the page that subscribers and labels belong to.
    :param label_ids: The labels by id: a list, or text separated by commas. Either this or ``label_names``.
    :param label_names: The labels by name: a list, or one name.
    :param create_missing: Whether to create labels of ``label_names`` that the page does not have yet.
    :param subscriber_id: One subscriber. Either this or ``subscriber_ids``.
    :param subscriber_ids: Several subscribers: a list, or text separated by commas. An empty list is no
        error.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The id of the subscriber, or the list of ids, that now have the labels.
    :raises CyTechBotRequestError: A label is not known, or the API refused some of the subscribers.
    :raises CyTechBotTransportError: Some answers were lost; a retry tags those subscribers again.
    """

    template_fields: Sequence[str] = (
        "page_id",
        "label_ids",
        "label_names",
        "create_missing",
        "subscriber_id",
        "subscriber_ids",
        *CyTechBotBaseOperator.template_fields,
    )

    def __init__(
        self,
        *,
        page_id: IdInput,
        label_ids: Iterable[IdInput] | str | None = None,
        label_names: Iterable[str] | str | None = None,
        create_missing: bool | str = False,
        subscriber_id: IdInput | None = None,
        subscriber_ids: Iterable[IdInput] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.page_id = page_id
        self.label_ids = label_ids
        self.label_names = label_names
        self.create_missing = create_missing
        self.subscriber_id = subscriber_id
        self.subscriber_ids = subscriber_ids

    def execute(self, context: Context) -> str | list[str]:
        """Tag the subscribers and return their ids."""
        self._check_choice("label_ids", "label_names")
        self._check_choice("subscriber_id", "subscriber_ids")
        self._check_lists()
        if self.subscriber_id is None:
            return self._assign_to_each(self._subscribers(), context)
        subscriber_id = self.checked(encode_identifier, "subscriber_id", self.subscriber_id)
        self.hook.assign_labels(page_id=self.page_id, subscriber_id=subscriber_id, label_ids=self._labels())
        return subscriber_id

    def _check_choice(self, one: str, other: str) -> None:
        given = [name for name in (one, other) if getattr(self, name) is not None]
        if len(given) != 1:
            raise self.refusal(
                one, f"or {other!r} is needed, {'not both' if given else 'and neither is given'}"
            )

    def _subscribers(self) -> list[str]:
        if isinstance(self.subscriber_ids, Sized) and not self.subscriber_ids:
            return []
        return self.checked(encode_id_list, "subscriber_ids", self.subscriber_ids).split(",")

    def _labels(self) -> list[str]:
        """Return the labels' ids, each known to the page."""
        page_labels = PageLabels(self.hook, self.page_id)
        if self.label_names is None:
            label_ids = self.checked(encode_id_list, "label_ids", self.label_ids).split(",")
            if unknown := [label_id for label_id in label_ids if label_id not in page_labels.name_of]:
                raise self._unknown("label_ids", unknown, page_labels)
            return label_ids
        names = self._names()
        unknown = [name for name in names if name not in page_labels.id_of]
        if unknown and not self.checked(read_switch, "create_missing", self.create_missing):
            raise self._unknown("label_names", unknown, page_labels)
        return [page_labels.id_of.get(name) or page_labels.create(name) for name in names]

    def _names(self) -> list[str]:
        given: object = self.label_names
        if isinstance(given, str):
            given = [given]
        if not isinstance(given, Iterable) or isinstance(given, bytes | bytearray | dict):
            if isinstance(given, Number):  # which says how to keep it text
                self.checked(encode_text, "label_names", given)
            raise self.refusal("label_names", f"must be a list of names, not {type(given).__name__}")
        texts = (self.checked(encode_text, "label_names", name).strip() for name in given)
        names = list(dict.fromkeys(texts))
        if not all(names or [""]):
            raise self.refusal("label_names", "is empty, or holds an empty name")
        return names

    def _check_lists(self) -> None:
        """Refuse text such as ``['1', '2']``: a list that a template turned into text."""
        for name in ("label_ids", "label_names", "subscriber_ids"):
            value = getattr(self, name)
            if isinstance(value, str) and _LIST_AS_TEXT.fullmatch(value.strip()):
                raise self.refusal(
                    name,
                    f"is the text of a list: {value[:40]!r}",
                    "Pass the list itself (task.output), or give the DAG render_template_as_native_obj=True. "
                    f"If it is one name, pass [{value.strip()!r}].",
                )

    def _unknown(self, name: str, unknown: list[str], page_labels: PageLabels) -> CyTechBotError:
        known = _listed(f"{label_name!r} ({label_id})" for label_name, label_id in page_labels.id_of.items())
        return self.refusal(
            name,
            f"names labels that page {self.page_id} does not have: {_listed(map(repr, unknown))}",
            f"It has: {known or 'none'}.",
        )

    def _assign_to_each(self, subscriber_ids: list[str], context: Context) -> list[str]:
        if not subscriber_ids:
            self.log.info("There is no subscriber to tag.")
            return []
        label_ids = self._labels()
        outcome = Outcome(subscriber_ids)
        try:
            for subscriber_id in subscriber_ids:
                try:
                    self.hook.assign_labels(
                        page_id=self.page_id, subscriber_id=subscriber_id, label_ids=label_ids
                    )
                    outcome.add_assigned(subscriber_id)
                except CyTechBotRequestError as error:
                    outcome.add_refused(subscriber_id, error)
                except CyTechBotUnansweredError as error:
                    outcome.add_unknown(subscriber_id, error)
                    if outcome.unknown_in_a_row == MAX_UNKNOWN_IN_A_ROW:
                        break
        finally:
            self.log.info("%s", outcome)
            if len(outcome.assigned) < len(subscriber_ids) and self.do_xcom_push:
                self._push(outcome, context)
        if failure := outcome.error:
            raise self.hook.task_error(failure)
        return outcome.assigned

    def _push(self, outcome: Outcome, context: Context) -> None:
        try:
            context["ti"].xcom_push(key="outcome", value=outcome.as_xcom())
        except Exception as error:  # noqa: BLE001 - the error to tell is the one that led here
            self.log.warning("The XCom 'outcome' could not be written (%s).", type(error).__name__)


class Outcome:
    """
    What came of each of several subscribers.

    :param subscriber_ids: All that are to be tried.
    """

    def __init__(self, subscriber_ids: list[str]) -> None:
        self._all = subscriber_ids
        self.assigned: list[str] = []
        self.refused: dict[str, str] = {}
        self.unknown: dict[str, str] = {}
        #: How many of the last ones got no answer, one after the other.
        self.unknown_in_a_row = 0
        self._unanswered: CyTechBotUnansweredError | None = None

    def add_assigned(self, subscriber_id: str) -> None:
        """Note a subscriber who has the labels now."""
        self.assigned.append(subscriber_id)
        self.unknown_in_a_row = 0

    def add_refused(self, subscriber_id: str, error: CyTechBotRequestError) -> None:
        """Note a subscriber whom the API refused."""
        self.refused[subscriber_id] = error.reason
        self.unknown_in_a_row = 0

    def add_unknown(self, subscriber_id: str, error: CyTechBotUnansweredError) -> None:
        """Note a subscriber of whom no answer tells."""
        self.unknown[subscriber_id] = error.reason
        self.unknown_in_a_row += 1
        self._unanswered = error

    @property
    def not_tried(self) -> list[str]:
        """Those that were not come to."""
        return self._all[len(self.assigned) + len(self.refused) + len(self.unknown) :]

    @property
    def error(self) -> CyTechBotError | None:
        """What the task fails with: if any answer was lost, an error after which Airflow tries again."""
        if self._unanswered:
            self._unanswered.reason = f"{self} {self._unanswered.reason}"
            return self._unanswered
        if not self.refused:
            return None
        return CyTechBotRequestError(
            f"{len(self.refused)} of {len(self._all)} subscribers were refused: "
            f"{_listed(f'{subscriber_id}: {reason}' for subscriber_id, reason in self.refused.items())}",
            "See the XCom 'outcome'.",
            "POST assign_label",
        )

    def as_xcom(self) -> dict[str, Any]:
        """Return the counts, and the first of each kind."""
        counts = {kind: len(getattr(self, kind)) for kind in ("assigned", "refused", "unknown", "not_tried")}
        return {
            "counts": counts,
            "assigned": self.assigned[:MAX_IN_XCOM],
            "refused": dict(islice(self.refused.items(), MAX_IN_XCOM)),
            "unknown": dict(islice(self.unknown.items(), MAX_IN_XCOM)),
            "not_tried": self.not_tried[:MAX_IN_XCOM],
        }

    def __str__(self) -> str:
        return (
            f"Tagged {len(self.assigned)} of {len(self._all)} subscribers; {len(self.refused)} refused, "
            f"{len(self.unknown)} unknown, {len(self.not_tried)} not tried."
        )


def _listed(items: Iterable[str]) -> str:
    """Return the items as a text, the first of them where there are many."""
    texts = list(items)
    more = f" and {len(texts) - MAX_LISTED} more" if len(texts) > MAX_LISTED else ""
    return ", ".join(texts[:MAX_LISTED]) + more
