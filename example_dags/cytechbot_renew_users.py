"""
### Renew users

Each month, extend the validity of the users who have paid by thirty days, counted from each user's present
validity, or from today where it has ended. Each day is recorded before the new date is sent, so a task that
fails and is retried, or cleared, sends the same date once more and does not renew a user twice.

Needs a connection `cytechbot_default` with an admin's API key.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_cytechbot.operators.users import CyTechBotUpdateUsersOperator

with DAG(
    "cytechbot_renew_users",
    schedule="@monthly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "user_ids": Param(["2", "3"], type="array", title="Users", description="The users who have paid."),
        "days": Param(
            30, type="integer", title="Days", minimum=1, description="By how many days they are renewed."
        ),
        "folder": Param(
            "file:///tmp/cytechbot",
            type="string",
            title="Folder",
            description="Where reports and state go, for example s3://aws_default@bucket/cytechbot.",
        ),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):

    @task
    def read_payments(params: dict[str, Any]) -> list[str]:
        """Return the ids of the users who have paid; a real DAG would read them from the books."""
        return list(params["user_ids"])

    # [START renew_users]
    CyTechBotUpdateUsersOperator(
        task_id="renew",
        rows=read_payments(),
        expired_date="+{{ params.days }} days",
        relative_to="validity",
        state_path="{{ params.folder }}/renewals/state",
        report_path="{{ params.folder }}/renewals/{{ run_id | replace(':', '-') }}.csv",
    )
    # [END renew_users]
