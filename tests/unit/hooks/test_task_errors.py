from __future__ import annotations

import pickle
import traceback

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.api import errors
from airflow_provider_cytechbot.hooks.task_errors import as_task_error

FINAL = [
    errors.CyTechBotError,
    errors.CyTechBotSettingsError,
    errors.CyTechBotAuthError,
    errors.CyTechBotRequestError,
    errors.CyTechBotFieldError,
    errors.CyTechBotNotFoundError,
    errors.CyTechBotAmbiguousWriteError,
    errors.CyTechBotStorageRefusedError,
]
RETRYABLE = [errors.CyTechBotTransportError, errors.CyTechBotResponseError, errors.CyTechBotStorageError]


@pytest.mark.parametrize("cls", FINAL)
class TestFinal:
    def make(self, cls):
        return as_task_error(cls("it went wrong.", "Mend it.", "GET get_contact/", "mine"))

    def test_it_is_both_its_public_class_and_airflows(self, cls):
        error = self.make(cls)
        assert isinstance(error, cls)
        assert isinstance(error, AirflowFailException)
        assert str(error) == "GET get_contact/ (connection 'mine'): it went wrong. Mend it."
        assert error.retryable is False

    def test_it_goes_by_its_public_name(self, cls):
        printed = "".join(traceback.format_exception(self.make(cls)))
        assert f"airflow_provider_cytechbot.api.errors.{cls.__name__}: GET" in printed

    def test_it_is_picklable(self, cls):
        error = pickle.loads(pickle.dumps(self.make(cls)))
        assert type(error) is cls
        assert str(error) == "GET get_contact/ (connection 'mine'): it went wrong. Mend it."

    def test_once_is_enough(self, cls):
        error = as_task_error(self.make(cls))
        assert type(error).__mro__.count(AirflowFailException) == 1
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("cls", RETRYABLE)
def test_what_a_retry_can_help_stays_as_it_is(cls):
    error = cls("it went wrong.")
    error.retry_after = 3.0
    assert as_task_error(error) is error
    assert not isinstance(error, AirflowFailException)
    assert error.retryable is True
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == ("it went wrong.", vars(error))


def test_all_errors_of_the_tree_are_here():
    tree = {
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.CyTechBotError)
    }
    assert tree == {*FINAL, *RETRYABLE, errors.CyTechBotUnansweredError}
