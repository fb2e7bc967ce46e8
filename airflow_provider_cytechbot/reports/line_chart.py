"""The positions of a line chart over time, as shares of its width and height."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

_MOST_TICKS = 4


class Point(NamedTuple):
    """
    A point of a line, in percent from the left and from the top.

    :param x: From the left.
    :param y: From the top.
    """

    x: float
    y: float


class Tick(NamedTuple):
    """
    A line of the vertical scale.

    :param value: Its value.
    :param y: Its position, in percent from the top.
    """

    value: int
    y: float


class LineChart:
    """
    Lines of counts over time, from zero up.

    :param times: When the values were read, in order.
    :param lines: The values of each line, one for each time.
    """

    def __init__(self, times: Sequence[datetime], *lines: Sequence[int]) -> None:
        top = max((max(line, default=0) for line in lines), default=0)
        step = _step(top)
        self._top = max(step * -(-top // step), step)
        self._times = times
        self.ticks = [Tick(value, self._y(value)) for value in range(0, self._top + 1, step)]
        self.lines = [[Point(self._x(at), self._y(value)) for at, value in enumerate(line)] for line in lines]

    def _x(self, at: int) -> float:
        first, last = self._times[0], self._times[-1]
        if first == last:
            return 100 * at / max(len(self._times) - 1, 1)
        return 100 * ((self._times[at] - first) / (last - first))

    def _y(self, value: int) -> float:
        return 100 - 100 * value / self._top


def _step(top: int) -> int:
    """Return the distance of the scale's lines: 1, 2 or 5 with any number of zeros."""
    unit = 1
    while True:
        for step in (unit, 2 * unit, 5 * unit):
            if top <= step * _MOST_TICKS:
                return step
        unit *= 10
