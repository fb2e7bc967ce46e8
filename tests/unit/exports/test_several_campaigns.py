from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAuthError,
    CyTechBotNotFoundError,
    CyTechBotStorageError,
    CyTechBotStorageRefusedError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.exports.several_campaigns import SeveralCampaigns


def run(ids, failing):
    """Export campaigns, some of which fail, and return all outcomes and the manifests or the error."""
    expected = []

    def export(flow_campaign_id):
        if error := failing.get(flow_campaign_id):
            raise error
        return {"flow_campaign_id": flow_campaign_id}

    several = SeveralCampaigns(export, lambda outcomes: expected.append(list(outcomes)))
    try:
        return expected, several.run(ids)
    except Exception as error:  # noqa: BLE001
        return expected, error


def test_each_has_a_manifest():
    expected, manifests = run(["1", "2"], {})
    assert [each["flow_campaign_id"] for each in manifests] == ["1", "2"]
    assert expected[0] == [{"flow_campaign_id": "1", "manifest": {"flow_campaign_id": "1"}, "error": None}]
    assert len(expected[1]) == 2


@pytest.mark.parametrize(
    "error",
    [
        CyTechBotNotFoundError("there is none."),
        CyTechBotTransportError("cut off."),
        CyTechBotStorageRefusedError("is there already."),
    ],
)
def test_the_others_go_on(error):
    expected, raised = run(["1", "2", "3"], {"2": error})
    assert raised is error
    assert [each["error"] for each in expected[-1]] == [None, raised_before(error), None]
    assert str(raised).startswith("1 of 3 flow campaigns failed, 2 exported. 2: ")


def raised_before(error):
    return error.reason.partition("2: ")[2]


@pytest.mark.parametrize("error", [CyTechBotAuthError("wrong key."), CyTechBotStorageError("has no room.")])
def test_an_error_that_concerns_all_campaigns_ends_the_export(error):
    expected, raised = run(["1", "2", "3", "4"], {"2": error})
    assert len(expected[-1]) == 2
    assert str(raised).startswith("1 of 4 flow campaigns failed, 1 exported, 2 not tried. 2: ")


def test_a_retry_is_made_if_it_can_help_any():
    failing = {"1": CyTechBotNotFoundError("there is none."), "2": CyTechBotTransportError("cut off.")}
    _, raised = run(["1", "2", "3"], failing)
    assert raised is failing["2"]
    assert "1: there is none.; 2: cut off." in str(raised)


def test_the_text_stays_short():
    failing = {str(each): CyTechBotNotFoundError("x" * 10_000) for each in range(3)}
    _, raised = run(list(failing), failing)
    assert len(str(raised)) < 1000
