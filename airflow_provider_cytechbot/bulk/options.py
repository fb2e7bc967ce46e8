"""How a bulk write is done: the parameters that all bulk operators share."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_cytechbot.bulk.owner import Owner
from airflow_provider_cytechbot.bulk.shards import WHOLE, Shard

FAIL_AT_END, FAIL_FAST, REPORT = "fail_at_end", "fail_fast", "report"
ON_ERROR = (FAIL_AT_END, FAIL_FAST, REPORT)


@dataclass
class BulkOptions:
    """
    How rows are read and sent.

    :param columns: The source column by field.
    :param where: The wanted values by source column.
    :param max_concurrency: How many calls are under way at once.
    :param report_path: Where the report is written.
    :param on_error: What rows that are not done mean for the task.
    :param state_path: The folder of the state that lasts from run to run.
    :param retry_report: The report whose rows without success are taken again.
    :param plan_only: Send nothing.
    :param shard: The shard whose rows are sent.
    :param owner: The task instance and process.
    """

    columns: object = None
    where: object = None
    max_concurrency: int = 8
    report_path: str | None = None
    on_error: str = FAIL_AT_END
    state_path: str | None = None
    retry_report: object = None
    plan_only: bool = False
    shard: Shard = WHOLE
    owner: Owner = field(default_factory=Owner)
