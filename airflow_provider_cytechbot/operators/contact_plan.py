"""The plan of a contact sync: what a key needs, from its row and from what the state holds of it. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_cytechbot.bulk import outcomes
from airflow_provider_cytechbot.bulk.resource import Change, Settled, StateEntry
from airflow_provider_cytechbot.operators.contact_rows import CONTACT_ID, ContactRow, decode_json, encode_json
from airflow_provider_cytechbot.operators.contact_state import (
    ADDRESSES,
    EMPTY,
    FIELDS,
    UNKNOWN,
    Contact,
    Digests,
    Step,
    StepKind,
    digests_of,
)

CREATE, UPSERT, MIRROR = "create", "upsert", "mirror"
SYNC_MODES = (CREATE, UPSERT, MIRROR)
REFUSE, RECREATE = "refuse", "recreate"
ON_READDRESS = (REFUSE, RECREATE)
HOLD, RETRY = "hold", "retry"
AMBIGUOUS = (HOLD, RETRY)

#: Deletes that free an address for a row go before the rows, all others after them.
FREEING, ROWS, DELETES = 0, 1, 2

_HELD = (
    "A create was sent and its response lost, so the contact may exist. Look for it in the dashboard: if it"
    " is there, put its id into a column contact_id; if not, name the key in 'forget'."
)
_HELD_AND_GONE = (
    "A create was sent and its response lost, and the source has no row of this key any more. If the contact"
    " is in the dashboard, delete it there; then name the key in 'forget'."
)
_NEEDS_ADDRESS = "A new contact needs an e-mail address or a phone number."
_MADE_ALREADY = "The sync already has another contact for this key, so contact_id is not used."

Payload = dict[str, Any]


@dataclass(frozen=True)
class ContactRules:
    """
    How rows are compared with the state.

    :param sync_mode: ``create``, ``upsert`` or ``mirror``.
    :param on_readdress: ``refuse`` or ``recreate``.
    :param ambiguous: ``hold`` or ``retry``.
    :param forget: The keys whose held creates are dropped.
    """

    sync_mode: str
    on_readdress: str = REFUSE
    ambiguous: str = HOLD
    forget: frozenset[str] = frozenset()


def encode_payload(wanted: str, how: Payload) -> str:
    """
    Return what a call needs as the engine stores it: two lines of JSON.

    :param wanted: What is wanted, whatever the state: a row, or the ids of contacts to delete.
    :param how: What the state adds to it.
    """
    return f"{wanted}\n{encode_json(how)}"


def decode_payload(payload: str) -> tuple[str, Payload]:
    """
    Read the payload of a call.

    :param payload: What :func:`encode_payload` has returned.
    """
    wanted, _, how = payload.partition("\n")
    return wanted, decode_json(how)


def describe_payload(payload: str) -> str:
    """
    Return what is wanted, the same for the payload of a row and for that of its call, whatever the state.

    :param payload: The payload of a row or of a call.
    """
    return payload.partition("\n")[0]


def is_adoption(payload: str) -> bool:
    """
    Return whether a call takes over a contact that was made before the sync.

    :param payload: The call's payload.
    """
    return '\n{"adopt"' in payload


_FORGET = encode_payload('"forget"', {"forget": True})
_NEW = {False: "\n" + encode_json({"is_held": False}), True: "\n" + encode_json({"is_held": True})}


class ContactPlan:
    """
    Decides for each key. It keeps only which addresses new contacts need.

    :param rules: How.
    :param salt: The state's salt.
    """

    def __init__(self, rules: ContactRules, salt: bytes) -> None:
        self._rules = rules
        self._salt = salt
        self._last_row: ContactRow | None = None
        self._last_digests: Digests = ()
        self._needed = AddressFilter()
        self._released = AddressFilter()

    def of_row(self, row: ContactRow, entry: StateEntry) -> Change | Settled:
        """
        Return what a key needs that the source has.

        :param row: Its row.
        :param entry: What the state holds of it.
        """
        if entry.value is None and entry.step is None:
            return self._adopt(row, None, None) if row.contact_id else self._create(row)
        if entry.step is None and (contact_id := Contact.id_if_equal(entry.value or b"", self._digests(row))):
            return Settled(outcomes.UNCHANGED, _why_unchanged(row, contact_id, ()), id=contact_id)
        contact, step = _read(entry)
        if step and step.kind is StepKind.CREATE:
            if row.contact_id:
                return self._adopt(row, contact, entry.step)
            if not row.is_forgotten:
                return self._held(row, contact, step, entry.is_of_this_run)
        elif contact and step and step.kind is StepKind.DELETE:
            contact = contact._replace(is_being_deleted=True)
        elif contact and step and step.kind is StepKind.UPDATE:
            contact = contact._replace(digests=_forget_fields(contact.digests, step.fields))
        if contact is None:
            return self._adopt(row, None, None) if row.contact_id else self._create(row)
        if contact.is_being_deleted:
            return self._replace_deleted(row, contact)
        change = self._compare(row, contact) if self._rules.sync_mode != CREATE else _unchanged(contact)
        if contact.old_id and isinstance(change, Settled):
            return self._finish(row, contact)
        if row.is_forgotten and step and isinstance(change, Settled):
            return self._drop_step(row, contact, change)
        return change

    def of_gone(self, key: str, entry: StateEntry, adopted: Container[str] = ()) -> Change | Settled | None:
        """
        Return what a key needs that the state alone has.

        :param key: The key.
        :param entry: What the state holds of it.
        :param adopted: The contacts that rows of other keys adopt.
        """
        contact, step = _read(entry)
        if step and step.kind is StepKind.CREATE:
            if key not in self._rules.forget:
                return Settled(outcomes.AMBIGUOUS, _HELD_AND_GONE, "delete")
            if contact is None:
                return Change("none", _FORGET, "")
        if contact is None:
            return None
        if contact.id in adopted:
            return Change("none", _FORGET, "")
        frees = any(each in self._needed for each in contact.digests[: len(ADDRESSES)])
        return Change(
            "delete",
            encode_payload(encode_json(_ids(contact)), {"value": contact.encode().hex()}),
            "",
            step=Step(StepKind.DELETE).encode(),
            phase=FREEING if frees else DELETES,
        )

    def is_released(self, row: ContactRow) -> bool:
        """
        Return whether another row of the plan may give up an address of this row.

        :param row: The row.
        """
        return any(each in self._released for each in digests_of(row.addresses, self._salt))

    def _create(self, row: ContactRow, *, held: bool = False) -> Change | Settled:
        if not row.has_address:
            return Settled(outcomes.INVALID, _NEEDS_ADDRESS)
        addresses = digests_of(row.addresses, self._salt)
        if self._rules.sync_mode == MIRROR:
            self._needed.add(addresses)
        return Change(
            CREATE,
            row.encode() + _NEW[held],
            row.filled,
            # A second create of the same e-mail address is refused, so that a held one can be repeated.
            held,
            Step(StepKind.CREATE, addresses).encode(),
            ROWS,
        )

    def _held(
        self, row: ContactRow, contact: Contact | None, step: Step, is_of_this_run: bool
    ) -> Change | Settled:
        may_be_sent = self._rules.ambiguous == RETRY and not is_of_this_run and row.texts[0]
        if may_be_sent and step.digests[0] == digests_of(row.addresses, self._salt)[0]:
            if contact is None:
                return self._create(row, held=True)
            return self._recreate(row, contact, deletes_first=False, held=True)
        return Settled(outcomes.AMBIGUOUS, _HELD, id=contact.id if contact else None)

    def _adopt(self, row: ContactRow, contact: Contact | None, step: bytes | None) -> Change:
        payload = {
            "adopt": row.contact_id,
            "is_held": step is not None,
            "updates": self._rules.sync_mode != CREATE,
            "old": contact.id if contact else "",
        }
        fields = f"{CONTACT_ID},{row.filled}" if self._rules.sync_mode != CREATE else CONTACT_ID
        return Change("update", encode_payload(row.encode(), payload), fields, step=step, phase=ROWS)

    def _compare(self, row: ContactRow, contact: Contact) -> Change | Settled:
        changed: list[str] = []
        readdressed: list[str] = []
        emptied: list[str] = []
        digests = self._digests(row)
        for field, text, now, before in zip(FIELDS, row.texts, digests, contact.digests, strict=True):
            if text is None or now == before:
                continue
            if not text:
                emptied.append(field)
            elif field in ADDRESSES and before not in (EMPTY, UNKNOWN):
                readdressed.append(field)
            else:
                changed.append(field)
        if readdressed and self._rules.on_readdress == RECREATE:
            return self._recreate(row, contact, deletes_first=self._shares_address(row, contact))
        if readdressed:
            reason = (
                f"The API cannot change {_listed(readdressed)} of a contact. With on_readdress='recreate' the"
                " contact is deleted and created with the new one."
            )
            return Settled(outcomes.REFUSED, reason, fields=",".join(readdressed), id=contact.id)
        if changed:
            return self._update(row, contact, changed)
        return _unchanged(contact, _why_unchanged(row, contact.id, emptied))

    def _update(self, row: ContactRow, contact: Contact, changed: list[str]) -> Change:
        if self._rules.sync_mode == MIRROR:
            filled = zip(ADDRESSES, self._digests(row), strict=False)
            self._needed.add(each for field, each in filled if field in changed)
        payload = {
            "id": contact.id,
            "fields": changed,
            "is_unknown": UNKNOWN in contact.digests,
            "value": contact.encode().hex(),
        }
        unknown = [field for field, each in zip(FIELDS, contact.digests, strict=True) if each == UNKNOWN]
        step = Step(StepKind.UPDATE, fields=[*changed, *unknown]).encode()
        return Change(
            "update", encode_payload(row.encode(), payload), ",".join(changed), step=step, phase=ROWS
        )

    def _recreate(
        self, row: ContactRow, contact: Contact, *, deletes_first: bool, held: bool = False
    ) -> Change:
        self._needed.add(digests_of(row.addresses, self._salt))
        self._released.add(contact.digests[: len(ADDRESSES)])
        payload = {
            "id": contact.id,
            "deletes_first": deletes_first,
            "is_held": held,
            "value": contact.encode().hex(),
        }
        if held:
            step = Step(StepKind.CREATE, digests_of(row.addresses, self._salt))
        else:
            # What may have been deleted stays so until a call of this change is recorded.
            step = Step(StepKind.DELETE if contact.is_being_deleted else StepKind.SEVERAL)
        return Change(
            RECREATE,
            encode_payload(row.encode(), payload),
            row.filled,
            held,
            step.encode(),
            phase=ROWS,
        )

    def _replace_deleted(self, row: ContactRow, contact: Contact) -> Change | Settled:
        """Delete a contact for certain, whose delete was cut off, and create it again."""
        if not row.has_address:
            return Settled(outcomes.INVALID, f"Its contact was being deleted. {_NEEDS_ADDRESS}")
        return self._recreate(row, contact, deletes_first=True)

    def _finish(self, row: ContactRow, contact: Contact) -> Change:
        """Delete the contact that was replaced: what is left of a recreate that was cut off."""
        payload = {"id": contact.id, "value": contact.encode().hex()}
        return Change(
            RECREATE,
            encode_payload(row.encode(), payload),
            "",
            step=Step(StepKind.SEVERAL).encode(),
            phase=ROWS,
        )

    def _drop_step(self, row: ContactRow, contact: Contact, settled: Settled) -> Change | Settled:
        """Drop the held create of a contact's replacement, where the contact itself needs nothing."""
        if settled.outcome != outcomes.UNCHANGED:
            return settled
        payload = {"forget": True, "value": contact.encode().hex()}
        return Change("none", encode_payload(row.encode(), payload), "", phase=ROWS)

    def _shares_address(self, row: ContactRow, contact: Contact) -> bool:
        before = contact.digests[: len(ADDRESSES)]
        return any(now == old != EMPTY for now, old in zip(self._digests(row), before, strict=False))

    def _digests(self, row: ContactRow) -> Digests:
        """Return the digests of a row, which are needed several times."""
        if row is not self._last_row:
            self._last_row, self._last_digests = row, digests_of(row.texts, self._salt)
        return self._last_digests


class AddressFilter:
    """
    Addresses in fixed memory (a Bloom filter). Beside a million of them, 1 in 70 others is found by mistake.

    A wrong answer changes the order of calls at most.
    """

    _WIDTH = 24

    def __init__(self) -> None:
        self._bits: bytearray | None = None

    def add(self, digests: Iterable[bytes]) -> None:
        """
        Add addresses; empty ones are left out.

        :param digests: Their digests.
        """
        if self._bits is None:
            self._bits = bytearray(1 << self._WIDTH - 3)
        bits = self._bits
        for each in digests:
            if each not in (EMPTY, UNKNOWN):
                one, other = self._positions(each)
                bits[one >> 3] |= 1 << (one & 7)
                bits[other >> 3] |= 1 << (other & 7)

    def __contains__(self, digest: bytes) -> bool:
        if self._bits is None or digest in (EMPTY, UNKNOWN):
            return False
        return all(self._bits[at >> 3] >> (at & 7) & 1 for at in self._positions(digest))

    @classmethod
    def _positions(cls, digest: bytes) -> tuple[int, int]:
        number = int.from_bytes(digest)
        return number & (1 << cls._WIDTH) - 1, number >> cls._WIDTH


def _read(entry: StateEntry) -> tuple[Contact | None, Step | None]:
    contact = Contact.decode(entry.value) if entry.value is not None else None
    return contact, Step.decode(entry.step) if entry.step is not None else None


def _forget_fields(digests: Digests, fields: Iterable[str]) -> Digests:
    lost = set(fields)
    return tuple(UNKNOWN if field in lost else before for field, before in zip(FIELDS, digests, strict=True))


def _ids(contact: Contact) -> list[str]:
    return [contact.old_id, contact.id] if contact.old_id else [contact.id]


def _unchanged(contact: Contact, reason: str = "") -> Settled:
    return Settled(outcomes.UNCHANGED, reason, id=contact.id)


def _why_unchanged(row: ContactRow, contact_id: str, emptied: Sequence[str]) -> str:
    if emptied:
        return f"The API cannot empty {_listed(emptied)}."
    return _MADE_ALREADY if row.contact_id not in ("", contact_id) else ""


def _listed(fields: Iterable[str]) -> str:
    return " and ".join(fields)
