"""The server's times and dates, dates relative to the date of a run, and stored times that cannot be."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TypeAlias

import pendulum

from airflow_provider_cytechbot.api.fields import DateInput, encode_date, field_error

#: A period to add to a date: text such as ``+30 days``, a ``timedelta`` or a ``pendulum.Duration``.
RelativeDate: TypeAlias = str | timedelta

_UNITS = ("day", "week", "month", "year")
_HINT = "Write it as '+30 days', '+2 weeks', '+1 month' or '+1 year'."
_TERM = re.compile(rf"([+-]?) ?(\d{{1,5}}) ?({'|'.join(_UNITS)})s?(?: |$)", re.ASCII | re.IGNORECASE)

#: How far the clocks of workers may differ.
_CLOCK_DIFFERENCE = timedelta(days=1)


def is_future(time: datetime) -> bool:
    """
    Return whether a time that a worker has stored lies in the future, whatever the clocks of workers show.

    :param time: The time, with its offset.
    """
    return time > datetime.now(UTC) + _CLOCK_DIFFERENCE


def is_relative(value: object) -> bool:
    """
    Return whether a value is a period that is added to a date, and not a date itself.

    :param value: A ``timedelta``, or text that begins with a sign.
    """
    return isinstance(value, timedelta) or (isinstance(value, str) and value.strip()[:1] in ("+", "-"))


def resolve_date(name: str, value: DateInput | RelativeDate, *, base: date) -> str:
    """
    Return a date as ``YYYY-MM-DD``. A relative date is counted from a base date.

    :param name: The field, for the error.
    :param value: A date as for :func:`.fields.encode_date`, or a relative one such as ``+30 days``.
    :param base: The date to count from, usually that of the run. A ``datetime`` counts as its own day.
    :raises CyTechBotFieldError: The value is not a date, or the result is beyond the calendar.
    """
    if not is_relative(value):
        return encode_date(name, value)
    period = parse_relative_days(name, value)
    try:
        return (pendulum.date(base.year, base.month, base.day) + period).isoformat()
    except (ValueError, OverflowError):
        raise field_error(
            name, f"is not in the calendar: {_quoted_start(value)} from {base:%Y-%m-%d}"
        ) from None


def parse_relative_days(name: str, value: object) -> pendulum.Duration:
    """
    Return the period that a relative date adds: whole days, weeks, months and years.

    A month or year later is the same day of the month, or the last one of a shorter month.

    :param name: The field, for the error.
    :param value: Text such as ``+1 month -1 day``, a ``timedelta`` or a ``pendulum.Duration``.
    :raises CyTechBotFieldError: The value cannot be read, or is not a whole number of days.
    """
    if isinstance(value, timedelta):
        return _whole_days(name, value)
    text = " ".join(value.split()) if isinstance(value, str) else ""
    amounts = dict.fromkeys(_UNITS, 0)
    sign, at = "", 0
    while at < len(text) and (term := _TERM.match(text, at)):
        sign = term[1] or sign
        amounts[term[3].lower()] += int(term[2]) * (-1 if sign == "-" else 1)
        at = term.end()
    if not sign or at < len(text):
        raise field_error(name, f"must be a date or a period of days, not {_quoted_start(value)}", _HINT)
    return pendulum.duration(**{f"{unit}s": amount for unit, amount in amounts.items()})


def parse_time(text: str, zone: tzinfo) -> str:
    """
    Return a time of the server as ISO 8601 with its offset.

    :param text: The time, ``YYYY-MM-DD HH:MM:SS`` without a zone, or with an offset of its own.
    :param zone: The server's zone.
    :raises ValueError: The text is not a time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
        # By way of UTC: a time that the change to summer time skips becomes the time an hour later.
        with suppress(OverflowError):  # at both ends of the calendar
            moment = moment.astimezone(UTC).astimezone(zone)
    return pendulum.instance(moment).isoformat()


def parse_day(text: str) -> str:
    """
    Return a day of the server as ``YYYY-MM-DD``.

    :param text: The day, perhaps followed by a time.
    :raises ValueError: The text is not a day.
    """
    return pendulum.instance(datetime.fromisoformat(text[:10])).date().isoformat()


def _whole_days(name: str, period: timedelta) -> pendulum.Duration:
    if isinstance(period, pendulum.Duration):
        rest = (period.hours, period.minutes, period.remaining_seconds, period.microseconds)
        whole = pendulum.duration(
            years=period.years, months=period.months, weeks=period.weeks, days=period.remaining_days
        )
    else:
        rest = (0, 0, period.seconds, period.microseconds)
        whole = pendulum.duration(days=period.days)
    if any(rest):
        raise field_error(name, f"must be a whole number of days, not {_quoted_start(period)}")
    return whole


def _quoted_start(value: object) -> str:
    return repr(str(value)[:40])
