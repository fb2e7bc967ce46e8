"""
### Contacts in step with a table, after a person has seen the plan

A first task plans what a sync would send, and sends nothing. A person sees the numbers, the keys and the
names of the fields that change, and approves or rejects. The last task applies exactly that plan: if the
table has changed meanwhile so that another one would be sent, it fails, and a new plan is needed.

Needs Airflow 3.1 or newer, and the connection `cytechbot_default`.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, Param, task
from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_cytechbot.operators.contacts import CyTechBotSyncContactsOperator

#: How many keys a person sees of each kind of change.
SHOWN = 20

with DAG(
    "cytechbot_contacts_with_approval",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    render_template_as_native_obj=True,
    params={
        "contact_type_id": Param("1", type="string", title="Contact group", description="The contact group."),
        "customers": Param(
            [
                {"customer_id": "C-1", "email": "ada@shop.example", "first_name": "Ada"},
                {"customer_id": "C-2", "email": "kim@shop.example", "first_name": "Kim"},
            ],
            type="array",
            title="Customers",
            description="The people; a real DAG would read them from a warehouse.",
        ),
        "folder": Param(
            "file:///tmp/cytechbot/approved_contacts",
            type="string",
            title="Folder",
            description="Where state and reports go, for example s3://aws_default@bucket/contacts.",
        ),
    },
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START plan_and_apply]
    same = {
        "rows": "{{ params.customers }}",
        "key": "customer_id",
        "contact_type_id": "{{ params.contact_type_id | tojson }}",
        "sync_mode": "mirror",
        "state_path": "{{ params.folder }}/state",
    }
    plan = CyTechBotSyncContactsOperator(
        task_id="plan", plan_only=True, report_path="{{ params.folder }}/plan.csv", **same
    )

    @task
    def describe_plan(manifest: dict[str, Any]) -> str:
        """Return keys, operations and names of fields as Markdown. The report has no names and addresses."""
        changes = defaultdict(list)
        with ObjectStoragePath(manifest["report_uri"]).open("r", newline="") as file:
            for line in csv.DictReader(file):
                if line["operation"] != "none":
                    changes[line["operation"], line["fields"]].append(line["key"])
        lines = [
            f"- **{operation}** {len(keys):,} contacts{f' ({fields})' if fields else ''}: "
            + ", ".join(keys[:SHOWN])
            + (" …" if len(keys) > SHOWN else "")
            for (operation, fields), keys in sorted(changes.items())
        ]
        return "\n".join(lines) or "Nothing changes."

    approve = ApprovalOperator(
        task_id="approve",
        subject="Send these changes to the contact group?",
        body=describe_plan(plan.output),  # type: ignore[arg-type]
        defaults="Reject",
        response_timeout=timedelta(hours=12),
    )
    apply = CyTechBotSyncContactsOperator(
        task_id="apply",
        expected_plan_digest="{{ ti.xcom_pull('plan')['plan_digest'] | string }}",
        report_path="{{ params.folder }}/applied.csv",
        **same,
    )
    approve >> apply
    # [END plan_and_apply]
