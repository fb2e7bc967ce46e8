"""The plan: every row of the source checked, and the rows of one key made into one call."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.bulk.resource import InvalidRowError
from airflow_provider_cytechbot.bulk.shards import WHOLE

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.ledger import Ledger, PastResult, StoredEntry
    from airflow_provider_cytechbot.bulk.resource import BulkResource, Change, PlannedWrite, Settled
    from airflow_provider_cytechbot.bulk.shards import Shard
    from airflow_provider_cytechbot.bulk.state import RunState

_ROWS_AT_ONCE = 1_000
_LONGEST_KEY = 200


class RowFilter:
    """
    Chooses rows by the values of their columns. Values are compared as text, a missing one as ``None``.

    ``46``, ``46.0`` and ``"46"`` are equal, and so are ``True``, ``"true"`` and ``"True"``: the same
    table has them in CSV, JSON Lines and Parquet.

    :param where: The wanted value by column, or several wanted values.
    :raises CyTechBotFieldError: It is not such a mapping.
    """

    def __init__(self, where: object) -> None:
        if where is not None and not isinstance(where, Mapping):
            raise field_error("where", f"must be a mapping of columns to values, not {type(where).__name__}")
        self._wanted = {
            str(column): {_comparable(each) for each in (value if _is_several(value) else [value])}
            for column, value in (where or {}).items()
        }
        #: Columns that no row had so far.
        self.unseen = set(self._wanted)

    def __call__(self, row: object) -> bool:
        """Return whether a row is chosen."""
        if not self._wanted:
            return True
        if not isinstance(row, Mapping):
            raise field_error("where", "needs rows with columns; the source has plain values")
        if self.unseen:
            self.unseen.difference_update(row)
        return all(_comparable(row.get(column)) in values for column, values in self._wanted.items())


class ColumnMap:
    """
    Reads the fields of a resource from the columns of a row.

    :param columns: The source column by field; other fields are columns of the same name.
    :param resource: The resource.
    :raises CyTechBotFieldError: It names a field that the resource does not have.
    """

    def __init__(self, columns: object, resource: BulkResource) -> None:
        if columns is not None and not isinstance(columns, Mapping):
            raise field_error(
                "columns", f"must be a mapping of fields to columns, not {type(columns).__name__}"
            )
        named: Mapping[Any, Any] = columns or {}
        if unknown := [field for field in named if field not in resource.fields]:
            raise field_error(
                "columns",
                f"names {unknown[0]!r}, which is not a field",
                f"Fields: {', '.join(resource.fields)}.",
            )
        self._key_field = resource.key_field
        self._columns = [(field, str(named.get(field, field))) for field in resource.fields]
        #: Columns that were named and that no row had so far, and the key's column.
        self.unseen = {self._key_column, *(str(column) for column in named.values())}

    @property
    def _key_column(self) -> str:
        return dict(self._columns)[self._key_field]

    def see(self, row: object) -> None:
        """Note the columns of a row, chosen or not."""
        if self.unseen:
            self.unseen.difference_update(row if isinstance(row, Mapping) else set(self.unseen))

    def __call__(self, row: object) -> dict[str, object]:
        """Return the values of a row by field."""
        if not isinstance(row, Mapping):
            return {self._key_field: plain_value(row)}
        return {
            # Most values are text, for which a call of the function would take most of the time.
            field: value.strip() if type(value := row[column]) is str else plain_value(value)
            for field, column in self._columns
            if column in row
        }


def plain_value(value: object) -> object:
    """
    Return a value of a source as a resource checks it.

    Text loses the space around it. A ``Decimal`` without a fraction, which is what some databases make of
    large whole numbers, becomes an ``int``.

    :param value: The value.
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return value


def make_plan(
    rows: Iterable[object],
    ledger: Ledger,
    resource: BulkResource,
    *,
    row_filter: RowFilter,
    column_map: ColumnMap,
    is_wanted: Callable[[str | None], bool] = lambda key: True,
    shard: Shard = WHOLE,
) -> int:
    """
    Write every row to the ledger and return how many rows the source has.

    :param rows: The rows.
    :param ledger: A ledger without rows.
    :param resource: What checks the rows.
    :param row_filter: Chooses the rows.
    :param column_map: Reads the rows.
    :param is_wanted: Chooses rows by their keys.
    :param shard: The shard whose rows are written. Rows of others are checked only.
    :raises CyTechBotFieldError: A column that a parameter names is in no row.
    """
    numbered = enumerate(rows, start=1)
    source_rows = 0
    while batch := list(islice(numbered, _ROWS_AT_ONCE)):
        source_rows = batch[-1][0]
        valid: list[tuple[int, PlannedWrite]] = []
        invalid: list[tuple[int, str | None, str]] = []
        elsewhere: list[PlannedWrite] = []
        for number, row in batch:
            column_map.see(row)
            if not row_filter(row):
                continue
            values = column_map(row)
            try:
                write = resource.plan(values)
            except InvalidRowError as error:
                if error.key is None:
                    ledger.rows_without_key += 1
                key = error.key or _text(values.get(resource.key_field))
                key = key and key[:_LONGEST_KEY]  # as the report shows it
                if shard.has(key) and is_wanted(key):
                    invalid.append((number, key, error.reason))
                continue
            if shard.has(write.key) and is_wanted(write.key):
                valid.append((number, write))
            elif write.unique:
                elsewhere.append(write)
        ledger.add_valid(valid)
        ledger.add_invalid(invalid)
        ledger.add_shared(elsewhere)
    if source_rows:
        _refuse_unseen(row_filter, column_map)
    ledger.refuse_shared_values()
    ledger.merge_rows(resource.merge)
    return source_rows


def compare(ledger: Ledger, resource: BulkResource, state: RunState, *, finds_gone: bool) -> None:
    """
    Decide for each key whether anything is sent.

    :param ledger: The rows.
    :param resource: What compares them.
    :param state: What earlier runs and tries left.
    :param finds_gone: Whether keys without a row are looked for.
    """

    def decide(write: PlannedWrite, stored: StoredEntry) -> Change | Settled | PastResult:
        found = state.past_result(write.key, lambda: resource.describe(write.payload))
        return found or resource.compare(write, state.entry_of(stored))

    ledger.compare_all(decide)
    ledger.add_gone(state.past_deletes())
    if finds_gone and not ledger.rows_without_key:
        ledger.add_gone(
            (key, decision)
            for key, entry in state.gone_entries()
            if (decision := resource.gone(key, entry)) is not None
        )


def digest_of(ledger: Ledger, resource: BulkResource) -> str:
    """
    Return a digest of what is planned: of keys, operations and values, whatever their order.

    :param ledger: The planned rows.
    :param resource: The resource.
    """
    total = 0
    for phase in ledger.phases():
        for call in ledger.calls(phase):
            text = "\n".join((call.operation, call.key, call.fields, resource.describe(call.payload)))
            total += int.from_bytes(hashlib.sha256(text.encode()).digest())
    return f"{total % 2**256:064x}"


def _refuse_unseen(row_filter: RowFilter, column_map: ColumnMap) -> None:
    for parameter, unseen in (("where", row_filter.unseen), ("columns", column_map.unseen)):
        if unseen:
            raise field_error(
                parameter,
                f"needs the column {min(unseen)!r}, which no row of the source has",
                "Check the name.",
            )


def _is_several(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | Mapping)


def _comparable(value: object) -> str | None:
    """Return a value as text that is the same whatever the type in which a format keeps it."""
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    text = _text(value)
    return text.lower() if text in ("True", "False", "TRUE", "FALSE") else text


def _text(value: object) -> str | None:
    """Return a value as text; an empty one, as CSV writes a missing value, as ``None``."""
    return None if value is None else str(value).strip() or None
