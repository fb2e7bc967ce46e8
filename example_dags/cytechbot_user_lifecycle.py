"""
### Create a user, extend its validity, update it

Trigger it by hand: the form has fields for name, e-mail address and package. The initial password comes from
the Airflow Variable `cytechbot_initial_password`, not from the form, whose values everybody can read in the
run's configuration.

Needs that Variable, and a connection `cytechbot_default` with an admin's API key.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_cytechbot.operators.users import (
    CyTechBotCreateUserOperator,
    CyTechBotUpdateUserOperator,
)

with DAG(
    "cytechbot_user_lifecycle",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "name": Param("Kim Novak", type="string", title="Name", minLength=1),
        "email": Param("kim@example.com", type="string", title="E-mail address", format="idn-email"),
        "package_id": Param("1", type="string", title="Package", pattern="^[0-9]+$"),
        "mobile": Param("+4915112345678", type="string", title="Mobile number"),
        "trial_days": Param(
            7,
            type="integer",
            title="Days at first",
            minimum=1,
            description="How long the user may stay at first.",
        ),
        "days": Param(
            30, type="integer", title="Days", minimum=1, description="How long the extended user may stay."
        ),
    },
    tags=["cytechbot", "example"],
    doc_md=__doc__,
):
    # [START create_user]
    create_user = CyTechBotCreateUserOperator(
        task_id="create_user",
        name="{{ params.name }}",
        user_email="{{ params.email }}",
        password="{{ var.value.cytechbot_initial_password }}",  # noqa: S106
        package_id="{{ params.package_id }}",
        expired_date="+{{ params.trial_days }} days",
    )
    # [END create_user]

    # [START update_user]
    extend_user = CyTechBotUpdateUserOperator(
        task_id="extend_user",
        user_id=create_user.output,
        expired_date="+{{ params.days }} days",
    )
    update_user = CyTechBotUpdateUserOperator(
        task_id="update_user",
        user_id=create_user.output,
        mobile="{{ params.mobile }}",
    )
    # [END update_user]

    extend_user >> update_user
