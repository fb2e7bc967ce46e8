"""Operators that create labels and tag subscribers with them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from numbers import Number
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.fields import (
    encode_id_list,
    encode_identifier,
    encode_text,
    read_count,
    read_switch,
)
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators.base import CyTechBotBaseOperator
from airflow_provider_cytechbot.operators.bulk_write import CyTechBotBulkOperator
from airflow_provider_cytechbot.operators.create_once import Create, create_once
from airflow_provider_cytechbot.operators.page_labels import PageLabels

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_provider_cytechbot.api.errors import CyTechBotError
    from airflow_provider_cytechbot.api.fields import IdInput

#: The most names that an error lists.
MAX_LISTED = 20

_LIST_AS_TEXT = re.compile(r"""\[\s*(['"\d].*)?\]""", re.DOTALL)


class CyTechBotCreateLabelOperator(CyTechBotBaseOperator):
    """
    Create a label.

    Calls ``POST create_label``. No two labels of a page have the same name, so if the answer to a create is
    lost, the operator looks up the label (``GET get_all_labels/``) instead of sending the create again. All
    parameters are templated.

    :param label_name: The label's name.
    :param page_id: The id of a page whose bot is enabled.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The new label's id.
    :raises CyTechBotRequestError: The API refused, for instance because the label exists.
    :raises CyTechBotAmbiguousWriteError: The answer was lost, and no such label is found (yet).
    """

    template_fields: Sequence[str] = ("label_name", "page_id", *CyTechBotBaseOperator.template_fields)

    def __init__(
        self,
        *,
        label_name: str,
        page_id: IdInput,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(cytechbot_conn_id=cytechbot_conn_id, **kwargs)
        self.label_name = label_name
        self.page_id = page_id

    def execute(self, context: Context) -> str:
        """Create the label and return its id."""
        create = Create(
            description=f"label {self.label_name!r}",
            call=self.build(endpoints.CREATE_LABEL, label_name=self.label_name, page_id=self.page_id),
            is_present=lambda label_id: label_id in self._page_labels().name_of,
            find=lambda _: self._page_labels().id_of.get(self.label_name),
        )
        return create_once(create, self.hook, context)

    def _page_labels(self) -> PageLabels:
        return PageLabels(self.hook, self.page_id)


class CyTechBotAssignLabelsOperator(CyTechBotBulkOperator):
    """
    Tag one subscriber, or those of a list, file or query, with labels. Labels that they have stay.

    Calls ``POST assign_label`` once for each subscriber, several at a time, and ``GET get_all_labels/`` once:
    the server silently ignores unknown label ids, so all labels are checked before anything is
    sent. The connection's ``requests_per_second`` holds for all calls together, and so does a pause after a
    rate limit of the server. Assigning a label twice does no harm.

    A row has a ``subscriber_id`` and, unless the operator names labels for all, ``label_ids`` (separated by
    commas, or a list) or ``label_names`` (one name, or a list). Several rows of one subscriber
    become one call. Unusable rows are ``invalid`` and do not stop the others. All parameters are templated.

    :param page_id: The id of the page that subscribers and labels belong to.
    :param label_ids: The labels for all by id: a list, or text separated by commas.
    :param label_names: The labels for all by name: a list, or one name.
    :param create_missing: Whether to create labels that the page does not have yet.
    :param max_new_labels: The most labels that ``create_missing`` creates. If more are needed, the task
        fails before anything is sent.
    :param subscriber_id: One subscriber, instead of a source.
    :param rows: The source as a list of mappings or subscriber ids, or another task's output.
    :param path: The source as a file, as a folder of files, or as the manifest of an export: CSV, JSON Lines
        or Parquet, on anything that ``ObjectStoragePath`` opens.
    :param sql: The source as a query, or as the name of a ``.sql`` file.
    :param sql_conn_id: The connection of the query, to any database with a ``DbApiHook``.
    :param sql_parameters: The parameters of the query.
    :param columns: The source column by field, for example ``{"subscriber_id": "psid"}``. Other fields are
        read from columns of the same name.
    :param where: Take only rows in which these source columns have these values, for example
        ``{"question_id": "46", "answer": ["Dog", "Cat"]}``.
    :param max_concurrency: The number of calls at a time, up to 100.
    :param report_path: Where a file with the outcome of each row is written: ``.jsonl``, ``.csv`` or
        ``.parquet``. It appears whole or not at all.
    :param on_error: With ``fail_at_end`` the task fails after all rows were tried if not all are done; with
        ``fail_fast`` it stops at the first; with ``report`` it succeeds.
    :param state_path: A folder, the same from run to run: what an earlier run did is not sent again. Without
        it and ``report_path``, a retry sends all rows again.
    :param full_refresh: Send all rows, whatever earlier runs did.
    :param shards: Into how many mapped tasks the rows are divided, by a hash of the subscriber.
    :param shard: Which of them this is, from 0: ``.partial(shards=8, …).expand(shard=list(range(8)))``.
    :param retry_report: The report of an earlier run: only rows whose key ended there without success are
        sent, ambiguous ones excepted.
    :param plan_only: Check and report only; nothing is sent and no label is created.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The subscriber's id, or for a source the manifest: ``{"report_uri", "rows", "source_rows",
        "counts", "operations", "state_uri", "plan_digest"}``. It is pushed also if the task fails afterwards.
    :raises CyTechBotRequestError: A label for all is not known, or rows were refused or invalid.
    :raises CyTechBotTransportError: Some rows got no usable response; a retry sends them again.
    """

    template_fields: Sequence[str] = (
        "page_id",
        "label_ids",
        "label_names",
        "create_missing",
        "max_new_labels",
        "subscriber_id",
        "full_refresh",
        *CyTechBotBulkOperator.template_fields,
    )

    def __init__(
        self,
        *,
        page_id: IdInput,
        label_ids: Iterable[IdInput] | str | None = None,
        label_names: Iterable[str] | str | None = None,
        create_missing: bool | str = False,
        max_new_labels: int | str = 20,
        subscriber_id: IdInput | None = None,
        rows: Iterable[Mapping[str, Any] | IdInput] | None = None,
        path: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        sql_parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        columns: Mapping[str, str] | None = None,
        where: Mapping[str, Any] | None = None,
        max_concurrency: int | str = 8,
        report_path: str | ObjectStoragePath | None = None,
        on_error: str = "fail_at_end",
        state_path: str | ObjectStoragePath | None = None,
        full_refresh: bool | str = False,
        shards: int | str = 1,
        shard: int | str = 0,
        retry_report: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        plan_only: bool | str = False,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            cytechbot_conn_id=cytechbot_conn_id,
            rows=rows,
            path=path,
            sql=sql,
            sql_conn_id=sql_conn_id,
            sql_parameters=sql_parameters,
            columns=columns,
            where=where,
            max_concurrency=max_concurrency,
            report_path=report_path,
            on_error=on_error,
            state_path=state_path,
            shards=shards,
            shard=shard,
            retry_report=retry_report,
            plan_only=plan_only,
            **kwargs,
        )
        self.page_id = page_id
        self.label_ids = label_ids
        self.label_names = label_names
        self.create_missing = create_missing
        self.max_new_labels = max_new_labels
        self.subscriber_id = subscriber_id
        self.full_refresh = full_refresh

    def execute(self, context: Context) -> str | dict[str, Any]:
        """Tag the subscribers; return the id of the one, or the manifest."""
        vars(self).pop("_page_labels", None)  # another run of the same object reads them again
        self._check_lists()
        if self.label_ids is not None and self.label_names is not None:
            raise self.refusal("label_ids", "or 'label_names' is needed, not both")
        if self.subscriber_id is None:
            return self._assign_rows(context)
        self._check_single()
        subscriber_id = self.checked(encode_identifier, "subscriber_id", self.subscriber_id)
        self.hook.assign_labels(page_id=self.page_id, subscriber_id=subscriber_id, label_ids=self._labels())
        return subscriber_id

    def _check_single(self) -> None:
        """Refuse parameters that cannot be combined with ``subscriber_id``."""
        if self.label_ids is None and self.label_names is None:
            raise self.refusal("label_ids", "or 'label_names' is needed, and neither is given")
        ignored = (
            "columns",
            "where",
            "report_path",
            "state_path",
            "retry_report",
            "sql_conn_id",
            "sql_parameters",
        )
        if given := self.given_sources + [name for name in ignored if getattr(self, name)]:
            raise self.refusal(given[0], "has no meaning with 'subscriber_id': give one or the other")
        if self.checked(read_switch, "plan_only", self.plan_only):
            raise self.refusal(
                "plan_only", "has no meaning with 'subscriber_id'", "Give rows=[subscriber_id]."
            )

    def _assign_rows(self, context: Context) -> dict[str, Any]:
        from airflow_provider_cytechbot.operators.label_assignments import LabelAssignments

        self.check_source()
        named = [name for name in ("label_ids", "label_names") if getattr(self, name) is not None]
        mapped = [name for name in ("label_ids", "label_names") if name in self.mapped_fields]
        if named and mapped:
            raise self.refusal(
                mapped[0], f"is a column of each row, and {named[0]!r} is given for all: choose one"
            )
        label_ids, label_names = self._labels_for_all()
        assignments = LabelAssignments(
            self._page_labels,
            self.checked(encode_identifier, "page_id", self.page_id),
            label_ids=label_ids,
            label_names=label_names,
            create_missing=self.checked(read_switch, "create_missing", self.create_missing),
            max_new_labels=self.checked(
                partial(read_count, at_least=0), "max_new_labels", self.max_new_labels
            ),
            full_refresh=self.checked(read_switch, "full_refresh", self.full_refresh),
        )
        return self.write_rows(assignments, context)

    def _labels_for_all(self) -> tuple[list[str] | None, list[str] | None]:
        """Return ids and names that every row gets, each known to the page or to be created."""
        if self.label_ids is not None:
            return self._known_ids(), None
        return None, None if self.label_names is None else self._known_names()

    @cached_property
    def _page_labels(self) -> PageLabels:
        return PageLabels(self.hook, self.page_id)

    def _labels(self) -> list[str]:
        """Return the labels' ids, each known to the page."""
        if self.label_names is None:
            return self._known_ids()
        names, page_labels = self._known_names(), self._page_labels
        new = [name for name in names if name not in page_labels.id_of]
        if len(new) > self.checked(partial(read_count, at_least=0), "max_new_labels", self.max_new_labels):
            raise self.refusal(
                "label_names",
                f"needs {len(new)} new labels, of which max_new_labels allows fewer",
                "Raise it.",
            )
        return [page_labels.id_of.get(name) or page_labels.create(name) for name in names]

    def _known_ids(self) -> list[str]:
        label_ids = self.checked(encode_id_list, "label_ids", self.label_ids).split(",")
        page_labels = self._page_labels
        if unknown := [label_id for label_id in label_ids if label_id not in page_labels.name_of]:
            raise self._unknown("label_ids", unknown, page_labels)
        return label_ids

    def _known_names(self) -> list[str]:
        names, page_labels = self._names(), self._page_labels
        unknown = [name for name in names if name not in page_labels.id_of]
        if unknown and not self.checked(read_switch, "create_missing", self.create_missing):
            raise self._unknown("label_names", unknown, page_labels)
        return names

    def _names(self) -> list[str]:
        given: object = self.label_names
        if isinstance(given, str):
            given = [given]
        if not isinstance(given, Iterable) or isinstance(given, bytes | bytearray | dict):
            if isinstance(given, Number):  # this error explains native rendering
                self.checked(encode_text, "label_names", given)
            raise self.refusal("label_names", f"must be a list of names, not {type(given).__name__}")
        texts = (self.checked(encode_text, "label_names", name).strip() for name in given)
        names = list(dict.fromkeys(texts))
        if not all(names or [""]):
            raise self.refusal("label_names", "is empty, or holds an empty name")
        return names

    def _check_lists(self) -> None:
        """Refuse text such as ``['1', '2']``: a list that a template turned into text."""
        for name in ("label_ids", "label_names", "rows"):
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


def _listed(items: Iterable[str]) -> str:
    """Return the items as text, shortened to the first ones of a long list."""
    texts = list(items)
    more = f" and {len(texts) - MAX_LISTED} more" if len(texts) > MAX_LISTED else ""
    return ", ".join(texts[:MAX_LISTED]) + more
