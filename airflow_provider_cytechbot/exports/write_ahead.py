"""A thread that writes, so that answers are read while the store takes what was read before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar

T = TypeVar("T")

#: How many calls are handed over together: one is made for each block of the body, and handing over costs.
_CALLS_AT_A_TIME = 8
#: How many such lots may wait while one is worked on. More would cost memory, and a slow store stays slow.
_LOTS_AHEAD = 2
#: How many seconds a part that is being sent has when all is given up. Airflow kills a task after sixty.
_SECONDS_TO_STOP = 20


class WriteAhead:
    """
    Makes calls in a thread of its own, in order, a little later than they are asked for.

    What one of them raises is raised by a later :meth:`call`, at the latest by :meth:`finish`; those behind
    it are not made.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "write-ahead")
        self._lots: deque[Future[None]] = deque()
        self._calls: list[Callable[[], object]] = []
        self._is_stopped = False

    def call(self, function: Callable[[T], object], argument: T) -> None:
        """
        Have a call made, and wait while too many are ahead of it.

        :param function: What to call. Nobody else may call it meanwhile.
        :param argument: What with.
        """
        self._calls.append(partial(function, argument))
        if len(self._calls) < _CALLS_AT_A_TIME:
            return
        while len(self._lots) > _LOTS_AHEAD:
            self._lots.popleft().result()
        self._hand_over()

    def finish(self) -> None:
        """Wait until all calls are made."""
        self._hand_over()
        self._thread.shutdown()
        while self._lots:
            self._lots.popleft().result()

    def stop(self) -> None:
        """Make no more calls; wait for the one that is being made."""
        self._is_stopped = True
        wait(self._lots, timeout=_SECONDS_TO_STOP)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _hand_over(self) -> None:
        self._lots.append(self._thread.submit(self._make, self._calls))
        self._calls = []

    def _make(self, calls: list[Callable[[], object]]) -> None:
        for call in calls:
            if self._is_stopped:
                return
            try:
                call()
            except BaseException:
                self._is_stopped = True
                raise
