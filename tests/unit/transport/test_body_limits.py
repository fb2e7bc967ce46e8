from __future__ import annotations

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.transport.body_limits import collect, max_bytes


def test_a_body_is_collected_up_to_its_limit():
    body = bytearray()
    assert collect(body, b"abc", 5)
    assert collect(body, b"de", 5)
    assert not collect(body, b"f", 5)
    assert body == b"abcde"


def test_answers_of_a_whole_campaign_may_be_largest():
    calls = (
        build(endpoints.CREATE_CONTACT_GROUP, name="Riders"),
        build(endpoints.GET_FLOW_CAMPAIGNS),
        build(endpoints.GET_FLOW_ANSWERS, flow_campaign_id=1),
    )
    limits = [max_bytes(call) for call in calls]
    assert limits == sorted(set(limits))
