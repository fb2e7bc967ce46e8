"""Signals that interrupt a task, held while a file is created or removed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Self

#: Airflow stops a task with SIGTERM, and its ``execution_timeout`` uses SIGALRM.
_TERMINATE, _TIMEOUT, _KEYBOARD = signal.SIGTERM, signal.SIGALRM, signal.SIGINT


class HeldSignals:
    """
    Holds signals until the end of the block, where their handlers are called, which usually raise.

    Without it, a signal between the creation of a file and its registration, or during its removal, would
    leave the file behind. Signals are handled in the main thread; in others this does nothing.
    """

    def __enter__(self) -> Self:
        self._received: list[int] = []
        self._restore: dict[int, Callable[[], object]] = {}
        if threading.current_thread() is threading.main_thread():
            try:
                for number in (_TERMINATE, _TIMEOUT, _KEYBOARD):
                    handler = signal.getsignal(number)
                    if callable(handler):
                        self._restore[number] = partial(signal.signal, number, handler)
                        signal.signal(number, self._hold)
            except BaseException:
                self._restore_all()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._restore_all()
        for number in self._received:
            signal.raise_signal(number)

    def _hold(self, number: int, _: FrameType | None) -> None:
        self._received.append(number)

    def _restore_all(self) -> None:
        # Each handler that is back can raise at once. The others have to come back all the same.
        terminate, timeout, keyboard = (
            self._restore.get(number, int) for number in (_TERMINATE, _TIMEOUT, _KEYBOARD)
        )
        try:
            terminate()
        finally:
            try:
                timeout()
            finally:
                keyboard()


@contextmanager
def raised_keyboard_interrupts() -> Iterator[None]:
    """
    Let SIGINT raise ``KeyboardInterrupt`` in the block, as everywhere in Python.

    In a task's process, Airflow 3 restores the system's default: Ctrl-C, which its supervisor passes on, ends
    the process before anything is cleaned up.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(_KEYBOARD) is not signal.SIG_DFL:
        yield
        return
    signal.signal(_KEYBOARD, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(_KEYBOARD, signal.SIG_DFL)
