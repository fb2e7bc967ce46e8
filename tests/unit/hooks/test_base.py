from __future__ import annotations

import pickle
import traceback

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.api import endpoints, errors
from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.hooks.base import CyTechBotBaseHook, as_task_error
from airflow_provider_cytechbot.hooks.secrets import hide


def hook():
    base = CyTechBotBaseHook()
    base.cytechbot_conn_id = "mine"
    return base


def test_hidden_fields_are_sent_as_they_are():
    call = hook().build_call(endpoints.CREATE_CONTACT_GROUP, {"name": hide("Riders")})
    assert call.fields == {"name": "Riders"}


def test_a_task_error_names_the_connection_and_keeps_no_frames():
    try:
        raise CyTechBotTransportError("it was cut off.", request="GET get_contact/")
    except CyTechBotTransportError as error:
        failure = hook().task_error(error)
    assert failure.connection == "mine"
    assert failure.__traceback__ is None
    assert "mine" in failure.args


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

    def test_it_is_its_public_class_and_airflows(self, cls):
        error = self.make(cls)
        assert isinstance(error, cls)
        assert isinstance(error, AirflowFailException)
        assert str(error) == "GET get_contact/ (connection 'mine'): it went wrong. Mend it."
        assert error.retryable is False

    def test_it_has_its_public_name(self, cls):
        printed = "".join(traceback.format_exception(self.make(cls)))
        assert f"airflow_provider_cytechbot.api.errors.{cls.__name__}: GET" in printed

    def test_it_is_picklable(self, cls):
        error = pickle.loads(pickle.dumps(self.make(cls)))
        assert type(error) is cls
        assert str(error) == "GET get_contact/ (connection 'mine'): it went wrong. Mend it."

    def test_a_task_error_is_not_derived_twice(self, cls):
        error = as_task_error(self.make(cls))
        assert type(error).__mro__.count(AirflowFailException) == 1
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("cls", RETRYABLE)
def test_a_retryable_error_is_returned_unchanged(cls):
    error = cls("it went wrong.")
    error.retry_after = 3.0
    assert as_task_error(error) is error
    assert not isinstance(error, AirflowFailException)
    assert error.retryable is True
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == ("it went wrong.", vars(error))


def test_the_lists_above_are_complete():
    tree = {
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.CyTechBotError)
    }
    assert tree == {*FINAL, *RETRYABLE, errors.CyTechBotUnansweredError}
