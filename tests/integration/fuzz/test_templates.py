"""Any value that a template can give to a parameter is used, or refused with an error of the provider."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.transport import retry
from tests.task_instance import task_instance

from ..kills.worker import OPERATORS
from .corpus import forget_secrets, fuzz, saved

#: By operator: parameters with which it would send a call.
GOOD = {
    "assign": {"page_id": "9", "label_ids": "5", "rows": ["1", "2"]},
    "contact": {"contact_type_id": "1", "contact_email": "ann@example.com"},
    "contact_group": {"name": "Leads"},
    "export": {"flow_campaign_id": "1", "path": "answers.csv"},
    "label": {"label_name": "VIP", "page_id": "9"},
    "sync": {
        "rows": [{"id": "1", "email": "a@b.c"}],
        "key": "id",
        "contact_type_id": "5",
        "state_path": "state",
    },
    "update": {"rows": [{"user_id": "1", "name": "Kim"}]},
    "user": {
        "name": "Kim",
        "user_email": "kim@example.com",
        "password": "pass w/ord",
        "package_id": "1",
        "expired_date": "2030-01-01",
    },
}
#: Neither a folder above nor another storage: the tests stay in a folder of their own.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/~"), max_size=12).filter(
    lambda text: text.strip() not in (".", "..")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(TEXTS, each, max_size=3) | st.tuples(each),
    max_leaves=6,
)


@pytest.fixture(scope="module", autouse=True)
def unreachable(tmp_path_factory):
    """Lead the connection to a port where nobody listens, and relative paths into a folder."""
    connection = {
        "conn_type": "cytechbot",
        "host": "http://127.0.0.1:9/api",
        "password": "1-some-key",
        "extra": {"max_retries": 0},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
        patch.setattr(retry, "FIRST_WAIT", 0.001)
        patch.chdir(tmp_path_factory.mktemp("templates"))
        yield


@fuzz(examples=120)
@saved("templates")
@given(kind=st.sampled_from(sorted(GOOD)), field=st.integers(0, 60), value=VALUES)
def test_any_rendered_value_is_used_or_refused(kind, field, value):
    operator = OPERATORS[kind](task_id="t", **GOOD[kind])
    names = sorted(operator.template_fields)
    setattr(operator, names[field % len(names)], value)
    # Airflow's own error is that of a connection's id that it does not have.
    with suppress(CyTechBotError, AirflowNotFoundException):
        operator.execute({"ti": task_instance(retries=0)})
    forget_secrets()
