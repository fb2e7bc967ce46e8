from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotNotFoundError
from airflow_provider_cytechbot.operators.contact_groups import (
    CyTechBotCreateContactGroupOperator,
    CyTechBotDeleteContactGroupOperator,
    CyTechBotUpdateContactGroupOperator,
)


def test_create_returns_the_id(run, hook):
    hook.answers["create_contact_group"] = "7"
    assert run(CyTechBotCreateContactGroupOperator(task_id="t", name="Leads")) == "7"


def test_update_returns_the_id(run, hook):
    assert run(CyTechBotUpdateContactGroupOperator(task_id="t", contact_type_id=7, name="New")) == "7"
    assert hook.calls == [("update_contact_group", {"contact_type_id": "7", "name": "New"})]


def test_delete_returns_the_id(run, hook):
    assert run(CyTechBotDeleteContactGroupOperator(task_id="t", contact_type_id=7)) == "7"
    assert hook.calls == [("delete_contact_group", {"contact_type_id": "7"})]


def test_delete_with_missing_ok(run, hook):
    hook.answers["delete_contact_group"] = CyTechBotNotFoundError("The contact type ID does not exist")
    assert run(CyTechBotDeleteContactGroupOperator(task_id="t", contact_type_id=7, missing_ok=True)) == "7"
    with pytest.raises(CyTechBotNotFoundError):
        run(CyTechBotDeleteContactGroupOperator(task_id="t", contact_type_id=7))
