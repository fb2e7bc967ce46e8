from __future__ import annotations

import asyncio

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.api.errors import (
    CyTechBotFieldError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
)
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook
from airflow_provider_cytechbot.hooks.flow_campaigns import MAX_LISTED, QuestionIds, find_campaign

#: The name of campaign 1 of the sandbox.
FIRST = "Product feedback"
CAMPAIGNS = [
    {"id": "1", "flow_name": "Feedback"},
    {"id": "2", "flow_name": "  New   riders "},
    {"id": "3", "flow_name": "Feedback 2"},
    {"id": "4", "flow_name": "Twice"},
    {"id": "5", "flow_name": "Twice "},
    {"id": "6", "flow_name": None},
]


@pytest.fixture
def server(cytechbot_sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", cytechbot_sandbox.connection_json(max_retries=0))
    return cytechbot_sandbox


def both(do_sync, do_async):
    """Return the results of both hooks."""

    async def run():
        async with CyTechBotAsyncHook() as hook:
            return await do_async(hook)

    return do_sync(CyTechBotHook()), asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "found"),
    [("Feedback", "1"), (" Feedback\n", "1"), ("New riders", "2"), ("Feedback  2", "3")],
)
def test_a_campaign_is_found_by_its_name(name, found):
    assert find_campaign(CAMPAIGNS, name)["id"] == found


@pytest.mark.parametrize("name", ["feedback", "Feed", "3", "None", "''"])
def test_an_unknown_name_is_not_found(name):
    with pytest.raises(CyTechBotNotFoundError) as caught:
        find_campaign(CAMPAIGNS, name)
    assert f"no flow campaign has the name {name!r}" in str(caught.value)
    assert "There are: 'Feedback' (1), " in str(caught.value)


def test_several_campaigns_with_one_name_are_an_error_with_their_ids():
    with pytest.raises(
        CyTechBotRequestError, match="2 flow campaigns have the name 'Twice': their ids are 4, 5"
    ):
        find_campaign(CAMPAIGNS, "Twice")


def test_an_error_lists_a_bounded_number_of_names():
    many = [{"id": str(each), "flow_name": "n" * 1000} for each in range(1000)]
    with pytest.raises(CyTechBotNotFoundError, match=f"and {1000 - MAX_LISTED} more") as caught:
        find_campaign(many, "x" * 1000)
    assert len(str(caught.value)) < 3000
    with pytest.raises(CyTechBotNotFoundError, match="There are none"):
        find_campaign([], "x")


def test_both_hooks_find_a_campaign(server):
    found = both(lambda hook: hook.find_flow_campaign(FIRST), lambda hook: hook.find_flow_campaign(FIRST))
    assert [each["id"] for each in found] == ["1", "1"]


def test_both_hooks_fail_a_task_at_once_for_an_unknown_name(server):
    for do in (
        lambda: CyTechBotHook().find_flow_campaign("x"),
        lambda: both(lambda _: None, lambda hook: hook.find_flow_campaign("x")),
    ):
        with pytest.raises(AirflowFailException, match="cytechbot_default"):
            do()


class TestResolve:
    @pytest.mark.parametrize(
        ("flow_campaign_id", "name", "found"),
        [("7", None, "7"), (7, "", "7"), (None, FIRST, "1"), ("", FIRST, "1")],
    )
    def test_an_id_or_a_name_is_resolved(self, server, flow_campaign_id, name, found):
        assert CyTechBotHook().resolve_flow_campaign_id(flow_campaign_id, name) == found
        assert len(server.requests()) == (1 if name else 0)

    @pytest.mark.parametrize(
        ("flow_campaign_id", "name"),
        [
            (None, None), ("", ""), ("1", FIRST), (1.0, None), ("x", None), (0, None),
            (None, 5), (None, [FIRST]), (None, "  "), (None, "a\ud800"),
        ],
    )  # fmt: skip
    def test_other_values_fail_before_any_request(self, server, flow_campaign_id, name):
        with pytest.raises(CyTechBotFieldError) as caught:
            CyTechBotHook().resolve_flow_campaign_id(flow_campaign_id, name)
        assert isinstance(caught.value, AirflowFailException)
        assert server.requests() == []


class TestQuestionIds:
    def test_come_from_answers(self, server):
        by_sync, by_async = both(
            lambda hook: hook.get_question_ids("1"), lambda hook: hook.get_question_ids("1")
        )
        assert by_sync == by_async
        assert by_sync == {question: [str(45 + index)] for index, question in enumerate(by_sync)}
        assert list(by_sync) == CyTechBotHook().get_flow_campaign("1")["questions"]

    def test_are_missing_without_answers(self, server):
        found = CyTechBotHook().get_question_ids("2")
        assert found
        assert set(map(tuple, found.values())) == {()}

    def test_of_one_text_can_be_several(self):
        found = QuestionIds(["Why?", "Why?", "Who?"])
        found.add([answer("Why?", "1"), answer("Old", "9"), answer(" Who? ", None)])
        assert not found.is_complete
        found.add([answer("Why?", "2"), answer("Why?", "1"), answer("Who?", "3")])
        assert found.is_complete
        assert found.by_text() == {"Why?": ["1", "2"], "Who?": ["3"]}


def answer(question, question_id):
    return {"question": question, "question_id": question_id, "answer": "x"}
