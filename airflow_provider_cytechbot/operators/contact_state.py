"""What the state of a contact sync holds of each key: ids, and salted digests of what was sent last."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

ADDRESSES = ("email", "phone_number")
#: The fields of a contact, in the order of their digests.
FIELDS = (*ADDRESSES, "first_name", "last_name")

#: 6 bytes: a change is missed with probability 2**-48.
_SIZE = 6
EMPTY = bytes(_SIZE)
#: The digest of a field that a lost call may have changed.
UNKNOWN = b"\xff" * _SIZE
_ALL = _SIZE * len(FIELDS)
_IS_BEING_DELETED, _IS_ADOPTED = 1, 2

Digests = tuple[bytes, ...]


def digests_of(texts: Iterable[str | None], salt: bytes) -> Digests:
    """
    Return the digests of a row's fields. E-mail addresses are compared as the server does, without case.

    :param texts: The texts, in the order of :data:`FIELDS`.
    :param salt: The state's salt.
    """
    email, *others = texts
    return tuple(
        [
            blake2b(text.encode(), digest_size=_SIZE, key=salt).digest() if text else EMPTY
            for text in (email and email.casefold(), *others)
        ]
    )


class Contact(NamedTuple):
    """
    A contact that the sync has made or adopted.

    :param id: Its id.
    :param digests: The digests of its fields, in the order of :data:`FIELDS`.
    :param old_id: The contact that it replaces and that is still to be deleted.
    :param is_being_deleted: Whether a delete was sent whose result is not known.
    :param is_adopted: Whether the sync did not make it for this key.
    """

    id: str
    digests: Digests
    old_id: str = ""
    is_being_deleted: bool = False
    is_adopted: bool = False

    def encode(self) -> bytes:
        """Return what the state stores."""
        ids = f"{self.id},{self.old_id}" if self.old_id else self.id
        flags = _IS_BEING_DELETED * self.is_being_deleted | _IS_ADOPTED * self.is_adopted
        return bytes([flags]) + b"".join(self.digests) + ids.encode("ascii")

    @staticmethod
    def id_if_equal(value: bytes, digests: Digests) -> str | None:
        """
        Return the id of a stored contact whose fields are these and that needs nothing else.

        :param value: The stored bytes.
        :param digests: The digests of the fields.
        """
        if (
            value[1 : 1 + _ALL] == b"".join(digests)
            and not value[0] & _IS_BEING_DELETED
            and b"," not in value[1 + _ALL :]
        ):
            return value[1 + _ALL :].decode("ascii")
        return None

    @classmethod
    def adopted_id(cls, value: bytes) -> str:
        """
        Return the id of a stored contact if it was adopted; empty if not.

        :param value: The stored bytes.
        """
        return cls.decode(value).id if value[0] & _IS_ADOPTED else ""

    @classmethod
    def decode(cls, value: bytes) -> Contact:
        """
        Read what the state stores.

        :param value: The stored bytes.
        """
        contact_id, _, old_id = value[1 + _ALL :].decode("ascii").partition(",")
        flags = value[0]
        return cls(
            contact_id,
            _split(value[1 : 1 + _ALL]),
            old_id,
            bool(flags & _IS_BEING_DELETED),
            bool(flags & _IS_ADOPTED),
        )


class StepKind(enum.Enum):
    """What was about to be sent."""

    CREATE = b"C"
    UPDATE = b"U"
    DELETE = b"D"
    #: The first of several calls, each of which records a step of its own before it is sent.
    SEVERAL = b"S"


class Step(NamedTuple):
    """
    A step that was recorded before it was sent.

    :param kind: What it is.
    :param digests: Of a create: the digests of its addresses.
    :param fields: Of an update: the fields that are sent.
    """

    kind: StepKind
    digests: Digests = ()
    fields: Sequence[str] = ()

    def encode(self) -> bytes:
        """Return what the state stores."""
        mask = sum(1 << FIELDS.index(field) for field in set(self.fields))
        return self.kind.value + bytes([mask]) + b"".join(self.digests)

    @classmethod
    def decode(cls, step: bytes) -> Step:
        """
        Read what the state stores.

        :param step: The stored bytes.
        """
        fields = [field for at, field in enumerate(FIELDS) if step[1] >> at & 1]
        return cls(StepKind(step[:1]), _split(step[2:]), fields)


def _split(data: bytes) -> Digests:
    return tuple(data[at : at + _SIZE] for at in range(0, len(data), _SIZE))
