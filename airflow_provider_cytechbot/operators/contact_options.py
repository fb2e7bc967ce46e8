"""The parameters of a contact sync, read and checked: rules, guards and the contact group."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.fields import encode_number, encode_text, field_error
from airflow_provider_cytechbot.operators.contact_plan import (
    AMBIGUOUS,
    CREATE,
    ON_READDRESS,
    RECREATE,
    SYNC_MODES,
    ContactRules,
)

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.resource import PlanFigures

ON_MISSING = ("report", RECREATE)
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class PlanGuards:
    """
    What a plan must not exceed.

    :param max_creates: How many contacts are created at most, recreated ones included; ``None``: any number.
    :param max_deletes: How many are deleted at most, recreated ones included.
    :param max_delete_percent: How many of the contacts in the state are deleted at most, in percent. A
        recreated contact does not count: the group does not shrink by it.
    :param expected_plan_digest: The digest that the plan must have.
    """

    max_creates: int | None = None
    max_deletes: int | None = None
    max_delete_percent: float | None = 10
    expected_plan_digest: str | None = None

    def problems(self, figures: PlanFigures) -> list[tuple[str, str, str]]:
        """
        Return what a plan exceeds, as parameter, problem and hint.

        :param figures: The plan.
        """
        creates, deletes, recreates = (
            figures.operations.get(each, 0) for each in (CREATE, "delete", RECREATE)
        )
        contacts = figures.state_keys
        found = []
        for name, limit, number, verb in (
            ("max_creates", self.max_creates, creates + recreates, "created"),
            ("max_deletes", self.max_deletes, deletes + recreates, "deleted"),
        ):
            if limit is not None and number > limit:
                problem = f"is {limit:,}, but {number:,} contacts would be {verb}"
                found.append((name, problem, f"If that is meant, set {name} to {number} or more."))
        if deletes and self.max_delete_percent is not None:
            # Rounded up to a whole number, so that the number in the hint lets the plan through.
            percent = -(-deletes * 100 // contacts) if contacts else 100
            if not contacts or deletes * 100 > self.max_delete_percent * contacts:
                planned = f"{deletes:,} of {contacts:,} contacts would be deleted"
                hint = f"If that is meant, set max_delete_percent to {percent} or more."
                found.append(("max_delete_percent", f"is {self.max_delete_percent:g}, but {planned}", hint))
        return found


@dataclass(frozen=True)
class ContactGroupChoice:
    """
    The contact group, by id or by name.

    :param contact_type_id: Its id.
    :param name: Its name, if it has no id yet or the state remembers it.
    :param create: Creates a group of that name and returns its id; ``None``: it must not be created.
    """

    contact_type_id: str | None = None
    name: str | None = None
    create: Callable[[str], str] | None = None


def read_rules(sync_mode: object, on_readdress: object, ambiguous: object, forget: object) -> ContactRules:
    """
    Check how rows are compared with the state.

    :param sync_mode: As in ``ContactRules``; so are ``on_readdress`` and ``ambiguous``.
    :param forget: A list of keys; one text is one key, commas included.
    """
    return ContactRules(
        read_word("sync_mode", sync_mode, SYNC_MODES),
        read_word("on_readdress", on_readdress, ON_READDRESS),
        read_word("ambiguous", ambiguous, AMBIGUOUS),
        _read_keys("forget", forget),
    )


def read_guards(
    max_creates: object, max_deletes: object, max_delete_percent: object, expected_plan_digest: object
) -> PlanGuards:
    """
    Check the limits of a plan. ``None``, also as a text that a template rendered, means no limit.

    :param max_creates: A whole number, as is ``max_deletes``.
    :param max_delete_percent: A number.
    :param expected_plan_digest: A digest. An empty text is none, so that it does not let every plan through.
    """
    if expected_plan_digest is not None and not _DIGEST.fullmatch(str(expected_plan_digest)):
        found = str(expected_plan_digest)[:40]
        raise field_error("expected_plan_digest", f"must be the plan_digest of a manifest, not {found!r}")
    return PlanGuards(
        _read_whole_limit("max_creates", max_creates),
        _read_whole_limit("max_deletes", max_deletes),
        _read_limit("max_delete_percent", max_delete_percent),
        None if expected_plan_digest is None else str(expected_plan_digest),
    )


def read_group(
    contact_type_id: object, name: object, *, create: Callable[[str], str] | None, has_shards: bool
) -> ContactGroupChoice:
    """
    Check which contact group is meant.

    :param contact_type_id: Its id.
    :param name: Its name.
    :param create: Creates a group of that name; ``None``: it must not be created.
    :param has_shards: Whether the rows are divided among several tasks.
    """
    if bool(contact_type_id) == bool(name):
        found = "both are given" if name else "none is given"
        raise field_error("contact_type_id", f"or 'contact_group_name' is needed, one of them; {found}")
    if contact_type_id and create:
        raise field_error("create_group", "has no meaning with 'contact_type_id'")
    if contact_type_id:
        return ContactGroupChoice(encode_number("contact_type_id", contact_type_id))
    if create and has_shards:
        hint = "Create the group beforehand and give contact_type_id: each shard would create a group."
        raise field_error("create_group", "has no meaning with several shards", hint)
    return ContactGroupChoice(name=read_name("contact_group_name", name), create=create)


def read_name(name: str, value: object) -> str:
    """
    Check a text that must not be empty.

    :param name: The parameter.
    :param value: Its value.
    """
    text = encode_text(name, value).strip()
    if not text:
        raise field_error(name, "is empty")
    return text


def read_word(name: str, value: object, words: Sequence[str]) -> str:
    """
    Check a word of a list.

    :param name: The parameter.
    :param value: Its value.
    :param words: The words.
    """
    if not isinstance(value, str) or value not in words:
        raise field_error(name, f"must be one of {', '.join(words)}, not {str(value)[:40]!r}")
    return value


def _read_keys(name: str, value: object) -> frozenset[str]:
    if value is None or value == "":
        return frozenset()
    keys = [value] if isinstance(value, str | int) else value
    if not isinstance(keys, Iterable) or isinstance(keys, bytes | Mapping):
        raise field_error(name, f"must be a list of keys, not {type(value).__name__}")
    found = [str(each) if isinstance(each, int) else encode_text(name, each).strip() for each in keys]
    if any(text.startswith("[") and text.endswith("]") for text in found):
        raise field_error(name, "is the text of a list", "Give the DAG render_template_as_native_obj=True.")
    return frozenset(found)


def _read_limit(name: str, value: object) -> float | None:
    if value is None or (isinstance(value, str) and value.strip() in ("", "None")):
        return None
    try:
        number = float("x" if isinstance(value, bool) else str(value))
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise field_error(name, f"must be a number from 0, not {str(value)[:40]!r}")
    return number


def _read_whole_limit(name: str, value: object) -> int | None:
    number = _read_limit(name, value)
    if number is not None and number != int(number):
        raise field_error(name, f"must be a whole number, not {str(value)[:40]!r}")
    return None if number is None else int(number)
