"""Contacts as the bulk engine writes them: rows and state in, calls out, with the guards between."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotFieldError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.bulk.resource import Change, InvalidRowError, PlannedWrite, Settled, Written
from airflow_provider_cytechbot.operators.contact_calls import ContactCalls
from airflow_provider_cytechbot.operators.contact_plan import (
    CREATE,
    MIRROR,
    RECREATE,
    ContactPlan,
    ContactRules,
    decode_payload,
    describe_payload,
    is_adoption,
)
from airflow_provider_cytechbot.operators.contact_rows import CONTACT_ID, ContactRow, read_key, read_row
from airflow_provider_cytechbot.operators.contact_state import FIELDS, Contact

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.resource import (
        PlanFigures,
        PlannedCall,
        ResourceState,
        StateEntry,
        Steps,
    )
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook
    from airflow_provider_cytechbot.operators.contact_options import ContactGroupChoice, PlanGuards

log = logging.getLogger(__name__)

#: The names of what the state remembers as a whole.
_GROUP_ID, _GROUP_NAME, _GROUP_BEGAN, _ACCEPTED = (
    "contact_type_id",
    "contact_group_name",
    "group_create_began",
    "accepted_plan",
)
#: How often a row waits for an address that another row may give up: less often than calls are repeated.
_MOST_WAITS = 3
_PLAN_AGAIN = "Plan again (plan_only=True) and pass its plan_digest."


class ContactSync:
    """
    Keeps contacts in step with rows.

    :param rules: How rows are compared with the state.
    :param guards: What a plan must not exceed.
    :param group: The contact group.
    :param key: The column that identifies a row.
    :param on_missing: ``report`` or ``recreate``.
    :param has_shards: Whether the rows are divided among several tasks.
    """

    identity: Mapping[str, str] = {"operation": "sync contacts"}

    def __init__(
        self,
        rules: ContactRules,
        guards: PlanGuards,
        group: ContactGroupChoice,
        *,
        key: str,
        on_missing: str,
        has_shards: bool = False,
    ) -> None:
        self.key_field = key
        self.fields: Sequence[str] = tuple(dict.fromkeys((key, *FIELDS, CONTACT_ID)))
        self.finds_gone_keys = rules.sync_mode == MIRROR
        self._rules = rules
        self._guards = guards
        self._group = group
        self._on_missing = on_missing
        self._has_shards = has_shards
        self._group_id = ""
        self._rows = 0
        self._needs_group = False
        #: Contacts that stay although the key is gone that they were made for: another key has them.
        self._adopted: set[str] = set()
        self._waits: Counter[str] = Counter()
        self._state: ResourceState
        self._plan: ContactPlan
        self._calls: ContactCalls

    def open_state(self, state: ResourceState) -> None:
        """Take the state, and find the group in it."""
        self._state = state
        self._plan = ContactPlan(self._rules, state.salt)
        self._group_id = self._find_group(state.header)

    def plan(self, values: Mapping[str, object]) -> PlannedWrite:
        """Check a row."""
        self._rows += 1
        key = read_key(self.key_field, values.get(self.key_field))
        try:
            row = read_row(values)
        except InvalidRowError as error:
            raise InvalidRowError(error.reason, key) from None
        email, phone_number, *_ = row.texts
        unique = []
        if email:
            unique.append(("email", _digest(email.casefold())))
        if phone_number:
            unique.append(("phone_number", _digest(phone_number)))
        if row.contact_id:
            unique.append((CONTACT_ID, row.contact_id))
            if self._has_shards and self.finds_gone_keys:
                # The row may be another shard's, which adopts a contact of this one.
                self._adopted.add(row.contact_id)
        if key in self._rules.forget:
            row = row._replace(is_forgotten=True)
        return PlannedWrite(key, row.encode(), "", unique)

    def merge(self, payload: str, other: str) -> str:
        """Refuse a key that occurs twice."""
        raise InvalidRowError("The key occurs in more than one row.")

    def compare(self, write: PlannedWrite, entry: StateEntry) -> Change | Settled:
        """Return what a key needs."""
        row = ContactRow.decode(write.payload)
        change = self._plan.of_row(row, entry)
        if self.finds_gone_keys:
            if isinstance(change, Change) and is_adoption(change.payload):
                self._adopted.add(row.contact_id)
            if entry.value and (adopted := Contact.adopted_id(entry.value)):
                self._adopted.add(adopted)
        return change

    def gone(self, key: str, entry: StateEntry) -> Change | Settled | None:
        """Return what a key needs that the state alone has."""
        return self._plan.of_gone(key, entry, self._adopted)

    def describe(self, payload: str) -> str:
        """Return a payload without what differs between two states of the same contacts."""
        return describe_payload(payload)

    def check(self, figures: PlanFigures, *, plan_only: bool) -> None:
        """Check the guards."""
        if figures.unreadable_keys and self.finds_gone_keys:
            log.warning(
                "%s rows have no readable key: no contact is deleted.", f"{figures.unreadable_keys:,}"
            )
        found = self._guards.problems(figures)
        if self.finds_gone_keys and not self._rows and figures.state_keys:
            problem = (
                f"is 'mirror' and the source is empty, but the state has {figures.state_keys:,} contacts"
            )
            found.insert(0, ("sync_mode", problem, "Check the source. Use 'upsert' to delete nothing."))
        expected = self._guards.expected_plan_digest
        accepted = f"{self._state.run} {expected}"
        is_accepted = self._state.header.get(_ACCEPTED) == accepted
        if expected and figures.digest != expected and not is_accepted:
            found.append(("expected_plan_digest", "is the digest of another plan", _PLAN_AGAIN))
        if plan_only:
            for name, problem, hint in found:
                log.warning(
                    "With plan_only=False, this plan would be refused: %s %s. %s", name, problem, hint
                )
            return
        if found:
            raise field_error(*found[0])
        if expected and not is_accepted:
            self._state.remember(_ACCEPTED, accepted)
        self._needs_group = any(figures.operations.get(each) for each in (CREATE, RECREATE, "update"))

    def prepare(self, *, plan_only: bool) -> None:
        """Create the group, on the first run that needs it, and remember it."""
        if plan_only:
            return
        if not self._group_id and self._needs_group:
            self._group_id = self._create_group()
        if self._group_id:
            log.info("The contacts are those of contact group %s.", self._group_id)
        if self._group_id and self._state.header.get(_GROUP_ID) != self._group_id:
            self._state.remember(_GROUP_ID, self._group_id)
        self._calls = ContactCalls(
            self._group_id,
            self._state.salt,
            self._on_missing,
            lambda texts: self._plan.is_released(ContactRow(tuple(texts))),
        )

    async def write(self, hook: CyTechBotAsyncHook, call: PlannedCall, steps: Steps) -> Written:
        """Send the calls of a change."""
        wanted, how = decode_payload(call.payload)
        payload = {**how, "wanted": wanted}
        try:
            return await self._send(hook, call, payload, steps)
        except (CyTechBotFieldError, CyTechBotNotFoundError):
            raise
        except CyTechBotRequestError as error:
            failure: CyTechBotError = error
        has_row = call.operation in (CREATE, RECREATE, "update") and "adopt" not in payload
        if has_row and self._may_be_freed(call.key, wanted):
            failure = CyTechBotTransportError(
                f"{failure.reason} Another row of the plan may give up the address.", was_rejected=True
            )
        raise failure

    async def _send(
        self, hook: CyTechBotAsyncHook, call: PlannedCall, payload: dict[str, Any], steps: Steps
    ) -> Written:
        calls = self._calls
        if "forget" in payload:
            value = payload.get("value")
            return Written(value=bytes.fromhex(value) if value else None)
        if "adopt" in payload:
            return await calls.adopt(hook, payload, steps)
        if call.operation == CREATE:
            return await calls.create(hook, payload)
        if call.operation == RECREATE:
            return await calls.recreate(hook, call.key, payload, steps)
        if call.operation == "update":
            return await calls.update(hook, call.key, payload, steps)
        return await calls.delete(hook, call.key, payload)

    def _may_be_freed(self, key: str, row: str) -> bool:
        """Return whether to wait for another row to give up an address, a few times for each key."""
        if self._waits[key] >= _MOST_WAITS or not self._plan.is_released(ContactRow.decode(row)):
            return False
        self._waits[key] += 1
        return True

    def _find_group(self, header: Mapping[str, str]) -> str:
        known, wanted = header.get(_GROUP_ID, ""), self._group
        if wanted.contact_type_id:
            if known and known != wanted.contact_type_id:
                raise field_error(
                    "contact_type_id",
                    f"is {wanted.contact_type_id}, but the state belongs to contact group {known}",
                    "Each contact group needs a state_path of its own.",
                )
            return wanted.contact_type_id
        if (name := header.get(_GROUP_NAME, wanted.name)) != wanted.name:
            raise field_error(
                "contact_group_name",
                f"is {wanted.name!r}, but the state belongs to contact group {name!r}",
                "Each contact group needs a state_path of its own.",
            )
        if not known and header.get(_GROUP_BEGAN):
            raise self._ambiguous_group(header[_GROUP_BEGAN])
        if not known and wanted.create is None:
            raise field_error(
                "contact_group_name",
                "is not the name of a group that this sync has created, and the API cannot search groups",
                "Give contact_type_id, or create_group=True.",
            )
        return known

    def _create_group(self) -> str:
        name, create = str(self._group.name), self._group.create
        began = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        self._state.remember(_GROUP_NAME, name)
        self._state.remember(_GROUP_BEGAN, began)
        try:
            group_id = create(name) if create else ""
        except CyTechBotAmbiguousWriteError:
            failure = self._ambiguous_group(began)
        except CyTechBotError:
            self._state.remember(_GROUP_BEGAN, "")
            raise
        else:
            return group_id
        raise failure

    def _ambiguous_group(self, began: str) -> CyTechBotRequestError:
        return field_error(
            "contact_type_id",
            f"is needed: contact group {self._group.name!r} may have been created at {began} UTC, when the"
            " response was lost",
            "Look for the group in the dashboard, delete all but one of that name, and give its id as"
            " contact_type_id. If there is none, create it there.",
        )


def _digest(address: str) -> str:
    return blake2b(address.encode(), digest_size=9).hexdigest()
