"""Running an event loop beside the task's main thread, where signals interrupt nothing but a wait."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

#: Seconds that a cancelled coroutine gets to end.
_END_WITHIN = 4.0


class BackgroundLoop:
    """
    Runs a coroutine in a thread of its own and waits for it.

    Airflow ends a task by raising an exception wherever its main thread is, which inside an event loop can be
    any callback. Here it is always the wait.

    :param make: Makes the coroutine, inside the loop.
    :param stop: Makes the coroutine end soon; called inside the loop.
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, None]], stop: Callable[[], None]) -> None:
        self._make = make
        self._stop = stop
        self._loop = asyncio.new_event_loop()
        self._ended = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Run the coroutine to its end. An exception in this thread makes it end, and is raised then."""
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._work,), name="bulk-write", daemon=True).start()
        try:
            while not self._ended.wait(1.0):
                pass
        except BaseException:
            self.stop()
            self._ended.wait(_END_WITHIN)
            raise
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Make the coroutine end; to be called from any thread or signal handler."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._stop)

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._make())
        except BaseException as error:  # noqa: BLE001 - raised in the other thread
            self._error = error
        finally:
            self._ended.set()
