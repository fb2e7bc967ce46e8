from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.api.errors import CyTechBotResponseError
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.hooks.second_reading import NoAnswersError, read_again_if_empty


@pytest.fixture
def read_again():
    """Read with the results of each reading; return the result, the readings and the log."""

    def read_again(*results):
        left, readings, lines = list(results), [], []

        def read(is_second):
            readings.append(is_second)
            if isinstance(result := left.pop(0), BaseException):
                raise result
            return result

        found = None
        error = None
        try:
            found = read_again_if_empty(
                read,
                CyTechBotHook(),
                "7",
                lambda text, *args: lines.append(text % args),
                before="export",
                kept="files and states",
            )
        except (CyTechBotResponseError, ValueError) as raised:
            error = raised
        return found, error, readings, lines

    return read_again


def test_answers_are_read_once(read_again):
    assert read_again("manifest") == ("manifest", None, [False], [])


def test_an_empty_campaign_is_read_a_second_time(read_again):
    found, error, readings, (line,) = read_again(NoAnswersError(), "manifest")
    assert (found, error, readings) == ("manifest", None, [False, True])
    assert line == "Flow campaign 7 has no answers, but its export before has some: reading a second time"


def test_a_campaign_that_stays_empty_is_an_error_that_may_be_retried(read_again):
    _, error, readings, _ = read_again(NoAnswersError(), NoAnswersError())
    assert readings == [False, True]
    assert "twice, but the export before has some. The old files and states were kept." in str(error)
    assert "allow_empty=True" in str(error)
    assert not isinstance(error, AirflowFailException)
    assert error.__context__ is None


@pytest.mark.parametrize("before", [(), (NoAnswersError(),)])
def test_other_errors_are_raised(read_again, before):
    _, error, _, _ = read_again(*before, ValueError("other"))
    assert str(error) == "other"
