from __future__ import annotations

import pytest

from airflow_provider_cytechbot.sandbox.faults import (
    Fault,
    FaultError,
    FaultKind,
    FaultPlan,
    parse_fault,
    read_fault,
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kind=gzip", Fault(FaultKind.GZIP, "all", times=1, skip=0)),
        (
            "endpoint=create_contact,kind=reset_after,times=-1, skip=2",
            Fault(FaultKind.RESET_AFTER, "create_contact", times=-1, skip=2),
        ),
        (
            "kind=status,status=429,retry_after=1.5,retry_after_date=true,effect=True",
            Fault(FaultKind.STATUS, status=429, retry_after=1.5, retry_after_date=True, effect=True),
        ),
        ('{"kind": "body", "body": "a,b", "times": 3}', Fault(FaultKind.BODY, body="a,b", times=3)),
    ],
)
def test_read_from_text(text, fault):
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("endpoint=get_contact", "kind: is required"),
        ("kind=odd", "kind: there is no 'odd'; known are delay, "),
        ("kind=delay,second=1", "second: there is no such field; known are kind, endpoint"),
        ("kind", "'kind': must be name=value"),
        ("kind=delay,times=x", "times: must be a whole number, not 'x'"),
        ("kind=delay,seconds=x", "seconds: must be a number, not 'x'"),
        ("kind=delay,seconds=nan", "seconds: must be 0 or more"),
        ("kind=delay,seconds=inf", "seconds: must be 0 or more"),
        ("kind=delay,times=0", "times: must be 1 or more, or -1"),
        ("kind=delay,times=-2", "times: must be 1 or more, or -1"),
        ("kind=delay,skip=-1", "skip: must be 0 or more"),
        ("kind=delay,effect=maybe", "effect: must be true or false"),
        ("kind=status", "status: is required"),
        ("kind=status,status=99", "status: must be 200 to 599"),
        ("kind=status,status=204", "status: .*neither 204"),
        ("kind=trickle,size=0", "size: is too small"),
        ("kind=interim,status=200", "status: must be 100 to 199"),
        ("kind=interim,status=101", "status: .*not 101"),
        ("kind=facebook_error,code=x", "code: must be a whole number"),
        ("kind=redirect,location=/a\r\nx: y", "location: must be printable ASCII"),
        ('{"kind": 3}', "kind: must be text"),
        ("{", "is not JSON"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(FaultError, match=message) as caught:
        parse_fault(text)
    assert "\n" not in str(caught.value)


def test_not_an_object():
    with pytest.raises(FaultError, match="must be an object"):
        read_fault("gzip")


def test_effect_by_kind_and_by_order():
    assert Fault(FaultKind.RESET_AFTER).takes_effect
    assert not Fault(FaultKind.RESET_BEFORE).takes_effect
    assert not Fault(FaultKind.STATUS, status=502).takes_effect
    assert Fault(FaultKind.STATUS, status=502, effect=True).takes_effect
    assert not Fault(FaultKind.TRUNCATE, effect=False).takes_effect


def test_plan_counts_matching_requests_only():
    plan = FaultPlan()
    fault = Fault(FaultKind.GZIP, "get_contact", times=2, skip=1)
    plan.add(fault)
    request = ["get_contact", "get_user_info", "get_contact", "get_contact", "get_contact"]
    assert [plan.take(endpoint) for endpoint in request] == [None, None, fault, fault, None]
    assert plan.pending() == []


def test_plan_gives_one_fault_at_a_time_in_order():
    plan = FaultPlan()
    first, second = Fault(FaultKind.GZIP, "get_contact"), Fault(FaultKind.BOM, times=-1)
    plan.add(first)
    plan.add(second)
    assert plan.take("get_flow_campaigns") is second
    assert [plan.take("get_contact") for _ in range(3)] == [first, second, second]
    assert plan.pending() == [second]
    plan.clear()
    assert plan.take("get_contact") is None
