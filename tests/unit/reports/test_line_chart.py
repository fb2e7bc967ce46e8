from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_cytechbot.reports.line_chart import LineChart, Point

START = datetime(2026, 11, 1, tzinfo=UTC)


def days(*numbers):
    return [START + timedelta(days=number) for number in numbers]


def test_points_stand_where_their_time_and_value_are():
    chart = LineChart(days(0, 1, 4), [0, 5, 10], [10, 10, 0])
    assert chart.lines == [
        [Point(0, 100), Point(25, 50), Point(100, 0)],
        [Point(0, 0), Point(25, 0), Point(100, 100)],
    ]


@pytest.mark.parametrize(
    ("top", "ticks"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (5, [0, 2, 4, 6]),
        (8, [0, 2, 4, 6, 8]),
        (9, [0, 5, 10]),
        (1_318, [0, 500, 1_000, 1_500]),
        (1_000_000, [0, 500_000, 1_000_000]),
    ],
)
def test_the_scale_has_a_few_round_values(top, ticks):
    chart = LineChart(days(0, 1), [0, top], [0, 0])
    assert [tick.value for tick in chart.ticks] == ticks
    assert (chart.ticks[0].y, chart.ticks[-1].y) == (100, 0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_reports_of_the_same_moment_stand_side_by_side(count):
    chart = LineChart([START] * count, [1] * count)
    assert [point.x for point in chart.lines[0]] == [100 * at / max(count - 1, 1) for at in range(count)]
