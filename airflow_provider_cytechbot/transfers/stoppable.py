"""What transfers do when Airflow stops them, and how they raise the errors of a storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError, CyTechBotStorageError
from airflow_provider_cytechbot.hooks.base import as_task_error
from airflow_provider_cytechbot.storage.signals import raised_keyboard_interrupts

T = TypeVar("T")


class StoppableTransfer:
    """Mixin of the transfer operators."""

    _is_running = False

    def run_stoppable(self, work: Callable[[], T]) -> T:
        """
        Return what a function returns; :meth:`on_kill` and Ctrl-C stop it.

        :param work: The function that writes the files.
        :raises CyTechBotFieldError: A parameter names a location that cannot be used.
        :raises CyTechBotStorageError: The storage failed.
        """
        self._is_running = True
        try:
            with raised_keyboard_interrupts():
                return work()
        except (CyTechBotFieldError, CyTechBotStorageError) as error:
            failure = error
        finally:
            self._is_running = False
        # Outside the except, and without the storage's own exceptions: they may hold its credentials.
        failure.__context__ = None
        raise as_task_error(failure.with_traceback(None))

    def on_kill(self) -> None:
        """Interrupt the transfer, which removes its unfinished files before Airflow kills the process."""
        if self._is_running and not self.is_discarding:
            raise KeyboardInterrupt("the task was stopped")

    @property
    def is_discarding(self) -> bool:
        """Whether unfinished files are being removed, which a second signal must not interrupt."""
        return False
