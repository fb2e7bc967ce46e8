from __future__ import annotations

import pytest

from airflow_provider_cytechbot.operators.contact_state import (
    EMPTY,
    FIELDS,
    UNKNOWN,
    Contact,
    Step,
    StepKind,
    digest,
)

SALT = b"salt"
DIGESTS = tuple(digest(field, field, SALT) for field in FIELDS)


@pytest.mark.parametrize(
    "contact",
    [
        Contact("7", DIGESTS),
        Contact("123456789012345678901234567890", (EMPTY, UNKNOWN, EMPTY, UNKNOWN)),
        Contact("7", DIGESTS, old_id="6"),
        Contact("7", DIGESTS, is_being_deleted=True),
        Contact("7", DIGESTS, "6", is_being_deleted=True),
    ],
)
def test_a_contact_is_read_as_it_was_stored(contact):
    assert Contact.decode(contact.encode()) == contact


@pytest.mark.parametrize(
    "step",
    [
        Step(StepKind.CREATE, DIGESTS),
        Step(StepKind.DELETE),
        Step(StepKind.SEVERAL),
        Step(StepKind.UPDATE, fields=["email", "last_name"]),
        Step(StepKind.UPDATE, fields=list(FIELDS)),
    ],
)
def test_a_step_is_read_as_it_was_stored(step):
    found = Step.decode(step.encode())
    assert (found.kind, found.digests, list(found.fields)) == (step.kind, step.digests, list(step.fields))
    assert len(step.encode()) <= 255


def test_a_contact_takes_less_than_60_bytes_beside_its_key():
    assert len(Contact("1234567890", DIGESTS).encode()) * 4 / 3 < 60


@pytest.mark.parametrize("text", ["ann@example.com", "Ann", "+49 151 1", "李", "x" * 10_000])
def test_digests_differ_by_text_and_salt(text):
    found = digest("first_name", text, SALT)
    assert found == digest("first_name", text, SALT)
    assert found not in (
        EMPTY,
        UNKNOWN,
        digest("first_name", text + " ", SALT),
        digest("first_name", text, b"other"),
        digest("first_name", text.swapcase() + "x", SALT),
    )
    assert len(found) == 6


def test_case_makes_no_difference_for_email_alone():
    assert digest("email", "Ann@Example.com", SALT) == digest("email", "ann@example.COM", SALT)
    assert digest("first_name", "Ann", SALT) != digest("first_name", "ann", SALT)


def test_an_empty_field_has_the_same_digest_in_each_state():
    assert digest("email", "", SALT) == digest("first_name", "", b"other") == EMPTY
