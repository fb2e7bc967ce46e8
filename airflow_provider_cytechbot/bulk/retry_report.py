"""The report of an earlier run, whose rows without success are sent again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NoReturn

from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.api.redaction import mask_addresses
from airflow_provider_cytechbot.bulk import outcomes
from airflow_provider_cytechbot.bulk.sources import rows_of_files

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.ledger import Ledger
    from airflow_provider_cytechbot.bulk.shards import Shard

FIELD = "retry_report"
_LONGEST_SHOWN = 80
_HINT = (
    "Restore the file, or run without retry_report: with a state_path, rows that are done are not sent again."
)


def read_report(report: object) -> Iterator[tuple[str, bool]]:
    """
    Yield the keys of an earlier report, each with whether its row may be sent again.

    A manifest has the counts of its report: a report that does not agree with them is refused. A path may
    lead to an edited report.

    :param report: The path of the report, or the manifest of the task that wrote it.
    :raises CyTechBotError: It cannot be read, is not a report, or is damaged.
    """
    counts: Counter[str] = Counter()
    for number, line in enumerate(rows_of_files(report, FIELD), start=1):
        if not {"key", "outcome"} <= line.keys():
            _refuse(report, "is not the report of a bulk write: it has no columns 'key' and 'outcome'")
        outcome, key = _text(line["outcome"]), _text(line["key"])
        if outcome not in outcomes.OUTCOMES:
            _refuse(report, f"is damaged: line {number} has the outcome {_shown(line['outcome'])}")
        if key is None and (line["key"] not in (None, "") or outcome != outcomes.INVALID):
            _refuse(report, f"is damaged: line {number} has the key {_shown(line['key'])}")
        counts[outcome] += 1
        # A key with a line that succeeded and another that did not is sent again; an ambiguous one never.
        if outcome in outcomes.TAKEN_AGAIN:
            yield key or "", True
        elif outcome == outcomes.AMBIGUOUS:
            yield key or "", False
    if isinstance(report, Mapping) and not _agrees(counts, report.get("counts")):
        _refuse(
            report,
            f"has other rows than its manifest counts ({outcomes.describe(counts)})",
            "It is damaged, or a later run has written it. Restore it, or give its path instead of the "
            "manifest to use it as it is.",
        )


def _agrees(counts: Mapping[str, int], expected: object) -> bool:
    if expected is None:
        return True
    return isinstance(expected, Mapping) and all(
        counts[each] == expected.get(each, 0) for each in outcomes.OUTCOMES
    )


def keys_without_row(ledger: Ledger, shard: Shard) -> tuple[int, str]:
    """
    Return how many keys would be sent again but are not in the source, and the first of them.

    :param ledger: The planned rows.
    :param shard: The shard.
    """
    number, first = 0, ""
    for key in ledger.wanted_without_row():
        if shard.has(key):
            number, first = number + 1, first or key
    return number, first


def _text(value: object) -> str | None:
    """Return a value of a report as text; ``None`` for what a report never has."""
    is_text = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value).strip() or None if is_text else None


def _shown(value: object) -> str:
    return mask_addresses(repr(value)[:_LONGEST_SHOWN])


def _refuse(report: object, problem: str, hint: str = _HINT) -> NoReturn:
    path = report.get("report_uri") or report.get("uris") if isinstance(report, Mapping) else report
    raise field_error(FIELD, f"names {path}, which {problem}", hint)
