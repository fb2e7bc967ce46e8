from __future__ import annotations

import signal

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.api.errors import (
    CyTechBotFieldError,
    CyTechBotStorageError,
    CyTechBotStorageRefusedError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.transfers.stoppable import StoppableTransfer


def raise_after_another(error):
    try:
        raise RuntimeError("the storage's own, with its credentials")
    except RuntimeError:
        raise error  # noqa: B904


def test_returns_what_the_work_returns():
    assert StoppableTransfer().run_stoppable(lambda: 7) == 7


def test_stops_the_work_only_while_it_runs():
    transfer = StoppableTransfer()
    transfer.on_kill()
    with pytest.raises(KeyboardInterrupt, match="was stopped"):
        transfer.run_stoppable(transfer.on_kill)
    transfer.on_kill()


def test_ctrl_c_stops_the_work_as_on_kill_does():
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # as Airflow 3 does in a task's process
    try:
        with pytest.raises(KeyboardInterrupt):
            StoppableTransfer().run_stoppable(lambda: signal.raise_signal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)


def test_does_not_stop_the_removal_of_unfinished_files():
    class Discarding(StoppableTransfer):
        is_discarding = True

    transfer = Discarding()
    assert transfer.run_stoppable(lambda: transfer.on_kill() or "removed") == "removed"


@pytest.mark.parametrize("error", [CyTechBotStorageRefusedError("no"), CyTechBotFieldError("no")], ids=repr)
def test_error_that_no_retry_can_help_fails_the_task_at_once(error):
    with pytest.raises(type(error)) as caught:
        StoppableTransfer().run_stoppable(lambda: raise_after_another(error))
    assert isinstance(caught.value, AirflowFailException)
    assert caught.value.__context__ is caught.value.__cause__ is None


def test_error_of_a_storage_that_may_recover_is_left_to_a_retry():
    with pytest.raises(CyTechBotStorageError) as caught:
        StoppableTransfer().run_stoppable(lambda: raise_after_another(CyTechBotStorageError("later")))
    assert not isinstance(caught.value, AirflowFailException)
    assert caught.value.__context__ is None


def test_other_errors_pass():
    with pytest.raises(CyTechBotTransportError, match="cut off"):
        StoppableTransfer().run_stoppable(lambda: raise_after_another(CyTechBotTransportError("cut off")))
