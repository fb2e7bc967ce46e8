from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.http_status import REJECTED, is_rate_limit, is_success, is_transient


def test_only_refusals_of_the_request_itself_surely_did_nothing():
    assert all(400 <= status < 500 for status in REJECTED)
    assert not REJECTED & {402, 406, 408, 409, 410, 418, 422, 425, 451, 499}


@pytest.mark.parametrize(
    ("status", "success"), [(199, False), (200, True), (226, True), (299, True), (300, False)]
)
def test_the_body_has_the_result_where_the_status_is_success(status, success):
    assert is_success(status) is success


@pytest.mark.parametrize(
    ("status", "transient"),
    [
        (0, False),
        (100, True),
        (103, True),
        (302, False),
        (403, False),
        (408, True),
        (418, False),
        (520, True),
    ],
)
def test_transient_statuses(status, transient):
    assert is_transient(status) is transient


def test_a_503_that_names_a_wait_is_a_rate_limit():
    assert is_rate_limit(503, True)
    assert not is_rate_limit(503, False)
    assert is_rate_limit(429, False)
