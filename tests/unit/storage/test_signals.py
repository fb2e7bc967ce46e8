from __future__ import annotations

import signal
import threading

import pytest

from airflow_provider_cytechbot.storage.signals import HeldSignals, raised_keyboard_interrupts

SIGNALS = [signal.SIGTERM, signal.SIGALRM, signal.SIGINT]


class InterruptError(BaseException):
    """What the handlers of these tests raise."""


def interrupt(number, _):
    raise InterruptError(number)


@pytest.fixture(autouse=True)
def handlers():
    """Let each signal interrupt, as Airflow does."""
    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def hold(work):
    with HeldSignals():
        work()


def installed():
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_after_the_block(number):
    done = []

    def work():
        signal.raise_signal(number)
        done.append(number)

    with pytest.raises(InterruptError):
        hold(work)
    assert done == [number]
    assert installed() == [interrupt] * 3


def test_several_signals_interrupt_once_and_all_handlers_come_back():
    with pytest.raises(InterruptError):
        hold(lambda: [signal.raise_signal(number) for number in SIGNALS * 2])
    assert installed() == [interrupt] * 3


def test_without_a_signal_nothing_happens():
    with HeldSignals():
        assert interrupt not in installed()
    assert installed() == [interrupt] * 3


def test_an_error_of_the_block_is_raised_and_the_handlers_come_back():
    with pytest.raises(ValueError, match="of the block"), HeldSignals():
        raise ValueError("of the block")
    assert installed() == [interrupt] * 3


def test_blocks_can_be_nested():
    done = []

    def work():
        hold(lambda: signal.raise_signal(signal.SIGTERM))
        done.append("outer")

    with pytest.raises(InterruptError):
        hold(work)
    assert done == ["outer"]
    assert installed() == [interrupt] * 3


@pytest.mark.parametrize("disposition", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_signal_without_a_handler_of_python_is_left_alone(disposition):
    signal.signal(signal.SIGTERM, disposition)
    with HeldSignals():
        assert signal.getsignal(signal.SIGTERM) is disposition
    assert signal.getsignal(signal.SIGTERM) is disposition


def test_in_another_thread_nothing_is_held():
    found = []

    def work():
        with HeldSignals():
            found.append(installed())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [[interrupt] * 3]


def test_a_signal_between_the_handlers_restores_all_of_them(monkeypatch):
    """At each call of signal.signal a signal may arrive for a handler that is not held, or is back."""
    install = signal.signal
    for at in range(1, 7):
        calls = []

        def install_and_interrupt(number, handler, at=at, calls=calls):
            before = install(number, handler)
            calls.append(number)
            if len(calls) == at:
                for each in SIGNALS:
                    signal.raise_signal(each)
            return before

        monkeypatch.setattr(signal, "signal", install_and_interrupt)
        with pytest.raises(InterruptError), HeldSignals():
            pass
        monkeypatch.undo()
        assert installed() == [interrupt] * 3, at


def test_keyboard_interrupts_are_raised_where_the_system_would_end_the_process():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as Airflow 3 does in a task's process
    with pytest.raises(KeyboardInterrupt), raised_keyboard_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_keyboard_interrupts_that_are_raised_can_be_held():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    done = []

    def work():
        signal.raise_signal(signal.SIGINT)
        done.append("removed")

    with pytest.raises(KeyboardInterrupt), raised_keyboard_interrupts():
        hold(work)
    assert done == ["removed"]


@pytest.mark.parametrize("disposition", [signal.SIG_IGN, interrupt], ids=["ignored", "handled"])
def test_another_disposition_of_keyboard_interrupts_stays(disposition):
    signal.signal(signal.SIGINT, disposition)
    with raised_keyboard_interrupts():
        assert signal.getsignal(signal.SIGINT) is disposition
    assert signal.getsignal(signal.SIGINT) is disposition


def test_keyboard_interrupts_are_left_alone_in_another_thread():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    found = []

    def work():
        with raised_keyboard_interrupts():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]
