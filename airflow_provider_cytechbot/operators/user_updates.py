"""What a row of a bulk update of users means, and which call it becomes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.api.fields import encode_number, field_error
from airflow_provider_cytechbot.api.times import is_relative, parse_relative_days, resolve_date
from airflow_provider_cytechbot.bulk.outcomes import UNCHANGED
from airflow_provider_cytechbot.bulk.resource import (
    NO_ENTRY,
    Change,
    InvalidRowError,
    PlannedWrite,
    Settled,
    Written,
)
from airflow_provider_cytechbot.operators.row_values import (
    checked,
    filled,
    without_value,
)

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.resource import (
        PlanFigures,
        PlannedCall,
        ResourceState,
        StateEntry,
        Steps,
    )
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook

#: The fields that a row may change, in the order in which they are sent.
FIELDS = tuple(field.name for field in endpoints.UPDATE_USER.fields if field.name != "user_id")
#: The step of an update without a day to count from: after a lost response, the values of the state may be
#: those of the user no more.
_UNKNOWN = b""
_DIGEST_BYTES = 12


class LastUpdate(NamedTuple):
    """
    What the state holds of a user: the last update that succeeded.

    :param run: The run that made it.
    :param digest: The salted digest of its values.
    :param base: The day from which its relative date was counted; empty if it had none.
    """

    run: str
    digest: str
    base: str

    @classmethod
    def of(cls, value: bytes | None) -> LastUpdate:
        """Return what was stored; for ``None`` an update that equals no other."""
        return cls(*value.decode().split("\n")) if value else cls("", "", "")

    def __bytes__(self) -> bytes:
        return "\n".join(self).encode()


class UserUpdates:
    """
    The changes of users, as the bulk engine writes them.

    :param values: The fields that every row gets, instead of those in columns of the same names.
    :param run_date: The date from which relative dates are counted; ``None``: the later of each user's
        validity and today, which is read before the user is changed.
    :param full_refresh: Send what was sent before, too.
    :raises CyTechBotFieldError: A value for all cannot be sent.
    """

    key_field = "user_id"
    finds_gone_keys = False

    def __init__(
        self, values: Mapping[str, object], *, run_date: date | None, full_refresh: bool = False
    ) -> None:
        self._run_date = run_date
        self._full_refresh = full_refresh
        self._values = self._encoded("1", values) if values else {}
        self._state: ResourceState
        self.identity: Mapping[str, str] = {"operation": "update users"}
        self.fields: Sequence[str] = ("user_id", *(name for name in FIELDS if name not in values))

    def open_state(self, state: ResourceState) -> None:
        """
        Take the state.

        :param state: The state.
        """
        self._state = state

    def plan(self, values: Mapping[str, object]) -> PlannedWrite:
        """
        Check a row and return what to write.

        :param values: The row's values by field.
        :raises InvalidRowError: The row cannot be sent.
        """
        given = {name: found for name, value in values.items() if (found := filled(value)) is not None}
        given |= self._values
        user_id = given.pop("user_id", None)
        if user_id is None:
            raise InvalidRowError("Field 'user_id' is empty or missing.")
        key = checked(encode_number, "user_id", user_id).lstrip("0")
        try:
            sent = self._encoded(key, given)
        except CyTechBotFieldError as error:
            reason = error.reason
        else:
            return PlannedWrite(key, json.dumps(sent, sort_keys=True), ",".join(sent))
        raise InvalidRowError(without_value(reason))

    def merge(self, payload: str, other: str) -> str:
        """
        Return the update of rows that are alike.

        :raises InvalidRowError: They are not: which of the values is meant cannot be known.
        """
        if payload != other:
            raise InvalidRowError("The user is in several rows with different values.")
        return payload

    def compare(self, write: PlannedWrite, entry: StateEntry) -> Change | Settled:
        """
        Return what a user needs.

        The same values are not sent again, unless the result of a later update is not known. A date that is
        counted from the validity is new in each run, but the same in all tries of a run.

        :param write: What the rows set.
        :param entry: What the state holds of the user.
        """
        last = LastUpdate.of(entry.value)
        is_of_this_run = last.run == self._state.run
        counts_from_validity = self._counts_from_validity(json.loads(write.payload))
        is_sent = last.digest == self._digest(write.payload) and (is_of_this_run or not counts_from_validity)
        if is_sent and entry.step is None and not self._full_refresh:
            return Settled(UNCHANGED, "These values were sent before.", fields=write.fields)
        day = entry.step if entry.is_of_this_run else None
        step = day or (last.base.encode() if is_of_this_run else None) or None
        if step is None and not counts_from_validity and entry != NO_ENTRY:
            step = _UNKNOWN
        return Change("update", write.payload, write.fields, step=step)

    def gone(self, key: str, entry: StateEntry) -> None:
        """Leave users alone that no row names."""

    def describe(self, payload: str) -> str:
        """Return the values that are sent; a date that is counted from the validity as its period."""
        return payload

    def check(self, figures: PlanFigures, *, plan_only: bool) -> None:
        """
        Accept any plan whose dates can be recorded.

        :param figures: The plan.
        :param plan_only: Nothing is going to be sent.
        :raises CyTechBotFieldError: Dates are counted from each user's validity, and cannot be recorded.
        """
        if self._run_date is None and not plan_only and not self._state.is_durable:
            raise field_error(
                "relative_to",
                "is 'validity', for which each date must be recorded before it is sent",
                "Give state_path or report_path, so that a retry sends the same dates.",
            )

    def prepare(self, *, plan_only: bool) -> None:
        """Do nothing: no call precedes those of the rows."""

    async def write(self, hook: CyTechBotAsyncHook, call: PlannedCall, steps: Steps) -> Written:
        """
        Send the call for a user, once.

        The day from which a date is counted is recorded before the date is sent, so that a call that is
        repeated, in this try or a later one, does not count from a validity that it has changed itself.

        :param hook: The open hook.
        :param call: The call.
        :param steps: Records the day.
        """
        sent, base = json.loads(call.payload), ""
        if self._counts_from_validity(sent):
            base = self._recorded_day(call.key)
            if not base:
                base = (await _day_to_count_from(hook, call.key)).isoformat()
                await steps.begin(base.encode())
            sent["expired_date"] = _resolved(sent["expired_date"], date.fromisoformat(base))
        outcome = await hook.call(endpoints.UPDATE_USER, max_retries=0, user_id=call.key, **sent)
        value = LastUpdate(self._state.run, self._digest(call.payload), base)
        return Written(outcome.changed, "" if outcome.changed else outcome.message or "", value=bytes(value))

    def _encoded(self, key: str, given: Mapping[str, object]) -> dict[str, str]:
        """Return the fields as they are sent; a date that is counted from the validity as its period."""
        expired_date = given.get("expired_date")
        period = ""
        if is_relative(expired_date):
            period = _as_text(expired_date)
            base = self._run_date or date.today()  # noqa: DTZ011 - only to check that the result is a date
            given = {**given, "expired_date": resolve_date("expired_date", period, base=base)}
        fields = dict(build(endpoints.UPDATE_USER, user_id=key, **given).fields)
        del fields["user_id"]
        return fields | ({"expired_date": period} if period and self._run_date is None else {})

    def _recorded_day(self, key: str) -> str:
        """Return the day that this run has recorded for a user; empty if it has none."""
        entry = self._state.entry(key)
        return entry.step.decode() if entry.step and entry.is_of_this_run else ""

    def _counts_from_validity(self, sent: Mapping[str, str]) -> bool:
        return is_relative(sent.get("expired_date"))

    def _digest(self, payload: str) -> str:
        return hashlib.blake2b(payload.encode(), key=self._state.salt, digest_size=_DIGEST_BYTES).hexdigest()


async def _day_to_count_from(hook: CyTechBotAsyncHook, user_id: str) -> date:
    """Return the later of a user's validity and today, both in the server's time zone."""
    user = await hook.call(endpoints.GET_USER, max_retries=0, user_id=user_id)
    if user["expired_date"] is None:
        raise CyTechBotFieldError("The user has no validity to count from.")
    today = datetime.now(hook.settings.server_timezone).date()
    return max(datetime.fromisoformat(user["expired_date"]).date(), today)


def _resolved(period: str, base: date) -> str:
    try:
        return resolve_date("expired_date", period, base=base)
    except CyTechBotFieldError:
        pass
    raise CyTechBotFieldError("The period from the user's validity leads out of the calendar.")


def _as_text(value: object) -> str:
    """Return a period as a text that is the same for all ways to write it."""
    period = parse_relative_days("expired_date", value)
    months = period.years * 12 + period.months
    amounts = {
        "years": int(months / 12),
        "months": int(math.fmod(months, 12)),
        "weeks": period.weeks,
        "days": period.remaining_days,
    }
    return " ".join(f"{amount:+d} {unit}" for unit, amount in amounts.items() if amount) or "+0 days"
