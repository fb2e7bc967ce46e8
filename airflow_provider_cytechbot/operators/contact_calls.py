"""The calls of a contact sync: each change of a plan sent, with its steps recorded before they are sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotNotFoundError,
    CyTechBotRequestError,
    CyTechBotUnansweredError,
)
from airflow_provider_cytechbot.bulk.resource import Written
from airflow_provider_cytechbot.operators.contact_plan import RECREATE
from airflow_provider_cytechbot.operators.contact_rows import ContactRow, decode_json
from airflow_provider_cytechbot.operators.contact_state import (
    ADDRESSES,
    FIELDS,
    Contact,
    Step,
    StepKind,
    digests_of,
)
from airflow_provider_cytechbot.operators.create_once import is_deleted

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.records import Contact as ContactRecord
    from airflow_provider_cytechbot.api.records import WriteOutcome
    from airflow_provider_cytechbot.bulk.resource import Steps
    from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook

Texts = Sequence[str | None]

#: How a server names a field in a refusal.
_NAMES = {"email": re.compile("e-?mail", re.IGNORECASE), "phone_number": re.compile("phone", re.IGNORECASE)}
_STILL_HELD = "An earlier create was sent whose response was lost: look for the contact in the dashboard."


class ContactGroupMissingError(CyTechBotNotFoundError):
    """The contact group does not exist, so that no contact can be created."""

    concerns_every_row = True


class ContactCalls:
    """
    Sends the changes of a plan.

    :param group_id: The contact group.
    :param salt: The state's salt.
    :param on_missing: Whether a contact that does not exist any more is created again (``recreate``).
    :param is_released: Returns whether another row of the plan may give up an address of a row.
    """

    def __init__(
        self, group_id: str, salt: bytes, on_missing: str, is_released: Callable[[Texts], bool]
    ) -> None:
        self._group_id = group_id
        self._salt = salt
        self._on_missing = on_missing
        self._is_released = is_released
        #: By key, what an earlier attempt of the same change has done already.
        self._made: dict[str, str] = {}
        self._lost: set[str] = set()

    async def create(self, hook: CyTechBotAsyncHook, payload: Mapping[str, Any]) -> Written:
        """Create a contact; its step is recorded."""
        texts = _texts(payload)
        return self._new(await self._create(hook, texts, is_held=payload["is_held"]), texts)

    async def update(
        self, hook: CyTechBotAsyncHook, key: str, payload: Mapping[str, Any], steps: Steps
    ) -> Written:
        """Update a contact; its step is recorded. If earlier calls were lost, the contact is read first."""
        texts = _texts(payload)
        fields = {field: text for field, text in _filled(texts).items() if field in payload["fields"]}
        contact = _contact(payload)
        if contact.old_id:
            contact = await self._without_old(hook, contact, steps)
            await steps.begin(Step(StepKind.UPDATE, fields=payload["fields"]).encode())
        try:
            if payload["is_unknown"] or key in self._lost:
                return await self._update_unknown(hook, contact, texts, steps)
            outcome = await self._send_update(hook, contact.id, fields)
        except CyTechBotNotFoundError as error:
            failure: CyTechBotError = error
        except CyTechBotUnansweredError as error:
            if error.may_have_acted:
                self._lost.add(key)
            raise
        else:
            now = digests_of(texts, self._salt)
            digests = tuple(
                each if field in fields else before
                for field, each, before in zip(FIELDS, now, contact.digests, strict=True)
            )
            value = contact._replace(digests=digests).encode()
            return Written(outcome.changed, "" if outcome.changed else _words(outcome), contact.id, value)
        return await self._replace_missing(hook, contact, texts, steps, failure)

    async def adopt(self, hook: CyTechBotAsyncHook, payload: Mapping[str, Any], steps: Steps) -> Written:
        """Take over a contact that was made before the sync, after a look at its group and address."""
        contact_id, texts = payload["adopt"], _texts(payload)
        problem = "does not exist"
        try:
            record = await self._read(hook, contact_id)
        except CyTechBotNotFoundError:
            record = None
        if record:
            problem = self._why_not_adopted(record, texts)
        if problem:
            reason = f"Contact {contact_id} {problem}, so it is not adopted."
            kind = CyTechBotAmbiguousWriteError if payload["is_held"] else CyTechBotRequestError
            raise kind(f"{reason} {_STILL_HELD}" if payload["is_held"] else reason)
        assert record is not None  # noqa: S101 - for mypy
        if payload["updates"]:
            record = await self._update_differing(hook, record, texts)
        old_id = payload["old"] if payload["old"] != contact_id else ""
        contact = Contact(contact_id, self._digests_of(record), old_id, is_adopted=True)
        contact = await self._without_old(hook, contact, steps)
        return Written(id=contact_id, value=contact.encode())

    async def recreate(
        self, hook: CyTechBotAsyncHook, key: str, payload: Mapping[str, Any], steps: Steps
    ) -> Written:
        """Replace a contact by one with another address."""
        contact = await self._without_old(hook, _contact(payload), steps)
        if "deletes_first" not in payload:
            return Written(id=contact.id, value=contact.encode())
        texts = _texts(payload)
        creating = self._creating(texts)
        deletes_first = payload["deletes_first"] or (self._is_released(texts) and not payload["is_held"])
        if deletes_first:
            steps.save(contact._replace(is_being_deleted=True).encode())
            await steps.begin(Step(StepKind.DELETE).encode())
            await self._delete(hook, contact.id)
            steps.save(None)
            await steps.begin(creating)
            return self._new(await self._create(hook, texts), texts)
        if key not in self._made:
            if not payload["is_held"]:
                await steps.begin(creating)
            self._made[key] = await self._create(hook, texts, is_held=payload["is_held"])
        new = Contact(self._made[key], digests_of(texts, self._salt), contact.id)
        contact = await self._without_old(hook, new, steps)
        return Written(id=contact.id, value=contact.encode())

    async def delete(self, hook: CyTechBotAsyncHook, key: str, payload: Mapping[str, Any]) -> Written:
        """Delete a contact, and the one that it was to replace."""
        existed = key in self._lost
        ids = decode_json(payload["wanted"])
        for contact_id in ids:
            try:
                existed = await self._delete(hook, contact_id) or existed
            except CyTechBotUnansweredError as error:
                if error.may_have_acted:
                    self._lost.add(key)
                raise
        return Written(existed, "" if existed else "It was deleted already.", ids[-1], None)

    async def _create(self, hook: CyTechBotAsyncHook, texts: Texts, *, is_held: bool = False) -> str:
        try:
            return await hook.call(
                endpoints.CREATE_CONTACT,
                max_retries=0,
                contact_type_id=self._group_id,
                **_filled(texts),
            )
        except CyTechBotNotFoundError as error:
            failure: CyTechBotError = error
            is_missing = True
        except CyTechBotRequestError as error:
            failure = error
            is_missing = False
        if is_missing:
            await self._check_group(hook)
        if is_held:
            raise CyTechBotAmbiguousWriteError(f"{failure.reason} {_STILL_HELD}")
        for field in ADDRESSES:
            if field not in _filled(texts) and _NAMES[field].search(failure.reason):
                failure.reason += (
                    f" The row has no {field}, and the server takes only one contact without it."
                )
        raise failure

    async def _check_group(self, hook: CyTechBotAsyncHook) -> None:
        """Raise the error of all rows if the group does not exist: the server's words do not show it."""
        try:
            group = await hook.call(
                endpoints.GET_CONTACT_GROUP, max_retries=0, contact_type_id=self._group_id
            )
        except CyTechBotNotFoundError:
            group = None
        if group is None or is_deleted(group):
            raise ContactGroupMissingError(
                f"Contact group {self._group_id} does not exist.",
                "Give another contact_type_id and a new state_path; the old state belongs to that group.",
            )

    async def _send_update(
        self, hook: CyTechBotAsyncHook, contact_id: str, fields: Mapping[str, str]
    ) -> WriteOutcome:
        return await hook.call(endpoints.UPDATE_CONTACT, max_retries=0, contact_id=contact_id, **fields)

    async def _update_unknown(
        self, hook: CyTechBotAsyncHook, contact: Contact, texts: Texts, steps: Steps
    ) -> Written:
        """Read a contact that a lost call may have changed, and update what differs."""
        record = await self._read(hook, contact.id)
        if other := _other_addresses(record, texts):
            steps.save(contact._replace(digests=self._digests_of(record)).encode())
            raise CyTechBotRequestError(
                f"The contact has another {' and '.join(other)}, which a call set whose response was lost.",
                "The next run treats it by on_readdress.",
            )
        record = await self._update_differing(hook, record, texts)
        return Written(id=contact.id, value=contact._replace(digests=self._digests_of(record)).encode())

    async def _update_differing(
        self, hook: CyTechBotAsyncHook, record: ContactRecord, texts: Texts
    ) -> ContactRecord:
        """Update what differs between a contact and its row, and return the contact as it is then."""
        fields = {
            field: text
            for field, text in _filled(texts).items()
            if (record[field] or "").strip() != text  # type: ignore[literal-required]
            and not (field in ADDRESSES and record[field])  # type: ignore[literal-required]
        }
        if fields:
            await self._send_update(hook, record["id"], fields)
        return {**record, **fields}  # type: ignore[typeddict-item]

    async def _replace_missing(
        self,
        hook: CyTechBotAsyncHook,
        contact: Contact,
        texts: Texts,
        steps: Steps,
        failure: CyTechBotError,
    ) -> Written:
        filled = _filled(texts)
        if self._on_missing != RECREATE or not any(field in filled for field in ADDRESSES):
            failure.reason = f"Contact {contact.id} does not exist any more: it was deleted elsewhere."
            failure.hint = "With on_missing='recreate', it is created again."
            raise failure
        steps.save(None)
        await steps.begin(self._creating(texts))
        return self._new(await self._create(hook, texts), texts)

    async def _read(self, hook: CyTechBotAsyncHook, contact_id: str) -> ContactRecord:
        record = await hook.call(endpoints.GET_CONTACT, max_retries=0, contact_id=contact_id)
        if is_deleted(record):
            raise CyTechBotNotFoundError(f"Contact {contact_id} is deleted.")
        return record

    async def _without_old(self, hook: CyTechBotAsyncHook, contact: Contact, steps: Steps) -> Contact:
        """Delete the contact that another one has replaced, if there is one."""
        if not contact.old_id:
            return contact
        steps.save(contact.encode())
        await steps.begin(Step(StepKind.SEVERAL).encode())
        await self._delete(hook, contact.old_id)
        contact = contact._replace(old_id="")
        steps.save(contact.encode())
        return contact

    async def _delete(self, hook: CyTechBotAsyncHook, contact_id: str) -> bool:
        """Delete a contact, and return whether it was there."""
        try:
            outcome = await hook.call(endpoints.DELETE_CONTACT, max_retries=0, contact_id=contact_id)
        except CyTechBotNotFoundError:
            return False
        return outcome.changed

    def _why_not_adopted(self, record: ContactRecord, texts: Texts) -> str:
        """Return why a contact cannot be adopted; empty if it can. Contacts can be in several groups."""
        groups = (record["contact_type_id"] or "").replace(" ", "").split(",")
        if self._group_id not in groups:
            return "is in another contact group"
        if other := _other_addresses(record, texts):
            return f"has another {' and '.join(other)}"
        filled = _filled(texts)
        if not any(field in filled and record[field] for field in ADDRESSES):  # type: ignore[literal-required]
            return "has no address in common with the row"
        return ""

    def _creating(self, texts: Texts) -> bytes:
        return Step(StepKind.CREATE, digests_of(texts[: len(ADDRESSES)], self._salt)).encode()

    def _new(self, contact_id: str, texts: Texts) -> Written:
        return Written(id=contact_id, value=Contact(contact_id, digests_of(texts, self._salt)).encode())

    def _digests_of(self, record: ContactRecord) -> tuple[bytes, ...]:
        texts: Iterable[str] = ((record[field] or "").strip() for field in FIELDS)  # type: ignore[literal-required]
        return digests_of(texts, self._salt)


def _contact(payload: Mapping[str, Any]) -> Contact:
    return Contact.decode(bytes.fromhex(payload["value"]))


def _texts(payload: Mapping[str, Any]) -> Texts:
    return ContactRow.decode(payload["wanted"]).texts


def _filled(texts: Texts) -> dict[str, str]:
    return {field: text for field, text in zip(FIELDS, texts, strict=True) if text}


def _other_addresses(record: ContactRecord, texts: Texts) -> list[str]:
    """Return the address fields in which contact and row both have something else."""
    filled = _filled(texts)
    return [
        field
        for field in ADDRESSES
        if field in filled
        and record[field]  # type: ignore[literal-required]
        and _comparable(field, record[field]) != _comparable(field, filled[field])  # type: ignore[literal-required]
    ]


def _comparable(field: str, text: str) -> str:
    """Return an address as the server compares it."""
    return text.strip().casefold() if field == "email" else text.strip()


def _words(outcome: WriteOutcome) -> str:
    return outcome.message or "nothing to change"
