from __future__ import annotations

import copy
import pickle

import pytest

from airflow_provider_cytechbot.api import errors as e

# Each class, the one it stands below, whether the same task run again can end differently.
TREE = [
    (e.CyTechBotError, Exception, False),
    (e.CyTechBotSettingsError, e.CyTechBotError, False),
    (e.CyTechBotAuthError, e.CyTechBotError, False),
    (e.CyTechBotRequestError, e.CyTechBotError, False),
    (e.CyTechBotFieldError, e.CyTechBotRequestError, False),
    (e.CyTechBotNotFoundError, e.CyTechBotRequestError, False),
    (e.CyTechBotUnansweredError, e.CyTechBotError, True),
    (e.CyTechBotTransportError, e.CyTechBotUnansweredError, True),
    (e.CyTechBotResponseError, e.CyTechBotUnansweredError, True),
    (e.CyTechBotAmbiguousWriteError, e.CyTechBotError, False),
    (e.CyTechBotStorageError, e.CyTechBotError, True),
    (e.CyTechBotStorageRefusedError, e.CyTechBotStorageError, False),
]
CLASSES = [row[0] for row in TREE]


@pytest.mark.parametrize(("cls", "parent", "retryable"), TREE, ids=lambda x: getattr(x, "__name__", str(x)))
def test_tree(cls, parent, retryable):
    assert cls.__base__ is parent
    assert cls("x").retryable is retryable


def test_no_class_is_forgotten_here():
    assert {each for each in vars(e).values() if isinstance(each, type)} == set(CLASSES)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("it broke.",), "it broke."),
        (("it broke.", "Mend it."), "it broke. Mend it."),
        (("it broke.", "", "GET x/"), "GET x/: it broke."),
        (("it broke.", "", "", "c"), "Connection 'c': it broke."),
        (("it broke.", "Mend it.", "GET x/", "c"), "GET x/ (connection 'c'): it broke. Mend it."),
    ],
)
def test_text_is_one_line(arguments, line):
    error = e.CyTechBotRequestError(*arguments)
    assert str(error) == line
    assert repr(error) == f"CyTechBotRequestError({line!r})"


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("duplicate", [lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy])
def test_survives_a_process_boundary_as_it_stands(cls, duplicate):
    error = cls("first", "hint", "GET x/", "c")
    error.reason = "later"
    error.request = "GET y/"
    again = duplicate(error)
    assert type(again) is cls
    assert vars(again) == vars(error)
    assert str(again) == "GET y/ (connection 'c'): later hint"


def test_attributes_survive_pickling():
    error = e.CyTechBotTransportError(
        "x", was_sent=False, was_rejected=True, is_transient=False, retry_after=2.5
    )
    again = pickle.loads(pickle.dumps(error))
    assert (again.was_sent, again.was_rejected, again.is_transient, again.retry_after) == (
        False,
        True,
        False,
        2.5,
    )


def test_copies_and_pickles_hold_no_masked_secret():
    error = e.CyTechBotRequestError("the key is abcd")
    error.reason = "the key is ***"
    assert error.args == ()
    assert "abcd" not in repr(error) + str(error) + str(vars(error)) + str(pickle.dumps(error))


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_that_concern_every_row(cls):
    assert cls.concerns_every_row is (cls in (e.CyTechBotSettingsError, e.CyTechBotAuthError))


@pytest.mark.parametrize(
    ("was_sent", "was_rejected", "may_have_acted"),
    [(True, False, True), (True, True, False), (False, False, False), (False, True, False)],
)
def test_whether_the_server_can_have_acted(was_sent, was_rejected, may_have_acted):
    error = e.CyTechBotResponseError("x", was_sent=was_sent, was_rejected=was_rejected)
    assert error.may_have_acted is may_have_acted


def test_an_unanswered_call_is_transient_and_may_have_acted_by_default():
    error = e.CyTechBotTransportError("x")
    assert error.is_transient
    assert error.may_have_acted
    assert error.retry_after is None
    assert not error.is_rate_limit
